"""From measurement rows to one summary row a point.

The round is the unit: a point's value is the geometric mean of its per-round values, and its
interval the 95 % t-interval on their logs; a percentile is that of all rounds' requests
(`harness.analysis.tails`). With one round there is no interval. Rounds that something from outside
disturbed are left out, whatever their values, unless all are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from harness.analysis import metrics
from harness.analysis.drift import moved_one_way
from harness.analysis.intervals import Interval
from harness.analysis.tails import PLAIN_EPISODES, episodes_over_rounds
from harness.measure.validity import INVALIDATES, OUTSIDE, WRONG, causes
from harness.results.grouping import firsts, grouped
from harness.results.rows import FailureRow, MeasurementRow
from harness.scenario.points import Point
from harness.scenario.sizes import request_text
from harness.scenario.variants import DEFAULT_CONFIG

DRIFTED = "no_steady_state"


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One point over its rounds."""

    point: str
    backend: str
    config: str
    batch_size: int
    concurrency: int | None
    request_rate: float | None
    rounds: int
    """Those that count."""
    metrics: Mapping[str, Interval | None] = field(compare=False)
    """Each of `harness.scenario.metrics` over the rounds; None where it is not known."""
    server_us: Mapping[str, float]
    """Mean over rounds of the server-side parts, per request."""
    requests: int
    errors: int
    flags: tuple[str, ...]
    valid: bool
    failures: tuple[FailureRow, ...] = ()
    measurements: tuple[MeasurementRow, ...] = ()
    """Of the rounds that count."""
    disturbed: tuple[MeasurementRow, ...] = ()
    """Of those that are left out: see `harness.measure.validity.OUTSIDE`."""
    sizes: str = ""
    """Of the dynamic dimensions that vary, e.g. `sequence=128`."""
    confirmation: tuple[MeasurementRow, ...] = ()
    """Of rounds after the choice, which count in nothing else; none is disturbed unless all are."""
    compared: frozenset[int] = frozenset()
    """Rounds in which its session was the backend's first, and compared outputs with the reference
    too: what that takes stays, so memory is that of other rounds, where there are any.
    """
    searched: bool = False
    """Whether a search for a capacity chose the load: shown there, ranked nowhere."""

    @property
    def every(self) -> list[MeasurementRow]:
        """All measurements, the disturbed ones too."""
        return sorted((*self.measurements, *self.disturbed), key=lambda r: r.round)

    @property
    def every_flag(self) -> list[str]:
        """Its flags, and what disturbed the rounds that are left out."""
        known = WRONG.union(OUTSIDE)
        left_out = (flag for m in self.disturbed for flag in m.flags if flag in known)
        return list(dict.fromkeys((*self.flags, *left_out)))

    @property
    def rounds_disturbed(self) -> int:
        """Rounds that were disturbed, also where they count because all were."""
        return sum(bool(causes(m.flags)) for m in self.every)

    @property
    def quiet(self) -> bool:
        """Whether some round was not disturbed, so that its value is of such rounds."""
        return self.rounds_disturbed < len(self.every)

    def value(self, name: str) -> Interval | None:
        """A metric over the rounds, also a co-located model's; None where it is not known.

        Raises KeyError on a name that is no metric's.
        """
        return self.metrics[name]

    @property
    def confirmed(self) -> SummaryRow | None:
        """The point over its rounds of confirmation; None without at least two.

        Of what was chosen as the best the other values are too good: luck was part of why.
        """
        found = self.confirmation
        if len(found) < 2:
            return None
        return replace(
            self, rounds=len(found), metrics=metrics.OverRounds(found), measurements=found,
            disturbed=(), confirmation=(),
        )  # fmt: skip

    def per_round(self, name: str) -> list[float]:
        """A metric's value in each round; empty where a round lacks it. Raises as `value`."""
        values = metrics.of_rounds(self.measurements, name)
        known = [v for v in values if v is not None]
        return known if len(known) == len(values) else []

    def least(self, name: str) -> float | None:
        """The smallest of the rounds, of memory: with the largest a range, not an interval."""
        values = metrics.of_rounds(metrics.alone(self.measurements, self.compared), name)
        return min((v for v in values if v is not None), default=None)

    @property
    def throughput(self) -> Interval | None:
        """Inferences a second."""
        return self.metrics["throughput"]

    @property
    def memory_compared(self) -> bool:
        """Whether its memory is of rounds `compared` alone."""
        rows = metrics.alone(self.measurements, self.compared)
        return any(m.round in self.compared for m in rows)

    @property
    def host_memory_mib(self) -> float | None:
        """The largest of the rounds' peaks, as the GPU's."""
        return self.plain("host_memory_mib")

    @property
    def gpu_memory_mib(self) -> float | None:
        """The largest of the rounds' peaks."""
        return self.plain("gpu_memory_mib")

    def plain(self, name: str) -> float | None:
        """A metric over the rounds without its interval."""
        value = self.metrics[name]
        return None if value is None else value.value

    @property
    def joules_per_inference(self) -> Interval | None:
        """The GPU's energy by the inferences; None unless every round has it."""
        return self.metrics["joules_per_inference"]

    @property
    def inferences_per_joule(self) -> Interval | None:
        """The reciprocal of `joules_per_inference`."""
        joules = self.joules_per_inference
        return None if joules is None else joules.reciprocal

    @property
    def request(self) -> str:
        """What a request holds, in short: `4`, or `4 · sequence=128`."""
        return request_text(self.batch_size, self.sizes)

    @property
    def load_value(self) -> float:
        """The concurrency or the request rate, for sorting and axes."""
        return self.concurrency if self.concurrency is not None else self.request_rate or 0.0


def summarize(
    measurements: Iterable[MeasurementRow], failures: Iterable[FailureRow] = ()
) -> list[SummaryRow]:
    """One row per point that was measured or failed, in order of first appearance."""
    measurements = list(measurements)
    wrong = wrong_configs(measurements)
    opening = firsts(measurements, lambda r: (r.backend, r.details.get("block")))
    first = [(r.backend, r.config, r.round) for r in opening]
    by_point, failed = (grouped(measurements, lambda r: r.point),
                        grouped(failures, lambda f: f.point))  # fmt: skip
    found = (
        _summary(point, by_point.get(point, []), failed.get(point), first)
        for point in dict.fromkeys([*by_point, *failed])
    )
    return [_not_right(row) if (row.backend, row.config) in wrong else row for row in found]


def wrong_configs(measurements: Iterable[MeasurementRow]) -> set[tuple[str, str]]:
    """Backend and config of those that gave wrong answers in some measurement."""
    return {(r.backend, r.config) for r in measurements if WRONG.intersection(r.flags)}


def _not_right(row: SummaryRow) -> SummaryRow:
    """The point of a configuration that gave wrong answers somewhere: it is no candidate."""
    flags = row.flags if WRONG.intersection(row.every_flag) else (*row.flags, "outputs_differ")
    return replace(row, flags=flags, valid=False)


def _summary(
    point: str, rows: list[MeasurementRow], failures: Sequence[FailureRow] | None,
    first: Collection[tuple[str, str, int]],
) -> SummaryRow:  # fmt: skip
    rows = sorted(rows, key=lambda r: r.round)
    done = {r.round for r in rows}
    compared = frozenset(r.round for r in rows if (r.backend, r.config, r.round) in first)
    after = [r for r in rows if r.details.get("stage") == metrics.CONFIRMATION]
    every = [r for r in rows if r not in after]
    rows, after = ([r for r in found if not causes(r.flags)] or found for found in (every, after))
    # a resumed round may succeed
    open_failures = tuple(f for f in failures or () if f.round not in done)
    flags = list(dict.fromkeys(flag for r in rows for flag in r.flags))
    if few_episodes(rows) and "few_tail_episodes" not in flags:
        flags.append("few_tail_episodes")
    flags += dict.fromkeys(f"failed_{f.reason}" for f in open_failures)
    place = rows[0] if rows else _place(point, open_failures[0].backend)
    parts = sorted({key for r in rows for key in r.server_us})
    return SummaryRow(
        point=point, backend=place.backend, config=place.config, batch_size=place.batch_size,
        concurrency=place.concurrency, request_rate=place.request_rate, rounds=len(rows),
        metrics=metrics.OverRounds(rows, compared),
        server_us={k: fmean(r.server_us[k] for r in rows if k in r.server_us) for k in parts},
        requests=sum(r.requests for r in rows), errors=sum(r.errors for r in rows),
        flags=tuple(flags), valid=_believable(rows), failures=open_failures,
        measurements=tuple(rows), sizes=place.sizes,
        disturbed=tuple(r for r in every if causes(r.flags)) if len(rows) < len(every) else (),
        confirmation=tuple(after), compared=compared,
        searched=bool(rows) and all("search" in r.details for r in rows),
    )  # fmt: skip


def few_episodes(rows: Sequence[MeasurementRow]) -> bool:
    """Whether p99 over the rounds rests on few slow stretches; False where that is not known."""
    counts = [c for row in rows if (c := metrics.counts_of(row)) is not None]
    found = episodes_over_rounds("p99", counts) if rows and len(counts) == len(rows) else None
    return found is not None and found < PLAIN_EPISODES


def _believable(rows: Sequence[MeasurementRow]) -> bool:
    """Whether no rule was broken in half of the rounds or more.

    Rules about noise (a drift that was none) misfire in one round of a hundred or so; what is
    really wrong with a point shows in most of its rounds. A drift counts where the rounds drift one
    way: see `harness.analysis.drift`.
    """
    flagged = [INVALIDATES.intersection(row.flags) for row in rows]
    if any(DRIFTED in flags for flags in flagged) and not moved_one_way(rows):
        flagged = [flags - {DRIFTED} for flags in flagged]
    return bool(rows) and 2 * sum(map(bool, flagged)) < len(rows)


def _place(point: str, backend: str) -> Point:
    try:
        return Point.parse(point)
    except ValueError:  # an unreadable name must not cost the report
        return Point(backend, DEFAULT_CONFIG, 0)
