"""How many measurements a run is still to make, as far as can be said while it goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.intervals import t_quantile
from harness.analysis.stopping import Width
from harness.analysis.summary import summarize
from harness.results.events import ToCome
from harness.results.grouping import grouped
from harness.run.rounds import Rounds
from harness.run.selection import Name, Selection
from harness.run.state import RunState
from harness.scenario.points import Point
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.scenario import Scenario
from harness.search.choose import expected_configs
from harness.search.halving import LEVEL

CLIMB = 1.5
"""A climb's configs for each that it takes when nothing is better any more: it mostly goes on."""

CLOSE = 0.05
"""How far from the best a config may be in the first round to be worth the later rounds: before a
second round nothing shows how much rounds differ.
"""
OTHERS = 6
"""Of so many configs beside the best one is taken to be close, while few are measured."""


def to_come(
    scenario: Scenario, points: Sequence[Point], round_: int, rounds: Rounds, selection: Selection,
    state: RunState,
) -> ToCome:  # fmt: skip
    """What is expected from here on: `points` of this round, and all that may follow.

    A search's configs in the first round, those that it keeps in the later ones, the rounds that
    are added until intervals are narrow, and the confirmation are expected by number only.
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
    sessions = further + _again(selection, state, chosen, again, later)
    more = each * sessions
    if settings.rounds_max > settings.rounds and rounds.shard.whole:
        known = {found.point: found for found in rounds.widths()}
        widths = [known.get(p.id, Width(p.id, 0, math.inf, "", {})) for p in points]
        added = rounds_to_add(widths, round_, settings)
        places = grouped(
            range(len(points)), lambda i: (points[i].backend, points[i].config)
        ).values()
        more += float(added.sum())
        sessions += sum(float((1 - (1 - added[mine]).prod(axis=0)).sum()) for mine in places)
    if selection.searching and settings.rounds > 1 and not all(p.shape for p in points):
        left = scenario.search.confirm - max(0, round_ + 1 - rounds.most)
        deciding = left * (2 if round_ == 0 else min(2, len(chosen)))
        more, sessions = more + deciding, sessions + deciding
    return ToCome(
        round_, tuple(p.id for p in points if state.missing(p, round_)), more,
        more if rounds.apart else sessions, settings.warmup + settings.window,
        None if scenario.budget is None else scenario.budget - selection.spent,
    )  # fmt: skip


def _again(
    selection: Selection, state: RunState, chosen: AbstractSet[Name], second: int, later: list[int]
) -> float:
    """How many configs the planned rounds after this one measure, all `later` ones together.

    `chosen` are this round's configs, `second` how many the second round has.
    """
    goal, beyond = selection.goal, [n for n in later if n > 1]
    if not (selection.searching and beyond) or goal.method == "grid" or goal.objective.pareto:
        return second * len(later)
    rows = summarize(state.rows)
    values = [goal.objective.per_round(row) for row in rows]
    pairs = [v[-2:] for v in values if len(v) > 1 and min(v) > 0 and max(v) < math.inf]
    fixed = second * (len(later) - len(beyond))
    if len(pairs) > 2:
        margins = [_margin(pairs, n) for n in beyond]
        return fixed + sum(len(selection.close(rows, margin) & chosen) for margin in margins)
    close, backends = selection.close(rows, CLOSE), len(selection.spaces)
    seen = len({(r.backend, r.config) for r in rows}) - backends
    share = (max(0, len(close) - backends) + 1) / (max(0, seen) + OTHERS)
    return fixed + len(beyond) * min(second, backends + share * (second - backends))


def _margin(pairs: Sequence[Sequence[float]], rounds: int) -> float:
    """By how much two points of so many rounds must differ for the search to drop the worse one:
    its 99 % interval, from how much two rounds of a point differ. A share, as a logarithm.
    """
    steps = np.diff(np.log(np.array(pairs)), axis=1)
    t = t_quantile((1 + LEVEL) / 2, len(pairs) - 1)
    return t * float(np.std(steps, ddof=1)) / math.sqrt(rounds)


def rounds_to_add(
    found: Sequence[Width], round_: int, settings: Measurement
) -> NDArray[np.float64]:
    """How probably each point is measured in each round that is neither planned nor this one, shape
    (points, rounds), by the widths that there are now.

    As many rounds as narrow an interval to its target are (t · s ÷ target)², s the scatter of the
    planned rounds, see `stopping`. What those of them add that are still to come is χ² of the mean
    scatter of all points. While no point has two rounds nothing is known: the geometric middle of
    the fewest and the most rounds is wrong by the least factor.
    """
    most, planned = settings.rounds_max, settings.rounds
    before = np.arange(max(planned, round_ + 1), most)
    seen = np.array([min(w.rounds, planned) for w in found], np.float64)
    known = np.array([w.rounds > 1 and w.worst < math.inf for w in found], np.bool_)
    if not known.any():
        return np.tile(np.float64(before < math.sqrt(planned * most)), (len(found), 1))
    squares = np.array([_squares(w, planned) for w in found])
    left = planned - np.where(known, seen, 1)[:, None]
    mean = squares[known].sum() / max((seen[known] - 1).sum(), 1)
    enough = before * (planned - 1) / t_quantile(0.975, planned - 1) ** 2
    missing = enough - np.where(known, squares, 0.0)[:, None]
    luck = special.chdtrc(np.maximum(left, 1), np.maximum(missing, 0.0) / max(mean, 1e-12))
    return np.where(left > 0, luck, np.float64(missing < 0))


def _squares(found: Width, planned: int) -> float:
    """Sum of the squared deviations of the rounds that count for a point's scatter, as a share of
    the target's square.
    """
    if found.rounds < 2:
        return 0.0
    freedom = min(found.rounds, planned) - 1
    return freedom * found.rounds * (found.worst / t_quantile(0.975, freedom)) ** 2
