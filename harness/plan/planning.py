"""A plan: from a run and a demand to one configuration, its request in each system, and cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, InconclusiveError
from harness.plan.candidates import Candidate, Found, Points, own_sessions, points_of
from harness.plan.memory_model import (
    Combination,
    Estimate,
    MemoryModel,
    fit_memory,
    instances_of,
    no_model,
)
from harness.plan.memory_parts import MemoryParts, parts_of
from harness.plan.proving import Proof
from harness.plan.rounding import Need, Refused, Rounded
from harness.plan.sizing import (
    Demand,
    Fit,
    Processes,
    Sized,
    cheapest,
    fit,
    kept_apart,
    need_of,
    size,
)
from harness.plan.systems import System, chosen
from harness.plan.together import Together, read_together
from harness.plan.units import measured, stated
from harness.report.model import labels
from harness.report.model.decision import MARGIN
from harness.report.model.manifest_facts import device_gpu, number
from harness.results.rows import ServerOnlyRow
from harness.results.store import RunData
from harness.system.text import harness_command

SCHEMA = "harness-plan/1"
"""Of `--json`: its number changes when a key is renamed, removed or means something else."""
UNTRIED = (
    "Nothing of this was tried under a cap: the sizes are measured peaks with a margin. `--verify` "
    "tries it."
)
FEW_NAMES = 4
"""Systems that one sentence names."""
STEPS = (0.5, 1.0, 2.0, 4.0)
"""Of the what-if table, times the rate and the target."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says, beside the demand."""

    systems: tuple[str, ...] = ()
    margin: float = MARGIN
    card_mib: int | None = None
    """None takes the run's GPU."""
    processes: int | None = None
    """None takes what the scenario says of its instances."""
    compute: int | None = None
    factor: int = 1
    driver: int | None = None
    at: tuple[Combination, ...] = ()
    """Combinations whose memory is to be estimated."""
    sharing: Path | None = None
    """Directory of a sharing run, which says what replicas do to one another."""


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """One system's row of the plan."""

    system: System
    rounded: Rounded | None
    """None where it is refused, for the reason in `refused`."""
    fit: Fit | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the what-if table; without a point, none is shown to hold that target."""

    rate: float
    slo_p99_ms: float
    point: str | None
    replicas: int | None
    cards: int | None
    undecided: bool = False
    """Whether, without a point, it is not shown either that none holds it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer, and all that the outputs are made of."""

    run: str
    scenario: str
    kind: str
    """Of the chosen backend."""
    card: str
    """Whose card it is, in words."""
    demand: Demand
    margin: float
    sized: Sized
    systems: tuple[SystemPlan, ...]
    what_if: tuple[Cell, ...]
    undecided: tuple[str, ...]
    """Points of which the run doesn't say whether they hold the target."""
    estimates: tuple[str, ...]
    """What of this was not measured as it stands, a sentence each."""
    memory_model: MemoryModel | None = None
    """Of the chosen backend's GPU memory; None where too few points were measured."""
    at: tuple[Estimate, ...] = ()
    """By that model."""
    parts: MemoryParts | None = None
    """What its peak is made of; None where its start was not watched."""
    price: float | None = None
    """Of a GPU for an hour, as the scenario says it."""
    proof: Proof | None = None
    """What trials under a cap showed; None where none were made."""
    together: Together | None = None
    """What replicas and other tenants do to one another on a card; None where none was given."""

    @property
    def cost_per_million(self) -> float | None:
        """Price of a million inferences at the planned rate, cards paid whole; None without one."""
        if self.price is None or self.sized.cards is None:
            return None
        return self.sized.cards * self.price / (self.demand.planned_rate * 3600) * 1e6

    @property
    def kwh_per_million(self) -> float | None:
        """Energy of a million inferences by the GPU; None where it was not measured."""
        joules = self.sized.candidate.joules_per_inference
        return None if joules is None else joules / 3.6


class _Sizer:
    """Sizes a run's candidates, as often as the what-if table asks."""

    def __init__(self, data: RunData, asked: Asked) -> None:
        self.data, self.asked = data, asked
        self.points: Points = points_of(data)
        self.together = None if asked.sharing is None else read_together(asked.sharing)
        self._found: dict[float, Found] = {}

    def most(self, candidate: Candidate, demand: Demand, *, mps: bool | None = None) -> int | None:
        """Replicas that held the target together on one card."""
        if self.together is None:
            return None
        return self.together.most(self.model, candidate, demand, mps=mps)

    @property
    def model(self) -> str:
        return str((self.data.scenario.get("model") or {}).get("name"))

    def found(self, target_ms: float) -> Found:
        if target_ms not in self._found:
            self._found[target_ms] = self.points.holding(target_ms)
        return self._found[target_ms]

    def cheapest(self, demand: Demand) -> Sized | None:
        sized = []
        for candidate in self.found(demand.slo_p99_ms).holding:
            need = need_of(
                candidate, self.processes(candidate.backend), self.asked.margin,
                compute=self.asked.compute, card_mib=self.card_mib(candidate.backend),
                factor=self.asked.factor,
                driver=self.asked.driver or _major(self.gpu(candidate.backend).get("driver")),
                mig=bool(self.gpu(candidate.backend).get("mig")),
            )  # fmt: skip
            one = size(
                candidate, need, demand, unknown=self.elsewhere(candidate.backend),
                together=self.most(candidate, demand),
            )  # fmt: skip
            if need is None or need.card_mib is None or one.cards is not None:
                sized.append(one)
        return cheapest(sized)

    def gpu(self, backend: str) -> Mapping[str, Any]:
        """The one that the backend ran on."""
        return device_gpu(self.data.manifest, self.settings(backend))

    def card_mib(self, backend: str) -> int | None:
        return self.asked.card_mib or self.gpu(backend).get("memory_mib")

    def settings(self, backend: str) -> Mapping[str, Any]:
        found = self.data.scenario.get("backends") or []
        return next((b for b in found if b.get("name") == backend), {})

    def elsewhere(self, backend: str) -> bool:
        """Whether it ran on a server that others started, whose GPU memory only telemetry tells."""
        server = self.settings(backend).get("server")
        return isinstance(server, Mapping) and bool(server.get("url"))

    def one_process(self, backend: str) -> bool:
        """Whether a Triton may hold the model itself, without stubs: its native backends do, and
        a repository that the harness did not write can.
        """
        server = self.settings(backend).get("server")
        if not isinstance(server, Mapping):
            return False
        native, docker = server.get("native"), server.get("docker")
        own = bool(server.get("repository")) or self.elsewhere(backend)
        return own or bool(docker if native is None else native)

    def memory_model(self, backend: str) -> MemoryModel | None:
        copies = self.settings(backend).get("instances")
        known = instances_of(self.data, backend, copies if isinstance(copies, int) else 1)
        return fit_memory(self.points.rows, backend, known)

    def processes(self, backend: str) -> Processes:
        settings = self.settings(backend)
        empty = [
            row.gpu_memory_mib for row in self.data.rows(ServerOnlyRow)
            if row.backend == backend and row.gpu_memory_mib is not None
        ]  # fmt: skip
        server = max(empty, default=None)
        if self.asked.processes is not None:
            return Processes(self.asked.processes, server)
        if settings.get("kind") != "triton" or self.one_process(backend):
            return Processes(1)
        instances = settings.get("instances")
        stubs = max(instances) if isinstance(instances, list) else instances or 1
        return Processes(stubs + (server is not None), server)


def _major(driver: object) -> int | None:
    head = str(driver or "").partition(".")[0]
    return int(head) if head.isdecimal() else None


def make_plan(data: RunData, demand: Demand, asked: Asked) -> Plan:
    """The cheapest configuration of the run that holds the demand, in each system.

    Raises InconclusiveError where the run doesn't say whether a point holds the target, and
    HarnessError where it says that none does.
    """
    systems = chosen(asked.systems)
    sizer = _Sizer(data, asked)
    sized = sizer.cheapest(demand)
    found = sizer.found(demand.slo_p99_ms)
    if sized is None:
        card_mib = sizer.card_mib(found.holding[0].backend) if found.holding else None
        raise _none(found, demand, card_mib, data.path)
    model = sizer.memory_model(sized.candidate.backend)
    if asked.at and model is None:
        raise no_model(sized.candidate.backend, known=sized.need is not None)
    rows = tuple(_row(sizer, system, sized, demand) for system in systems)
    kind = str(sizer.settings(sized.candidate.backend).get("kind", ""))
    return Plan(
        run=str(data.path), scenario=str(data.scenario.get("scenario", "")), kind=kind,
        parts=parts_of(data, sized.candidate, kind),
        card=_card(sizer, sized.candidate.backend), demand=demand, margin=asked.margin, sized=sized,
        systems=rows, what_if=tuple(_what_if(sizer, demand)), undecided=found.undecided,
        estimates=(*_estimates(sizer, sized, demand), *_crowded(rows),
                   *sizer.points.larger(found, sized.candidate)), memory_model=model,
        price=number(data.scenario, "price_per_gpu_hour"),
        at=tuple(model.at(c) for c in asked.at) if model is not None else (),
        together=sizer.together,
    )  # fmt: skip


def _none(found: Found, demand: Demand, card_mib: int | None, run: Path) -> HarnessError:
    target = f"p99 ≤ {stated(demand.slo_p99_ms)} ms"
    if found.holding:
        return HarnessError(
            f"what holds {target} does not fit a card of {card_mib:,} MiB",
            fix="plan for a larger card, or measure a smaller configuration",
        )
    if found.undecided:
        return InconclusiveError(
            f"the run does not say whether a point holds {target}: "
            f"{labels.counted(len(found.undecided), 'point')} undecided, {found.undecided[0]} the "
            "first",
            fix="measure more rounds or longer windows (harness explain says how long)",
        )
    if found.invalid:
        point, why = next(iter(found.invalid.items()))
        return InconclusiveError(
            f"no valid point of the run holds {target}, and "
            f"{labels.counted(len(found.invalid), 'point')} can't be believed: {point}, {why}",
            fix=f"measure again what it says: {harness_command('explain', run, point)}",
        )
    near = (
        f"; the lowest is {measured(found.nearest[1], 3)} ms at {found.nearest[0]}"
        if found.nearest
        else ""
    )
    return HarnessError(
        f"no point of the run holds {target} and the scenario's constraints{near}",
        fix="allow a longer latency, or measure smaller loads or another backend",
    )


def _card(sizer: _Sizer, backend: str) -> str:
    size = sizer.card_mib(backend)
    if size is None:
        return "of unknown size (--card-mib says it)"
    name = "as stated" if sizer.asked.card_mib else sizer.gpu(backend).get("name", "the run's")
    return f"{name}, {size:,} MiB"


def _row(sizer: _Sizer, system: System, sized: Sized, demand: Demand) -> SystemPlan:
    need: Need | None = sized.need
    if need is None:
        return SystemPlan(system, None, None, "the run has no GPU memory to ask for")
    held = sizer.most(sized.candidate, demand, mps=system.per_process)
    rounded = system.request(replace(need, together=held))
    if isinstance(rounded, Refused):
        return SystemPlan(system, None, None, rounded.why)
    found = fit(rounded, need, system.most, sized.replicas, held)
    apart = kept_apart(rounded, found, system, need.card_mib, sized.replicas)
    return SystemPlan(system, apart, found)


def _crowded(rows: Sequence[SystemPlan]) -> Iterator[str]:
    """That schedulers may put more on a card than hold there."""
    names = [row.system.name for row in rows if row.rounded and row.rounded.crowded]
    if names:
        yield (
            f"by what is written more replicas may come onto a card than hold there, in "
            f"{labels.listed(labels.some(names, FEW_NAMES))}: “What bites” says what keeps them off"
        )


def _what_if(sizer: _Sizer, demand: Demand) -> list[Cell]:
    cells = []
    for target in (demand.slo_p99_ms * step for step in STEPS):
        found = sizer.found(target)
        doubtful = not found.holding and bool(found.undecided or found.invalid)
        for rate in (demand.rate * step for step in STEPS):
            sized = sizer.cheapest(Demand(rate, target, demand.headroom, demand.growth))
            cells.append(
                Cell(rate, target, None, None, None, doubtful) if sized is None else
                Cell(rate, target, sized.candidate.point, sized.replicas, sized.cards)
            )  # fmt: skip
    return cells


def _estimates(sizer: _Sizer, sized: Sized, demand: Demand) -> list[str]:
    """What was not measured as it stands."""
    candidate, need = sized.candidate, sized.need
    said: list[str] = []
    if sizer.together is not None:
        said += sizer.together.estimates(sizer.model, candidate, demand)
    if not candidate.has_interval:
        said.append("a replica's rate: one round has no interval, so its value stands in")
    if candidate.basis.startswith("closed"):
        said.append(
            "p99 was measured in a closed loop: arrivals that do not wait can queue; "
            "load.find_capacity measures what a replica bears then"
        )
    if sized.replicas > 1:
        more = "" if sizer.together else " (--sharing names a run of several on one card)"
        said.append(f"replicas are taken to add up: one alone was measured{more}")
    if sized.unknown:
        said.append(
            "GPU memory and cards of a server that was there already are not known: "
            "server.telemetry beside it measures them"
        )
    return said if need is None else [*said, *_of_gpu(sizer, candidate, need)]


def _of_gpu(sizer: _Sizer, candidate: Candidate, need: Need) -> list[str]:
    """Of memory, and of what fits a card."""
    said: list[str] = []
    if candidate.gpu_scope == "device":
        said.append("memory: the difference on the whole device, as processes could not be seen")
    if candidate.compared:
        said.append(
            "memory is of the backend's first session, which compared outputs too, and may hold "
            "more for that: measure more rounds"
        )
    if not own_sessions(sizer.data.scenario):
        said.append(
            "memory may hold what earlier points of the same session left: a constraint on "
            "gpu_memory_mib gives each point a session of its own"
        )
    if need.processes > 1:
        said.append(
            f"memory a process: {need.processes} processes, of which only the sum was measured"
        )
    if need.busy_percent is None:
        said.append("how many fit by compute is unknown: the GPU's busy share was not measured")
    else:
        said.append(
            "how many fit by compute: busy shares are added up, which leaves out how replicas "
            "slow each other down"
        )
    return said
