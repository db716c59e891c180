"""One side of a comparison: what a run, or a committed baseline, says of each replicate."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from harness.analysis.metrics import of_rounds
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import UsageError
from harness.measure.validity import causes, short
from harness.results.calibration import hardware
from harness.results.rows import LoadedRow, MeasurementRow, ParityRow
from harness.results.store import RunData
from harness.scenario.metrics import METRICS, PRIMARY, Metric
from harness.scenario.sizes import request_id

ByRound = Mapping[int, float]
"""Round → value."""
CLOCK = "gpu_sm_clock_mhz"
BESIDE: dict[str, Metric] = {
    m.name: m
    for m in (
        METRICS["host_memory_mib"], METRICS["gpu_memory_mib"], METRICS["joules_per_inference"],
        Metric("load_seconds", "loading", "s"),
        Metric("first_call_ms", "first call", "ms"),
        Metric("bytes_on_disk", "engine or model file", "bytes"),
        Metric("build_seconds", "engine build", "s"),
    )
}  # fmt: skip
"""What is shown beside the verdict's metrics, with an interval and no verdict."""
MEMORY = ("host_memory_mib", "gpu_memory_mib")
"""Of rounds that `compared` outputs too only where there are no others."""
_LOADED: dict[str, Callable[[LoadedRow], object]] = {
    "load_seconds": lambda row: row.seconds,
    "first_call_ms": lambda row: row.first_call_ms,
    "bytes_on_disk": lambda row: row.bytes_on_disk,
    "build_seconds": lambda row: row.details.get("build_seconds"),
}
CONDITIONS = ("model", "load", "measurement")
"""Parts of the scenario that must be the same on both sides."""
PACING = ("rounds", "rounds_max", "budget", "targets", "seed")
"""Keys of `measurement` that say how often is measured, not how."""
LATER = ("interleave",)
"""Keys of `measurement` that earlier versions had not: left out where they say nothing."""
NOT_SETTINGS = frozenset({"name", "environment", "kind"})


@dataclass(frozen=True, slots=True)
class SidePoint:
    """One point of one side."""

    values: Mapping[str, ByRound]
    """Key of a primary metric, name of another one, or the GPU's `CLOCK` → its rounds."""
    problem: str = ""
    """Why it can't be believed or was not measured; empty where it was."""
    reason: str = ""
    """Of the failure, as `harness.errors` has it; empty where it is none."""
    open_loop: bool = False
    disturbed: int = 0
    """Rounds that count though something from outside disturbed them: all of them were."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """How far one batch size's outputs were from the reference."""

    status: str
    max_abs_error: float | None
    max_rel_error: float | None
    tolerance: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """What is compared, as plain data that a baseline file can hold."""

    name: str
    where: str
    """The run directory, or the file."""
    created: str
    machine: Mapping[str, object]
    """What a number depends on: see `harness.results.calibration.hardware`, and clocks."""
    driver: str
    conditions: Mapping[str, object]
    """The scenario's part that must be equal, by `CONDITIONS`."""
    settings: Mapping[str, object]
    """The backend's, without its name; empty where several backends are compared at once."""
    versions: Mapping[str, str]
    """Package → version, and what the runtime said of itself."""
    points: Mapping[str, SidePoint]
    """Place → what was measured there; the place is `b1/c1`, with the config before it."""
    outputs: Mapping[str, Outputs] = field(default_factory=dict)
    """By batch size."""
    builds: int = 0
    """Engines that were built independently of each other; 0 where none is built."""
    minutes_per_round: float = 0.0

    @property
    def digest(self) -> str:
        """Names the conditions."""
        text = json.dumps(self.conditions, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def choose(specs: Sequence[Mapping[str, object]], wanted: str, option: str) -> str:
    """The name of the backend that `wanted` is: its name, or that of its environment.

    Raises UsageError where it is none, or an environment of several.
    """
    names = [str(spec.get("name")) for spec in specs]
    if wanted in names:
        return wanted
    found = [str(s.get("name")) for s in specs if s.get("environment") == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{option} {wanted} is the environment of several backends",
            fix=f"give one of their names: {', '.join(found)}",
        )
    raise UsageError(
        f"{option} {wanted} is no backend and no environment here",
        fix=f"give one of: {', '.join(names)}",
    )


def both(
    specs: Sequence[Mapping[str, object]], base: str | None, candidate: str | None
) -> tuple[str, str]:
    """The two backends of one scenario that are compared; of only two, the first is the base.

    Raises UsageError.
    """
    names = [str(spec.get("name")) for spec in specs]
    if base is None and candidate is None and len(names) == 2:
        return names[0], names[1]
    if base is None or candidate is None:
        raise UsageError(
            "--base and --candidate say which two are compared", fix=f"of: {', '.join(names)}"
        )
    one, other = choose(specs, base, "--base"), choose(specs, candidate, "--candidate")
    if one == other:
        raise UsageError(f"--base and --candidate are both {one}")
    return one, other


def backends_of(data: RunData) -> list[Mapping[str, object]]:
    """The entries of a run's scenario as resolved."""
    return list(data.scenario.get("backends") or ())


def side_of(data: RunData, backend: str | None, name: str = "") -> Side:
    """A backend of a run, or all of a run's backends under their own names."""
    rows = data.measurements
    spec = next((s for s in backends_of(data) if s.get("name") == backend), {})
    mine = [r for r in data.loads if backend in (None, r.backend)]
    return Side(
        name=name or backend or data.path.name, where=str(data.path),
        created=str(data.manifest.get("created", "")),
        machine=machine_of(data.manifest), driver=driver_of(data.manifest),
        conditions=conditions_of(data.scenario),
        settings={k: v for k, v in spec.items() if k not in NOT_SETTINGS and v is not None},
        versions=versions_of(data, spec, mine),
        points=points_of(summarize(rows, data.failures), mine, backend),
        outputs=outputs_of(r for r in data.parity if backend in (None, r.backend)),
        builds=builds_of(mine), minutes_per_round=minutes_per_round(rows),
    )  # fmt: skip


def machine_of(manifest: Mapping[str, object]) -> dict[str, object]:
    """What a comparison needs to be the same: CPU, GPUs, and who sets the clocks."""
    machine = manifest.get("machine")
    known = machine if isinstance(machine, dict) else {}
    cpu = known.get("cpu") or {}
    return {**hardware(known), "governor": cpu.get("governor"), "turbo": cpu.get("turbo")}


def driver_of(manifest: Mapping[str, object]) -> str:
    """The first GPU's; empty without one."""
    machine = manifest.get("machine")
    gpus = (machine.get("gpus") or []) if isinstance(machine, dict) else []
    return next((str(gpu["driver"]) for gpu in gpus if gpu.get("driver")), "")


def conditions_of(scenario: Mapping[str, object]) -> dict[str, object]:
    """What both sides must have in common of a resolved scenario."""
    found = {key: scenario.get(key) for key in CONDITIONS}
    measurement = found["measurement"]
    if isinstance(measurement, dict):
        found["measurement"] = {
            k: v for k, v in measurement.items()
            if k not in PACING and (v is not None or k not in LATER)
        }  # fmt: skip
    return found


def versions_of(
    data: RunData, spec: Mapping[str, object], loads: Iterable[LoadedRow]
) -> dict[str, str]:
    """Of the packages that the backend's worker imported, and of what it said of itself."""
    environments = data.manifest.get("environments") or {}
    name = str(spec.get("environment") or "")
    if name in environments:
        lock = environments[name]
        found = {p: str(facts["version"]) for p, facts in lock["packages"].items()}
        found["python"] = str(lock["version"])
    else:
        packages = data.manifest.get("packages") or {}
        found = {k: str(v) for k, v in packages.items() if v is not None}
        found["python"] = str((data.manifest.get("machine") or {}).get("python", ""))
    for load in loads:
        said = {k: load.details.get(k) for k in ("onnxruntime", "tensorrt", "server_version")}
        found |= {f"{k} (loaded)": str(v) for k, v in said.items() if v}
    return found


def by_name(versions: Mapping[str, str]) -> dict[str, str]:
    """Packages by the name that an index compares by (PEP 503), whatever way they write it."""
    return {k if " " in k else re.sub("[-_.]+", "-", k).lower(): v for k, v in versions.items()}


def points_of(
    summary: Iterable[SummaryRow], loads: Sequence[LoadedRow], backend: str | None
) -> dict[str, SidePoint]:
    """Place → point; rates that a search tried, and searches themselves, take no part."""
    found = {}
    for row in summary:
        if row.searched or backend not in (None, row.backend):
            continue
        place = row.point if backend is None else row.point.removeprefix(f"{row.backend}/")
        mine = [r for r in loads if (r.backend, r.config) == (row.backend, row.config)]
        found[place] = _point(row, mine)
    return found


def _point(row: SummaryRow, loads: Sequence[LoadedRow]) -> SidePoint:
    values: dict[str, dict[int, float]] = {}
    counted = {m.round for m in row.measurements}
    for measurement in row.measurements:
        for key, value in _values(measurement):
            values.setdefault(key, {})[measurement.round] = value
    for load in loads:
        for key, read in _LOADED.items():
            if load.round in counted and _usable(known := read(load)):
                values.setdefault(key, {})[load.round] = float(str(known))
    for key in MEMORY:
        if left := values.get(key, {}).keys() - row.compared:
            values[key] = {n: v for n, v in values[key].items() if n in left}
    problem, reason = "", ""
    if row.failures and not row.measurements:
        problem, reason = row.failures[-1].message, row.failures[-1].reason
    elif row.failures:
        problem = f"failed in {len({f.round for f in row.failures})} rounds: "
        problem, reason = problem + row.failures[-1].message, row.failures[-1].reason
    elif not row.valid:
        problem = "invalid: " + ", ".join(short(f) for f in row.flags)
    disturbed = sum(bool(causes(m.flags)) for m in row.measurements)
    return SidePoint(values, problem, reason, row.concurrency is None, disturbed)


def _values(row: MeasurementRow) -> Iterable[tuple[str, float]]:
    for metric in (*PRIMARY.values(), *BESIDE.values()):
        if metric.name in _LOADED:
            continue
        value = of_rounds([row], metric.name)[0]
        if _usable(value):
            yield (metric.key if metric.primary else metric.name), float(str(value))
    if row.gpu_sm_clock_mhz is not None:
        yield CLOCK, sum(row.gpu_sm_clock_mhz) / 2


def _usable(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def outputs_of(rows: Iterable[ParityRow]) -> dict[str, Outputs]:
    """The last comparison with the reference, by batch size."""
    return {
        request_id(r.batch_size, r.sizes): Outputs(
            r.status, r.max_abs_error, r.max_rel_error, r.tolerance, r.message
        )
        for r in rows
    }


def builds_of(loads: Iterable[LoadedRow]) -> int:
    """Engines that were built for a round of this run, or the one that all rounds had."""
    engines = [r.details for r in loads if r.details.get("build_seconds") is not None]
    built = sum(bool(d.get("built")) for d in engines)
    return max(built, 1) if engines else 0


def minutes_per_round(rows: Sequence[MeasurementRow]) -> float:
    """How long a round of the run took, as the times of its measurements have it."""
    begun: dict[int, datetime] = {}
    for row in rows:
        try:
            when = datetime.fromisoformat(row.started)
        except ValueError:
            continue
        begun[row.round] = min(when, begun.get(row.round, when))
    if len(begun) < 2:
        return 0.0
    seconds = (max(begun.values()) - min(begun.values())).total_seconds()
    return seconds / 60 / (len(begun) - 1)
