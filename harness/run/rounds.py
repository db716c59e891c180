"""Which points a round measures, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.capacity import summarize_capacity
from harness.analysis.metrics import ADDED, counts_of
from harness.analysis.stopping import HalfWidths, Width, correlated, width
from harness.analysis.summary import summarize
from harness.analysis.tails import next_window
from harness.measure.quantiles import FLOORS
from harness.measure.transient import leak_over_rounds
from harness.measure.validity import causes
from harness.results.events import Reached, SearchEnded, Undecided
from harness.results.grouping import grouped
from harness.results.rows import FailureRow, MeasurementRow
from harness.run.order import balanced
from harness.run.selection import Selection
from harness.run.shard import Shard
from harness.run.state import RunState
from harness.scenario.points import Point
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.scenario.variants import DEFAULT_CONFIG


@dataclass(frozen=True, slots=True)
class Extra:
    """Asks for rounds beyond the planned ones: who compares two backends goes on until decided."""

    points: Callable[[Sequence[MeasurementRow], Sequence[FailureRow], int], Collection[str]]
    """Measurements, failures and the round's number → the points that it is to measure."""
    most: int
    """Rounds in all."""
    why: str


Specs = Mapping[str, Mapping[str, AnyBackend]]
"""By backend and config."""
DISTURBED, WIDE = "where something disturbed it", "where intervals are too wide"
"""Why a point is measured in a round beyond the planned ones."""


class Rounds:
    """The rounds of one run, decided from what its state holds."""

    def __init__(
        self, scenario: Scenario, points: list[Point], specs: Specs, selection: Selection,
        state: RunState, extra: Extra | None = None, shard: Shard | None = None,
    ) -> None:  # fmt: skip
        self.shard = shard or Shard()
        self._scenario, self._points, self._specs = scenario, points, specs
        self._selection, self._state, self._extra = selection, state, extra
        self._cut: set[int] = set()

    @property
    def planned(self) -> int:
        """Rounds that the scenario asks for, of this shard."""
        return len(self.shard.rounds(self._scenario.measurement.rounds))

    @property
    def most(self) -> int:
        """Rounds there can be."""
        asked = self._extra.most if self._extra is not None else 0
        return max(self._scenario.measurement.rounds_max, self._selection.rounds_max, asked)

    def wanted(self, round_: int) -> list[Point]:
        """The points this round measures: all at first, then those whose intervals are too wide,
        and those that may be the best of a search.

        Of several configs, those that the search asks for.
        """
        settings, state = self._scenario.measurement, self._state
        if not self.shard.has(round_, settings.rounds):
            return []
        if round_ == 0:
            asked = {(b, c) for b in self._specs for c in self._next(b)}
        else:
            asked = self._selection.repeated(state.rows, state.failures, round_)
        points = [p for p in self._points if (p.backend, p.config) in asked]
        if round_ < settings.rounds:
            return [p for p in points if state.missing(p, round_)]
        again = set[str]().union(*self._again(round_).values())
        points = [p for p in points if p.id in again and state.missing(p, round_)]
        if points and self._selection.budget_spent():
            self._selection.cut = True
            return []
        return points

    def why_added(self, round_: int, points: Iterable[Point]) -> str:
        """Why `points` are measured in a round that not every point gets; empty where all do."""
        if round_ < self._scenario.measurement.rounds:
            return ""
        left, reasons = {p.id for p in points}, []
        for why, ids in self._again(round_).items():
            reasons += [why] if left & ids else []
            left -= ids
        return " and ".join(reasons)

    def _again(self, round_: int) -> dict[str, set[str]]:
        """The points that a round beyond the planned ones measures, by why."""
        state, most = self._state, self._scenario.measurement.rounds_max
        found = {"to tell the best apart":
                 set(self._selection.undecided(state.rows, state.failures, round_))}  # fmt: skip
        if self._extra is not None:
            found[self._extra.why] = set(self._extra.points(state.rows, state.failures, round_))
        if round_ < most:
            counts = [(r.point, len(r.every), r.rounds_disturbed) for r in summarize(state.rows)]
            counts += [(c.point, c.every, c.rounds_disturbed)
                       for c in summarize_capacity(state.capacities, state.rows)]  # fmt: skip
            found[DISTURBED] = {p for p, n, bad in counts if bad > max(0, n - self.planned)}
        if round_ < most and self.shard.whole:
            # a part does not know how wide the intervals of all are
            found[WIDE] = {w.point for w in self.widths() if w.worst > 1}
        return found

    def widths(self) -> list[Width]:
        """How wide the intervals of each point are, those of a search for the capacity too."""
        found = [width(row, self.targets) for row in summarize(self._state.rows)]
        capacities = summarize_capacity(self._state.capacities, self._state.rows)
        return found + [c.width for c in capacities]

    def added(self, round_: int, points: Iterable[Point]) -> dict[str, str]:
        """The stage of those of `points` that this round measures because they are too wide."""
        if round_ < self._scenario.measurement.rounds:
            return {}
        again = self._again(round_)
        wide = again.get(WIDE, set()) - again.get(DISTURBED, set())
        return {p.id: ADDED for p in points if p.id in wide}

    def confirmation(self) -> Iterator[tuple[int, list[Point]]]:
        """Rounds after all others, with their points: what was chosen, and the default beside it.

        Their numbers begin where no other round can be, so that a resumed run finds them. For each
        that was disturbed there is one more, up to as many again.
        """
        chosen = set(self._selection.to_confirm(self._state.rows, self._state.failures))
        points = [p for p in self._points if p.id in chosen]
        first, count = self.most, self._scenario.search.confirm if points else 0
        for round_ in range(first, first + 2 * count):
            busy = Counter(
                r.point for r in self._state.rows if r.round >= first and causes(r.flags)
            )
            due = [p for p in points if round_ < first + count + busy[p.id]]
            wanted = [p for p in due if self._state.missing(p, round_)]
            if wanted and not self._selection.budget_spent():
                yield round_, wanted

    def backends(self, round_: int) -> list[str]:
        """The backends in the order of this round; over as many rounds each has every place."""
        names = [spec.name for spec in self._scenario.backends]
        return balanced(names, round_, self._seed)

    @property
    def _seed(self) -> str:
        return str(self._scenario.measurement.seed)

    def in_order(
        self, backend: str, round_: int, points: list[Point]
    ) -> Iterator[tuple[str, list[Point]]]:
        """A backend's configs, each with its points, in the order of measuring.

        Configs are balanced over the rounds as the backends are, but those that one server can
        serve come together, and where a budget may end the search early the default comes first.
        A config's loads ascend, so that none meets the memory of a larger one. Ends where the
        budget does.
        """
        early = round_ == 0 and self._scenario.budget is not None

        def place(item: tuple[str, list[Point]]) -> tuple[bool, list[tuple[str, str]]]:
            return early and item[0] != DEFAULT_CONFIG, _environment(self._specs[backend][item[0]])

        for wave in self._waves(backend, round_, points):
            seed = f"{self._seed}/{backend}"
            by_config = balanced(list(grouped(wave, lambda p: p.config).items()), round_, seed)
            for config, mine in sorted(by_config, key=place):
                if self._too_late(config, round_, points):
                    return
                yield config, sorted(mine, key=heaviness)

    @property
    def apart(self) -> bool:
        """Whether each point has processes of its own, since its memory is asked about: what ran
        before leaves a larger one to an allocator that keeps what it has had.
        """
        goal = self._selection.goal
        return any(name.endswith("_memory_mib") for name in (*goal.bounds, *goal.objective.metrics))

    def sessions(self, points: list[Point]) -> list[list[Point]]:
        """What each session of a config measures."""
        return [[point] for point in points] if self.apart else [points]

    def longer_window(self, point: Point, round_: int) -> float | None:
        """Seconds that a point's window lasts at least in this round, where the rounds before show
        that the planned one gives p99 too few slow stretches. None: as planned, also where the
        scenario asks for fewer requests than p99 takes, or the budget is too short."""
        m, state = self._scenario.measurement, self._state
        before = (r for r in state.rows if r.point == point.id and r.round < round_)
        rows = [r for r in before if not causes(r.flags)]
        counts = [c for r in rows if (c := counts_of(r)) is not None]
        if point.shape or m.window_requests < FLOORS["p99"] or not rows or len(counts) < len(rows):
            return None
        seconds = [(r.window_end_ns - r.window_begin_ns) / 1e9 for r in rows]
        longer = next_window(counts, seconds, max(m.rounds, round_ + 1), m.window_max)
        left = sum(state.missing(p, n) for p in self._points for n in range(round_, m.rounds))
        return longer if longer and self._selection.fits(longer * max(1, left)) else None

    def conclude(self) -> None:
        """Journal lines: the half-widths of every point, why no round was added, and what the
        search left open (empty: nothing; the last such line counts).
        """
        settings, planned = self._scenario.measurement, {p.id for p in self._points}
        if not self.shard.whole:
            return
        for row in summarize(r for r in self._state.rows if r.point in planned):
            found, measured = width(row, self.targets), len(row.every)
            why = (
                "narrow enough" if found.worst <= 1
                else "for the choice" if measured > settings.rounds_max
                else f"rounds_max ({settings.rounds_max}) reached"
                if measured == settings.rounds_max
                else "budget spent" if self._selection.cut
                else "dropped by the search, or a round failed"
            )  # fmt: skip
            self._state.add(Reached(found.point, found.rounds, why, found.half_widths))
            if alike := correlated(row):
                self._state.note(
                    f"{row.point}: neighbouring rounds are alike in {', '.join(alike)} (a drift, "
                    "or a slow cycle), so its intervals are too narrow"
                )
            starts = [s for m in row.measurements if (s := m.details.get("window_start"))]
            if slower := leak_over_rounds(starts):
                self._state.note(
                    f"{row.point}: its windows begin {100 * slower:.0f} % slower in the mean of "
                    "the rounds; a longer warmup would leave that out"
                )
        text = self._selection.not_told_apart(self._state.rows, self._state.failures)
        self._state.add(Undecided(text))

    @property
    def targets(self) -> HalfWidths:
        """How narrow the intervals are to become."""
        wanted = self._scenario.measurement.targets
        return {
            "throughput": wanted.throughput, "p50": wanted.latency_p50, "p99": wanted.latency_p99,
        }  # fmt: skip

    def _next(self, backend: str) -> list[str]:
        """The configs that the search asks for in the first round."""
        state = self._state
        tried = {(f.point, f.round) for f in state.failures} | state.measured
        points = [p for p in self._points if p.backend == backend]
        begun = [p.config for p in points if (p.id, 0) in tried]
        left = {p.config for p in points if (p.id, 0) not in tried and p.id not in state.given_up}
        planned = list(dict.fromkeys(p.config for p in points))
        done = [c for c in planned if c not in left]
        while asked := self._selection.next(backend, state.rows, done, begun):
            if not set(asked).isdisjoint(planned):
                break
            done += asked  # they take no batch size of the load, so there is nothing to measure
        return asked

    def _waves(self, backend: str, round_: int, points: list[Point]) -> Iterator[list[Point]]:
        """A backend's points of one round; in the first, in portions that the search asks for."""
        if round_ > 0:
            yield [p for p in points if p.backend == backend]
            return
        again, rows = self._selection.disturbed, self._state.rows
        while asked := self._next(backend) or self._state.again(again(backend, rows)):
            mine = [p for p in self._points if p.backend == backend and p.config in asked]
            mine = [p for p in mine if self._state.missing(p, 0)]
            if not mine:
                return
            yield mine

    def _too_late(self, config: str, round_: int, points: list[Point]) -> bool:
        """Whether the budget ends the search here; says once what is then not measured."""
        if not self._selection.too_late(round_, config):
            return False
        self._selection.cut |= round_ > 0
        if round_ == 0 and not self._selection.ended:
            self._selection.ended = True
            seen = {(r.backend, r.config) for r in self._state.rows}
            planned = dict.fromkeys((p.backend, p.config) for p in self._points)
            left_over = tuple(f"{b}/{c}" for b, c in planned if (b, c) not in seen)
            self._state.add(SearchEnded("budget", left_over))
        elif round_ > 0 and round_ not in self._cut:
            self._cut.add(round_)
            left = dict.fromkeys(f"{p.backend}/{p.config}" for p in points
                                 if self._state.missing(p, round_))  # fmt: skip
            text = f"the budget was spent in round {round_ + 1}; not measured again in it: "
            self._state.note(text + ", ".join(left))
        return True


def _environment(spec: AnyBackend) -> list[tuple[str, str]]:
    """The server's, for grouping."""
    return sorted(spec.variables.items()) if isinstance(spec, ServedSettings) else []


def heaviness(point: Point) -> tuple[bool, bool, float, float]:
    """Closed loops first, by the items that are in flight; then rates; what changes comes last."""
    items = point.batch_size * (point.load_value or 1)
    return bool(point.shape), point.concurrency is None, items, point.load_value
