"""How many measurements a run is still to make, as far as can be said while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.intervals import t_quantile
from harness.analysis.stopping import HalfWidths, width
from harness.analysis.summary import SummaryRow, summarize
from harness.results.events import ToCome
from harness.run.rounds import Rounds
from harness.run.selection import Selection
from harness.run.state import RunState
from harness.scenario.points import Point
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.scenario import Scenario
from harness.search.choose import expected_configs

CLIMB = 1.5
"""A climb's configs for each that it takes when nothing is better any more: it mostly goes on."""

KEPT = {"grid": 1.0, "halving": 0.2, "quick": 0.5, "bayesian": 0.5}
"""Share of the second round's configs that later rounds measure, before that round has shown it."""


def to_come(
    scenario: Scenario, points: Sequence[Point], round_: int, rounds: Rounds, selection: Selection,
    state: RunState,
) -> ToCome:  # fmt: skip
    """What is expected from here on: `points` of this round, and all that may follow.

    A search's configs in the first round, the rounds that are added until intervals are narrow, and
    the confirmation at its end are expected by number only.
    """
    settings, chosen = scenario.measurement, {(p.backend, p.config) for p in points}
    each, further, again = len(points) / len(chosen), 0.0, len(chosen)
    if round_ == 0 and selection.searching:
        begun = {(r.backend, r.config) for r in state.rows if r.round == 0} | chosen
        if selection.open_ended and not selection.ended:
            climb = CLIMB if selection.goal.method == "quick" else 1.0
            for name, space in selection.spaces.items():
                done = {config for backend, config in begun if backend == name}
                further += climb * expected_configs(space, selection.goal, state.rows, done)
        again = selection.most_repeated(round(len(begun) + further))
    later = [n for n in range(round_ + 1, settings.rounds) if rounds.shard.has(n, settings.rounds)]
    dropped = _kept(selection, state, round_)
    planned = sum(dropped if n > 1 else 1.0 for n in later)
    added = 0.0
    if settings.rounds_max > settings.rounds:
        rows = (row for row in summarize(state.rows) if row.point in {p.id for p in points})
        added += rounds_to_add(rows, round_, settings, rounds.targets)
    if selection.searching and settings.rounds > 1:
        added += 2 * (rounds.most + scenario.search.confirm - max(round_ + 1, rounds.most))
    return ToCome(
        round_, tuple(p.id for p in points if state.missing(p, round_)),
        each * (further + planned * again) + added, settings.warmup + settings.window,
        None if scenario.budget is None else scenario.budget - selection.spent,
    )  # fmt: skip


def _kept(selection: Selection, state: RunState, round_: int) -> float:
    """The share of this round's configs that the planned rounds after the second measure again."""
    twice = {(r.backend, r.config) for r in state.rows if r.round == 1}
    if not selection.searching or round_ > 1:
        return 1.0
    if not twice or selection.goal.method == "grid":
        return KEPT[selection.goal.method]
    return len(selection.repeated(state.rows, state.failures, 2) & twice) / len(twice)


def rounds_to_add(
    rows: Iterable[SummaryRow], round_: int, settings: Measurement, targets: HalfWidths
) -> float:
    """Measurements beyond the planned rounds and this one, by the widths that there are now.

    As many rounds as narrow an interval to its target are n · (width ÷ target)², see `stopping`;
    a scatter of fewer rounds than planned is taken with fewer degrees of freedom, so its t is
    larger. Nothing is expected of fewer than three rounds.
    """
    added, most, planned = 0.0, settings.rounds_max, settings.rounds
    for row in rows:
        found = width(row, targets)
        if found.rounds > 2 and found.worst > 1:
            now, then = (t_quantile(0.975, n - 1) for n in (found.rounds, planned))
            needed = found.rounds * (found.worst * min(1.0, then / now)) ** 2
            added += max(0.0, min(float(most), needed) - max(planned, round_ + 1))
    return added
