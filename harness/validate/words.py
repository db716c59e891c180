"""What a scenario is for, in one line: points of a run, a load with faults, or tenants."""

from __future__ import annotations

from harness.scenario.points import expand
from harness.scenario.sizes import parts_of
from harness.scenario.spec.scenario import Scenario
from harness.scenario.units import format_duration
from harness.scenario.wording import counted
from harness.swarm import shapes
from harness.swarm.settings import Stress


def will_do(scenario: Scenario) -> str:
    """What its command does; of a scenario for `stress` or `share` the points only where it has a
    `load` of its own for `run`.
    """
    found = [stresses(scenario.stress)] if scenario.stress else []
    found += [shares(scenario)] if scenario.sharing else []
    if found and "load" in scenario.model_fields_set:
        found.append(f"`harness run` measures {measures(scenario)}")
    return "; ".join(found or [measures(scenario)])


def not_looked_at(scenario: Scenario, *, deep: bool) -> list[str]:
    """What `validate` left out, in a sentence at most."""
    if scenario.model.source.kind == "triton":
        return ["no request was sent to the model: `harness infer` sends one"]
    code = f"{scenario.model.source.torch} was not called: " if scenario.model.source.torch else ""
    return [] if deep else [f"{code or 'the model was not called: '}--deep does"]


def measures(scenario: Scenario) -> str:
    """`24 points (4 backends × 2 batch sizes × 3 concurrencies), 3 rounds`."""
    points, closed = expand(scenario), len(scenario.load.concurrency or ())
    backends, configs = len(scenario.backends), len({(p.backend, p.config) for p in points})
    loads = len({(p.concurrency, p.request_rate, p.shape) for p in points})
    sizes = len(list(filter(None, parts_of(scenario.model.dynamic))))
    axes = [
        counted(backends, "backend") + (f" in {configs} configs" if configs > backends else ""),
        counted(len(scenario.load.batch_sizes), "batch size"),
        counted(closed, "concurrency", "concurrencies") if loads == closed
        else "a search for the capacity" if scenario.load.find_capacity and loads == 1
        else counted(loads, "load"),
        *([counted(sizes, "set") + " of sizes"] if sizes else []),
    ]  # fmt: skip
    most = "at most " if scenario.search.method in ("quick", "bayesian") else ""
    rounds = counted(scenario.measurement.rounds, "round")
    return f"{most}{counted(len(points), 'point')} ({' × '.join(axes)}), {rounds}"


def stresses(stress: Stress) -> str:
    """`harness stress drives 40s of spike, 20 to 200 requests/s, with 1 fault (kill at 25s) …`."""
    shape = stress.shape.chosen
    levels = [level for p in shapes.phases(shape) for level in (p.first, p.last)]
    levels += [value for key in ("peak",) if (value := getattr(shape, key, None)) is not None]
    unit = "requests/s" if shapes.by_rate(shape) else "users"
    least, most = min(levels), max(levels)
    height = f"{most:g}" if least == most else f"{least:g} to {most:g}"
    faults = ", ".join(f"{f.kind} at {format_duration(f.at)}" for f in stress.faults)
    limits = [v for v in stress.thresholds.model_dump(exclude_none=True).values() if v]
    held = sum(len(v) if isinstance(v, list | tuple) else 1 for v in limits)
    said = f"`harness stress` makes {format_duration(round(shapes.duration(shape), 3))} of load"
    return ", ".join([
        f"{said} ({stress.shape.kind}, {height} {unit})",
        f"{counted(len(stress.faults), 'fault')} ({faults})" if faults else "no fault",
        counted(held, "threshold"),
    ])  # fmt: skip


def shares(scenario: Scenario) -> str:
    """`harness share measures 2 tenants in 2 modes, 3 rounds`."""
    assert scenario.sharing is not None
    tenants, modes = scenario.sharing.tenants, {m.id for m in scenario.sharing.modes}
    rounds = counted(scenario.measurement.rounds, "round")
    return (
        f"`harness share` measures {counted(len(tenants), 'tenant')}, each alone and together, "
        f"in {counted(len(modes | {'dedicated'}), 'mode')}, {rounds}"
    )
