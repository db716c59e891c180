"""Which configs a run measures, round by round: what `harness.search` says, within the budget."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from harness.analysis.best import choose, order
from harness.analysis.constraints import satisfies
from harness.analysis.differences import Differences
from harness.analysis.metrics import CONFIRMATION
from harness.analysis.summary import SummaryRow, summarize
from harness.measure.validity import causes
from harness.results.rows import FailureRow, MeasurementRow
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import DEFAULT_CONFIG
from harness.search import bayesian
from harness.search.choose import kept_configs, next_configs
from harness.search.contenders import contenders
from harness.search.space import goal, spaces

AGAIN = 2
"""Simulated in benchmarks/disturbed_search.py."""
Name = tuple[str, str]
"""Backend and config."""


class Selection:
    """The search of one run. `ended` says that an interrupted run had ended it already, `spent` how
    many seconds of the budget its parts took.
    """

    def __init__(self, scenario: Scenario, *, ended: bool = False, spent: float = 0.0) -> None:
        self.goal, self.spaces = goal(scenario), spaces(scenario)
        self.ended = ended
        self._rounds = scenario.measurement.rounds
        self._decides = self.searching and self._rounds > 1 < scenario.search.rounds_max
        self.rounds_max = scenario.search.rounds_max if self._decides else 0
        """Up to this many rounds are added for what `undecided` names; 0: none."""
        self._budget = scenario.budget
        self.cut = False
        """Whether the budget kept something from being measured again."""
        self._began = time.monotonic() - spent
        self._seconds: list[float] = []
        self._tried_again = Counter[str]()

    @property
    def searching(self) -> bool:
        """Whether some backend has several configs."""
        return any(map(self.varied, self.spaces))

    @property
    def open_ended(self) -> bool:
        """Whether the configs to measure are found on the way, so that their number is unknown."""
        return self.searching and self.goal.method in ("quick", "bayesian")

    def varied(self, backend: str) -> bool:
        """Whether this backend has several configs."""
        return len(self.spaces[backend].configs) > 1

    def check(self) -> None:
        """Raise MissingPackageError where a package that the search needs is not there."""
        if self.searching and self.goal.method == "bayesian":
            bayesian.check()

    def next(
        self, backend: str, rows: Iterable[MeasurementRow], done: Collection[str],
        begun: Collection[str],
    ) -> list[str]:  # fmt: skip
        """Configs of the first round to measure now; empty when the search is over.

        `done` configs have been measured at every point, or failed; `begun` ones at some.
        """
        unfinished = [c for c in self.spaces[backend].configs if c in begun and c not in done]
        if unfinished or self.ended:
            return unfinished
        first = [r for r in rows if r.round == 0 and r.backend == backend]
        return next_configs(self.spaces[backend], self.goal, first, done)

    def disturbed(self, backend: str, rows: Sequence[MeasurementRow]) -> list[MeasurementRow]:
        """Of the first round what a climb over configs went by although something disturbed it, to
        be measured again before it decides: one config's points, each `AGAIN` times at most, within
        the budget; empty where nothing was left alone.
        """
        first = [r for r in rows if (r.backend, r.round) == (backend, 0)]
        busy = [r for r in first if causes(r.flags)]
        due = [r for r in busy if self._tried_again[r.point] < AGAIN]
        climbs = self.open_ended and self.varied(backend) and len(busy) < len(first)
        if not (due and climbs) or self.too_late(0, ""):
            return []
        due = [r for r in due if r.config == due[0].config]
        self._tried_again.update(r.point for r in due)
        return due

    def repeated(
        self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow], round_: int
    ) -> set[Name]:
        """The configs that a round measures again."""
        return {
            (backend, config)
            for backend, space in self.spaces.items()
            for config in (
                kept_configs(space, self.goal, rows, failures, round_)
                if self.varied(backend)
                else [DEFAULT_CONFIG]
            )
        }

    def undecided(
        self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow], round_: int
    ) -> list[str]:
        """The points that may be the best, which round `round_` measures again to tell them apart.

        Only the rounds before it count. Empty when the choice is made, or is not to be made.
        """
        if round_ >= self.rounds_max:
            return []
        return [row.point for row in self._contenders(rows, failures, round_)]

    def to_confirm(
        self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow]
    ) -> list[str]:
        """The point that is recommended, and the best one of its backend's default config.

        Empty without a search, with one round, and where no point or a whole front is chosen.
        """
        if not self.searching or self._rounds < 2:
            return []
        every = summarize(rows, failures)
        run, found = Differences(every), [r for r in every if self.varied(r.backend)]
        chosen = choose(
            found, self.goal.objective, self.goal.bounds, self.goal.indifference, run
        ).recommended
        if chosen is None:
            return []
        default = (
            r.point for r in order(found, self.goal.objective)
            if (r.backend, r.config) == (chosen.backend, DEFAULT_CONFIG)
        )  # fmt: skip
        return list(dict.fromkeys([chosen.point, *islice(default, 1)]))

    def not_told_apart(self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow]) -> str:
        """One sentence on what is undecided at the end; empty where nothing is."""
        rows = [r for r in rows if r.details.get("stage") != CONFIRMATION]
        measured = max((r.round for r in rows), default=-1) + 1
        found = self._contenders(rows, failures, measured) if self._decides else []
        if not found:
            return ""
        when = "when the budget was spent" if self.cut else f"after {measured} rounds"
        names = ", ".join(row.point for row in found)
        if any(satisfies(row, self.goal.bounds) == "unknown" for row in found):
            return f"not decided {when}, which hold every constraint and which is best: {names}"
        return (
            f"not told apart {when}, although they may differ by more than "
            f"{100 * self.goal.indifference:g} %: {names}"
        )

    def _contenders(
        self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow], round_: int
    ) -> list[SummaryRow]:
        repeated = self.repeated(rows, failures, round_)
        earlier = summarize(
            (r for r in rows if r.round < round_), (f for f in failures if f.round < round_)
        )
        left = [r for r in earlier if (r.backend, r.config) in repeated]
        return contenders(left, self.goal, Differences(earlier))

    # -- the budget -----------------------------------------------------------------------------

    @property
    def spent(self) -> float:
        """Seconds since the run began, without the time in which it was interrupted."""
        return time.monotonic() - self._began

    def budget_spent(self) -> bool:
        """Whether the budget, if there is one, is spent."""
        return self._budget is not None and self.spent > self._budget

    def fits(self, seconds: float) -> bool:
        """Whether so much more fits into the budget, if there is one."""
        return self._budget is None or self.spent + seconds <= self._budget

    def add_duration(self, seconds: float) -> None:
        """Know what measuring one config took."""
        self._seconds.append(seconds)

    def too_late(self, round_: int, config: str) -> bool:
        """Whether another config no longer fits into the budget.

        In the first round of a search time is kept back to repeat what the later rounds will want;
        `default` is always measured there. Without a search the planned rounds always are,
        and a second round that was begun: a point of one round has no interval, so it could not be
        ranked beside those of two.
        """
        if self._budget is None:
            return False
        if not self.searching:
            return round_ >= max(self._rounds, 2) and self.budget_spent()
        if round_ == 0 and config == DEFAULT_CONFIG:
            return False
        if round_ > 0 or not self._seconds:
            return self.budget_spent()
        each = sum(self._seconds) / len(self._seconds)
        again = (self._rounds - 1) * self.most_repeated(len(self._seconds) + 1)
        return self.spent + each * (1 + again) > self._budget

    def most_repeated(self, configs: int) -> int:
        """How many of so many configs a later round measures, at most."""
        if self.goal.method in ("quick", "bayesian"):
            varied = sum(map(self.varied, self.spaces))
            return min(configs, varied * (self.goal.top + 1) + len(self.spaces) - varied)
        return configs
