"""What a sharing run shows: what of dedicated throughput is kept, who slows whom, how many fit.

Cells are compared as points of any run are: within rounds, lending one another their variance
(`harness.analysis.blocks`). What is compared is the row of all tenants of a cell against a row with
the same load of the device.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from harness.analysis.differences import Differences
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.objective import THROUGHPUT, single
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import OutOfMemoryError, RunDirectoryError, UsageError
from harness.measure.validity import short
from harness.results.store import RunData, read_run
from harness.scenario.spec.scenario import Scenario
from harness.tenants.design import Cell, Design, Fit, TableCell, design
from harness.tenants.predicting import Probed
from harness.tenants.settings import Mode, Sharing
from harness.tenants.stressors import names, stressors_of

P99, MEAN = single("latency_p99_ms"), single("latency_mean_ms")
JOULES = single("joules_per_inference")
LEVEL = 0.95
Verdict = Literal["holds", "fails", "undecided", "not measured"]
KIND = "sharing"


@dataclass(frozen=True, slots=True)
class Compared:
    """A cell beside what it is compared with; a value is None where it is not known."""

    row: SummaryRow | None
    throughput_kept: Interval | None
    """Of the other's throughput."""
    p99_ratio: Interval | None
    """Its p99 over the other's."""
    mean_ratio: Interval | None
    joules_ratio: Interval | None


@dataclass(frozen=True, slots=True)
class FitResult:
    """So many replicas against the target."""

    fit: Fit
    verdict: Verdict
    why: str
    worst: Interval | None
    """The p99 of the replica whose upper end is highest, in ms."""


class Results:
    """A sharing run, read."""

    def __init__(self, data: RunData) -> None:
        """Raises RunDirectoryError where it is none."""
        self.data = data
        scenario = read_scenario(data)
        assert scenario.sharing is not None
        self.scenario = scenario
        self.sharing: Sharing = scenario.sharing
        rows = summarize(data.measurements, data.failures)
        beside = stressors_of(scenario, (row.point for row in rows))
        self.stressors = names(beside)
        self.design: Design = design(scenario.sharing, beside)
        self.rows = {row.point: row for row in rows}
        whole = {cell.id for cell in self.design.cells}
        self._whole = Differences(row for row in rows if row.point in whole and row.measurements)
        self._each = Differences(row for row in rows if row.measurements)

    @property
    def modes(self) -> list[Mode]:
        """Those in which tenants are together."""
        return self.sharing.shared

    def compared(self, id: str, other: str) -> Compared:
        """One row beside another, by their names."""
        row, base = self.rows.get(id), self.rows.get(other)
        cells = (id.count("/") == 1) == (other.count("/") == 1) and id.count("/") == 1
        run = self._whole if cells else self._each
        if row is None or base is None or not (row.measurements and base.measurements):
            return Compared(row, None, None, None, None)
        kept = run.advantage(row, base, THROUGHPUT)
        less = [run.advantage(row, base, o) for o in (P99, MEAN, JOULES)]
        p99, mean, joules = (None if ratio is None else ratio.reciprocal for ratio in less)
        return Compared(row, kept, p99, mean, joules)

    @cached_property
    def table(self) -> list[tuple[TableCell, Compared]]:
        """The sharing table: replicas beside one tenant with the same load of the device."""
        return [(t, self.compared(t.cell.id, t.dedicated.id)) for t in self.design.table]

    def dedicated(self, row: TableCell) -> SummaryRow | None:
        """What it is compared with."""
        return self.rows.get(row.dedicated.id)

    def tenants(self, mode: Mode) -> list[tuple[str, Compared]]:
        """Each tenant beside all others, against itself alone."""
        cell = self.design.together.get(mode.id)
        if cell is None:
            return []
        return [
            (seat.tenant, self.compared(cell.of(seat), self.design.alone_in(mode, seat.tenant).id))
            for seat in cell.seats
        ]

    def slowed(self, mode: Mode, row: str, column: str) -> Interval | None:
        """How many times longer a tenant's requests take on average beside another than alone."""
        cell = self._pair(mode, row, column)
        return None if cell is None else self._slowed(mode, row, cell)

    def unbelievable(self, mode: Mode, row: str, column: str) -> list[SummaryRow]:
        """The invalid rows that such a slow-down is made of, beside the other and alone."""
        cell = self._pair(mode, row, column)
        ids = [cell.of(s) for s in cell.seats if s.tenant == row] if cell else []
        rows = (self.rows.get(id) for id in (*ids[:1], self.design.alone_in(mode, row).id))
        return [found for found in rows if found is not None and not found.valid]

    def _pair(self, mode: Mode, row: str, column: str) -> Cell | None:
        pairs = self.design.pairs
        return pairs.get((mode.id, row, column)) or pairs.get((mode.id, column, row))

    def _slowed(self, mode: Mode, name: str, cell: Cell) -> Interval | None:
        """In a cell, against itself alone, among the same processes where it was measured so."""
        seat = next(seat for seat in cell.seats if seat.tenant == name)
        return self.compared(cell.of(seat), self.design.alone_in(mode, name).id).mean_ratio

    def probed(self, mode: Mode) -> Probed:
        """What stressors and tenants did to each other."""
        found: dict[tuple[str, str], float] = {}
        for (of, a, b), cell in self.design.probes.items():
            for row, column in ((a, b), (b, a)) if of == mode.id else ():
                if (slow := self._slowed(mode, row, cell)) is not None:
                    found[row, column] = slow.value
        return Probed([t.name for t in self.sharing.tenants], self.stressors, found)

    def fits(self, mode: Mode) -> list[FitResult]:
        """The counts of replicas against the target, in order."""
        return [self._fit(fit) for fit in self.design.fits.get(mode.id, ())]

    def holds(self, mode: Mode) -> int:
        """The most replicas that hold the target, and all fewer ones do; 0 for none."""
        most = 0
        for found in self.fits(mode):
            if found.verdict != "holds":
                break
            most = found.fit.count
        return most

    def _fit(self, fit: Fit) -> FitResult:
        target = self.sharing.target
        assert target is not None
        rows = [self.rows.get(fit.cell.of(seat)) for seat in fit.cell.seats]
        if whole := self.rows.get(fit.cell.id):
            for failure in whole.failures:
                full = failure.reason == OutOfMemoryError.reason
                return FitResult(fit, "fails" if full else "not measured", failure.message, None)
        known = [row for row in rows if row is not None and row.measurements]
        if len(known) < len(rows):
            return FitResult(fit, "not measured", "it was not measured", None)
        return judge_fit(fit, known, target.latency_p99_ms)

    @property
    def failures(self) -> list[tuple[Cell, str]]:
        """Cells that could not be measured in some round, and why."""
        return [
            (cell, failure.message)
            for cell in self.design.cells
            if (row := self.rows.get(cell.id)) is not None
            for failure in row.failures[:1]
        ]

    @property
    def flags(self) -> dict[str, list[str]]:
        """Flag → the cells that have it."""
        rows = [(cell.id, self.rows[cell.id]) for cell in self.design.cells if cell.id in self.rows]
        found = [(flag, name) for name, row in rows for flag in row.every_flag]
        return {flag: [name for f, name in found if f == flag] for flag, _ in found}

    @property
    def half_widths(self) -> list[float]:
        """Of the shares of throughput that the sharing table says."""
        kept = (compared.throughput_kept for _, compared in self.table)
        return [k.half_width for k in kept if k is not None and k.half_width is not None]


def judge_fit(fit: Fit, rows: Sequence[SummaryRow], target_ms: float) -> FitResult:
    """Whether every replica's p99 is at most the target."""
    each = [found for row in rows if (found := row.value(P99.metrics[0])) is not None]
    if len(each) < len(rows):
        return FitResult(fit, "undecided", "too few requests: raise measurement.window_max", None)
    worst = max(each, key=lambda i: i.value if i.high is None else i.high)
    said = f"p99 {worst.value:.3g} ms of the slowest replica"
    if any(not row.valid for row in rows):
        flags = ", ".join(dict.fromkeys(short(flag) for row in rows for flag in row.flags))
        return FitResult(fit, "undecided", f"{said}, not believable: {flags}", worst)
    strict = strict_intervals([row.per_round(P99.metrics[0]) for row in rows])
    verdict = verdict_of(each, strict, target_ms)
    more = ", and the target lies in its interval" if verdict == "undecided" else ""
    return FitResult(fit, verdict, said + more, worst)


def strict_intervals(p99_ms: Sequence[Sequence[float]]) -> list[Interval]:
    """Of each replica's p99 over rounds, at the level of all replicas together."""
    level = 1 - (1 - LEVEL) / len(p99_ms)
    return [log_t_interval(v, level) for v in p99_ms if len(v) > 1]


def verdict_of(each: Sequence[Interval], strict: Sequence[Interval], target: float) -> Verdict:
    """Of all replicas, by the interval of each, and by that at the level of all together.

    All hold where each one's interval ends below the target: that all do so by chance is no
    likelier than that one does, so that their number needs no correction (intersection-union test:
    R. L. Berger, Technometrics 24 (1982)). That some fails needs one: Bonferroni's.
    """
    if all(i.high is not None and i.high <= target for i in each):
        return "holds"
    if any(i.low is not None and i.low > target for i in strict):
        return "fails"
    return "undecided"


def read_scenario(data: RunData) -> Scenario:
    """The scenario as resolved. Raises RunDirectoryError."""
    try:
        return Scenario.model_validate_json(json.dumps(dict(data.scenario)))
    except ValueError as error:
        raise RunDirectoryError(f"the scenario of {data.path} can't be read: {error}") from error


def is_sharing(directory: Path) -> bool:
    """Whether it is the directory of a sharing run. False where it is no run directory."""
    try:
        return bool(read_run(directory).manifest.get("kind") == KIND)
    except UsageError:
        return False


def read_results(directory: Path) -> Results:
    """A sharing run by its directory. Raises RunDirectoryError."""
    data = read_run(directory)
    if data.manifest.get("kind") != KIND:
        raise RunDirectoryError(
            f"{directory} is no directory of `harness share`",
            fix="give one that `harness share` printed, or a scenario with `sharing`",
        )
    return Results(data)


def tenant_pairs(sharing: Sharing) -> Iterator[tuple[str, str]]:
    """Row and column of the interference matrix."""
    names = [t.name for t in sharing.tenants]
    yield from ((a, b) for a in names for b in names)
