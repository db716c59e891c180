"""How a run ends: one verdict, in words, with the exit code of the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from harness.analysis.best import ranked
from harness.analysis.capacity import CapacitySummary, summarize_capacity
from harness.analysis.constraints import Bounds, Holds, bounds_of, satisfies, worst
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import InconclusiveError, SetupError, UsageError, class_of
from harness.results.grouping import grouped
from harness.results.store import RunData


class Verdict(Enum):
    """What came out; a value is the exit code and the words."""

    OK = (0, "fine")
    FAILED = (1, "a point failed")
    SCENARIO = (UsageError.exit_code, "what the scenario asks for is wrong")
    SETUP = (SetupError.exit_code, "something that is needed is missing here")
    INVALID = (InconclusiveError.exit_code, "a measurement can't be believed")
    UNDECIDED = (InconclusiveError.exit_code, "whether the constraints hold is not decided")
    MISSED = (5, "the constraints are not held")
    INTERRUPTED = (130, "interrupted")

    @property
    def code(self) -> int:
        """The program's exit code."""
        return self.value[0]

    @property
    def words(self) -> str:
        """In a few words."""
        return self.value[1]


def verdict(data: RunData, rows: Sequence[SummaryRow] | None = None) -> Verdict:
    """The verdict on all that a run has, whole or not; `rows` are its points, where they were
    summarised.
    """
    rows = summarize(data.measurements, data.failures) if rows is None else rows
    return judge_run(rows, summarize_capacity(data.capacities, data.measurements), data.scenario)


def ending(data: RunData, rows: Sequence[SummaryRow] | None = None) -> Verdict:
    """How the run ended: the verdict of a whole one."""
    return verdict(data, rows) if data.complete else Verdict.INTERRUPTED


def judge_run(
    rows: Sequence[SummaryRow], capacities: Sequence[CapacitySummary],
    scenario: Mapping[str, object],
) -> Verdict:  # fmt: skip
    """What failed comes first, then what can't be believed, then the constraints.

    Of failures of several classes the one that says least of the user's part decides: a point that
    broke, before a wrong scenario, before a lack of this machine.
    """
    codes = {class_of(f.reason).exit_code for row in rows for f in row.failures}
    if codes:
        failed = (Verdict.FAILED, Verdict.SCENARIO, Verdict.SETUP)
        return next((v for v in failed if v.code == min(codes)), Verdict.FAILED)
    planned = [row for row in rows if not row.searched]  # a search tries what can't hold
    if any(not row.valid for row in planned) or any(
        c.limit in ("client", "wrong") for c in capacities
    ):
        return Verdict.INVALID
    if any(c.limit == "target" and c.rate is None for c in capacities):
        return Verdict.MISSED
    answer = gate(planned, bounds_of(scenario), each=scenario.get("gate") == "each")
    return {"yes": Verdict.OK, "no": Verdict.MISSED, "unknown": Verdict.UNDECIDED}[answer]


def gate(rows: Sequence[SummaryRow], bounds: Bounds, *, each: bool = False) -> Holds:
    """Whether some point holds every bound: of the run, or of `each` backend."""
    if not rows or not bounds:
        return "yes"
    if each:
        return worst(gates(rows, bounds).values())
    found = {satisfies(row, bounds) for row in ranked(rows)}
    return "yes" if "yes" in found else "no" if found == {"no"} else "unknown"


def gates(rows: Sequence[SummaryRow], bounds: Bounds) -> dict[str, Holds]:
    """Of each backend, by its name: whether some point of it holds every bound."""
    return {name: gate(found, bounds) for name, found in grouped(rows, lambda r: r.backend).items()}
