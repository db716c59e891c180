"""One trial: the plan's point measured again, alone, under a cap, and what that shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import HarnessError, LimitError, RunDirectoryError, UsageError, class_of
from harness.measure.validity import OUTSIDE, causes
from harness.plan.candidates import P99, Candidate, points_of
from harness.plan.planning import Plan
from harness.plan.proving import Outcome, Trial
from harness.plan.units import measured, stated
from harness.report.model.decision import with_margin
from harness.results.events import Observer
from harness.results.rows import FailureRow, LoadedRow, MeasurementRow
from harness.results.store import RunData, read_run
from harness.run.execute import reread, start
from harness.run.rounds import WIDE, Extra
from harness.scenario.points import SHAPES, Point
from harness.scenario.reading.loader import LoadedScenario, load, load_text
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs
from harness.system.limits.limit import Quantity

Watches = Callable[[], AbstractContextManager[Observer]]
CLEAR = 2.0
"""Half-widths of the 95 % interval between a value and what is asked for, at which no round is
added: of a p99 at its target, 0.3 % of five rounds look like that (docs/benchmarks/plan-verify.md).
"""
SHORT = {"warmup": 1.0, "window": 2.0, "window_max": 10.0}
"""Most seconds of a trial on the way to the smallest, which has one round. By memory it mostly ends
before any window; by latency it is as good as two full trials that have to bear it out say."""
PARTIAL = {
    "torch": "torch's memory fraction: the caching allocator alone, not context and libraries",
    "onnxruntime": "ONNX Runtime's gpu_mem_limit: the CUDA arena alone, not context and libraries",
}
"""Backend's kind → its own limit on GPU memory (`gpu_memory_limit`), where no MPS can be had."""
OPEN_KEYS = ("concurrency", "request_rate", *SHAPES)
"""Of `load`: all that says how much is asked."""


class Trials:
    """Makes trials of one plan's point, each with a run directory below `folder`."""

    def __init__(
        self, data: RunData, plan: Plan, quantity: Quantity, folder: Path, watches: Watches, *,
        partial: bool = False,
    ) -> None:  # fmt: skip
        self._plan, self._quantity, self._folder = plan, quantity, folder
        self._watches, self._made, self._partial = watches, 0, partial
        self._manifest = data.manifest
        self._scenario, self._base = _as_it_was(data.path)
        self._load = _load_of(self._scenario, plan.sized.candidate)

    def __call__(self, mib: int, full: bool) -> Trial:
        """Measure under a cap of so many MiB. Raises LimitError, or what interrupted it."""
        self._made += 1
        path = self._folder / f"trial-{self._made}-{mib}mib"
        extra = Extra(self._near, self._scenario.measurement.rounds_max, WIDE) if full else None
        ended = start(self._loaded(mib, full), path, self._watches(), extra)
        if ended.interrupted:
            raise KeyboardInterrupt
        return judge(read_run(path), self._plan, mib, full, partial=self._partial)

    def _loaded(self, mib: int, full: bool) -> LoadedScenario:
        """The scenario with the point alone, its backend capped."""
        candidate = self._plan.sized.candidate
        spec = configs(self._scenario)[candidate.backend][candidate.config]
        settings = spec.model_dump(mode="json", exclude_none=True)
        if self._partial:
            settings["gpu_memory_limit"] = f"{mib}MiB"
        else:
            settings["limits"] = {**settings["limits"], self._quantity: f"{mib}MiB"}
        sets = [f"backends={json.dumps([settings])}", f"load={json.dumps(self._load)}"]
        sets += ["stress=null", "sharing=null"]  # of backends that may be left out here
        sets += [f"measurement.{key}={value}" for key, value in self._lengths(full).items()]
        path = self._base / Path(str(self._manifest.get("scenario_path", "scenario.yaml"))).name
        every = (*self._manifest.get("overrides", ()), *sets)
        if path.exists():
            return load(path, every)
        text = str(self._manifest["scenario_text"])
        return LoadedScenario(load_text(text, str(path), self._base, every), text, path, every)

    def _lengths(self, full: bool) -> Mapping[str, object]:
        """Of `measurement` what decides: rounds beyond the planned ones are added by `_near`."""
        m = self._scenario.measurement
        if full:
            return {"rounds_max": m.rounds}
        lengths = {key: f"{min(most, getattr(m, key))}s" for key, most in SHORT.items()}
        return {"rounds": 1, "rounds_max": 1, **lengths}

    def _near(
        self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow], _: int
    ) -> Sequence[str]:
        """The point, where more rounds may decide: p99 or throughput is near what is asked for, and
        its interval not yet as narrow as the scenario wants it.
        """
        targets, found = self._scenario.measurement.targets, summarize(rows, failures)
        if failures or len(found) != 1:
            return ()
        (row,), plan = found, self._plan
        asked = ((row.value(P99), plan.demand.slo_p99_ms, targets.latency_p99),
                 (row.throughput, plan.sized.load, targets.throughput))  # fmt: skip
        open_ = any(i and not clear(i, edge) and _wider(i, most) for i, edge, most in asked)
        return (row.point,) if open_ else ()


def _as_it_was(directory: Path) -> tuple[Scenario, Path]:
    """The scenario and its folder. Raises RunDirectoryError where another machine, other packages
    or another version would measure something else than what was planned from.
    """
    try:
        return reread(directory)
    except RunDirectoryError as error:
        seen = error.message.partition("it would mix conditions: ")[2] or error.message
        whole = ", in one (no --shard, no --devices)" if "made of several" in seen else ""
        raise RunDirectoryError(
            f"--verify: the point can't be measured again as it was: {seen}",
            fix=f"measure the run again here{whole}, and plan from that",
        ) from error


def clear(found: Interval, edge: float) -> bool:
    """Whether a value is so far from an edge that more rounds are no use: `CLEAR` half-widths."""
    half = found.half_width
    return half is not None and abs(math.log(found.value / edge)) >= CLEAR * half


def _wider(found: Interval, most: float) -> bool:
    return found.half_width is None or found.half_width > most


def _load_of(scenario: Scenario, candidate: Candidate) -> Mapping[str, object]:
    """`load` with the candidate's alone. Raises UsageError where its rate is not constant."""
    point = Point.parse(candidate.point)
    found = scenario.load.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    kept = {key: value for key, value in found.items() if key not in OPEN_KEYS}
    kept["batch_sizes"] = [candidate.batch_size]
    if point.concurrency is not None:
        return {**kept, "concurrency": [point.concurrency]}
    if point.request_rate is not None:
        return {**kept, "request_rate": [point.request_rate]}
    if point.shape == "find_capacity":
        return {**kept, "request_rate": [candidate.rate_low / candidate.batch_size]}
    raise UsageError(
        f"{candidate.point} can't be verified: its load is a {point.shape}",
        fix="measure the point at a constant rate or with callers",
    )


def judge(data: RunData, plan: Plan, mib: int, full: bool, *, partial: bool = False) -> Trial:
    """What a trial's run shows. Raises LimitError where its cap was not in force; of one that is
    `partial`, no control says so.
    """
    if off := next((f for f in data.failures if f.reason == LimitError.reason), None):
        raise LimitError(off.message, fix=off.fix)
    loads = data.rows(LoadedRow)
    facts = next((found for row in loads for found in row.details.get("limits", {}).values()), {})
    outcome, why = _outcome(data, plan, full)
    if partial:
        return Trial(mib, outcome, why, full, str(data.path), how=PARTIAL[plan.kind])
    if outcome != "fails" and not facts:
        raise LimitError(f"the trial under {mib} MiB has no record of its cap")
    return Trial(
        mib, outcome, why, full, str(data.path), str(facts.get("control", "")),
        str(facts.get("how", "")),
    )  # fmt: skip


def _outcome(data: RunData, plan: Plan, full: bool) -> tuple[Outcome, str]:
    target, load_ = plan.demand.slo_p99_ms, plan.sized.load
    disturbed = any(causes(row.flags) for row in data.measurements)
    data = _undisturbed(data)
    if data.failures:
        failure = data.failures[0]
        said = failure.message.partition(";")[0]
        return "fails", f"{class_of(failure.reason).words} ({said})"
    rows = summarize(data.measurements, data.failures)
    if len(rows) != 1 or rows[0].throughput is None:
        return "undecided", "it gave no measurement"
    (row,) = rows
    p99 = row.value(P99)
    if rows[0].throughput.value < load_:
        rate = rows[0].throughput.value
        return (
            "fails",
            f"{measured(rate)} inferences a second, and {measured(load_)} are asked",
        )
    if not full:
        return _by_value(row, target)
    points = points_of(data)  # memory is bounded by the cap; MPS may hide what its clients hold
    bounds = {name: b for name, b in points.bounds.items() if not name.endswith("_memory_mib")}
    if replace(points, bounds=bounds).holding(target).holding:
        seen = "" if p99 is None else f" with {measured(p99.value, 3)} ms"
        return "holds", f"p99 ≤ {stated(target)} ms{seen}"
    if p99 is not None and p99.low is not None and p99.low > target:
        said = f"p99 is {measured(p99.value, 3)} ms"
        return ("undecided", f"{said}; others disturbed it") if disturbed else ("fails", said)
    flags = f"; {', '.join(row.flags)}" if row.flags else ""
    if p99 is None:
        return "undecided", f"p99 is unknown{flags}"
    more = (
        " without an upper end: measure more rounds or longer windows" if p99.high is None else ""
    )
    return "undecided", f"p99 is {measured(p99.value, 3)} ms{more}{flags}"


def _undisturbed(data: RunData) -> RunData:
    """Without what others did to it: they only slow a point down, so that one that holds
    nevertheless holds; and what a size of memory does is no matter of theirs. A drift or a slow
    beginning in a round that was disturbed is taken for theirs too.
    """
    return replace(data, events=tuple(
        replace(line, flags=tuple(flag for flag in line.flags if flag not in _theirs(line)))
        if isinstance(line, MeasurementRow) else line
        for line in data.events
    ))  # fmt: skip


def _theirs(row: MeasurementRow) -> set[str]:
    return {*OUTSIDE, *(("no_steady_state", "warm_up_leak") if causes(row.flags) else ())}


def _by_value(row: SummaryRow, target_ms: float) -> tuple[Outcome, str]:
    """Of one round, which has no interval."""
    p99 = row.value(P99) or row.value("latency_p95_ms") or row.value("latency_p50_ms")
    if p99 is None:
        return "undecided", "no latency is known"
    if p99.value <= target_ms:
        return "holds", f"p99 ≤ {stated(target_ms)} ms with {measured(p99.value, 3)} ms"
    return "fails", f"p99 is {measured(p99.value, 3)} ms"


def what_is_capped(plan: Plan) -> tuple[Quantity, int, bool]:
    """Quantity, MiB and whether each process has as much. Raises HarnessError where none is known.

    GPU memory by what each process is planned to need, as MPS limits each; without a GPU the host
    memory's peak with the margin.
    """
    need, host = plan.sized.need, plan.sized.candidate.host_mib
    if need is not None:
        return "gpu_memory", need.process_mib, True
    if host is None:
        raise HarnessError("the run measured no memory, so there is no request to verify")
    return "host_memory", with_margin(host, plan.margin), False
