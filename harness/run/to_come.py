"""How many measurements a run is still to make, as far as can be said while it goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

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
from harness.search.rest import DRAWS, Rest

SURE = 0.95
"""Share of the draws that measure no more than the most, and of those no less than the fewest."""


def to_come(
    scenario: Scenario, points: Sequence[Point], round_: int, rounds: Rounds, selection: Selection,
    state: RunState,
) -> ToCome:  # fmt: skip
    """What is expected from here on: `points` of this round, and all that may follow.

    A search's configs in the first round, those that it keeps in the later ones, the rounds that
    are added, and the confirmation are expected by number only: the fewest and the most.
    """
    settings, now = scenario.measurement, tuple(p.id for p in points if state.missing(p, round_))
    places = _places(points, round_, selection, state)
    goal, choosing = selection.goal, selection.searching and settings.rounds > 1
    choosing &= not goal.objective.pareto and not all(p.shape for p in points)
    goal = goal if choosing else replace(goal, method="grid")
    rest = Rest(places, now, summarize(state.rows), goal)
    needed = rounds_needed([p for mine in places.values() for p in mine], rounds.widths(), settings)
    for number in range(round_ + 1, rounds.most if rounds.shard.whole else settings.rounds):
        if rounds.shard.has(number, settings.rounds):
            deciding = choosing and settings.rounds <= number < selection.rounds_max
            rest.round(number, needed > number, deciding=deciding)
    if choosing:
        left = max(0, scenario.search.confirm - max(0, round_ + 1 - rounds.most))
        rest.totals += left * (len(selection.to_confirm(state.rows, state.failures)) or 2)
    totals = rest.totals[[0, 0]] if rounds.apart else rest.totals
    order = totals.sum(axis=0).argsort()
    fewest, most = (totals[:, order[round(n * (DRAWS - 1))]].tolist() for n in (1 - SURE, SURE))
    return ToCome(
        round_, now, tuple(fewest), tuple(most), settings.warmup + settings.window,
        None if scenario.budget is None else scenario.budget - selection.spent,
    )  # fmt: skip


def _places(
    points: Sequence[Point], round_: int, selection: Selection, state: RunState
) -> dict[Name, list[str]]:
    """The points that may be measured after this round, by config. Those of configs that the first
    round may still find have no name: a climb seldom tries more than the values of all axes.
    """
    again = selection.repeated(state.rows, state.failures, round_) if round_ else set()
    found = {
        r.point: (r.backend, r.config) for r in state.rows
        if (not round_ or (r.backend, r.config) in again) and "search" not in r.details
    }  # fmt: skip
    found |= {p.id: (p.backend, p.config) for p in points}
    places = grouped(found, lambda point: found[point])
    loads = [""] * (len(found) // len(places))
    for name, space in selection.spaces.items() if selection.open_ended and not round_ else ():
        most = 1 + sum(len(axis.values) for axis in space.axes)
        most = selection.goal.trials if selection.goal.method == "bayesian" else most
        most = min(most, len(space.configs)) - sum(backend == name for backend, _ in places)
        places |= {(name, f"+{i}"): loads for i in range(0 if selection.ended else most)}
    return places


def rounds_needed(
    points: Sequence[str], found: Iterable[Width], settings: Measurement
) -> NDArray[np.float64]:
    """Draws of how many rounds each point will get, shape (draws, points), as far as it is decided
    by the widths that there are now.

    The scatter of a point's planned rounds says how many it gets, see `stopping`; a capacity's is
    taken anew after each round. What those add that are still to come is χ² of the mean scatter of
    all points, which is itself as uncertain. While no point has two rounds nothing is known: it is
    the fewest, the most or anything between, for all points alike.
    """
    most, planned, rng = settings.rounds_max, settings.rounds, np.random.default_rng(0)
    known = {w.point: w for w in found if w.rounds > 1 and w.worst < math.inf}
    anew = np.array([p.endswith("find_capacity") for p in points])
    seen = np.array([known[p].rounds if p in known else 1 for p in points])
    seen = np.where(anew, seen, np.minimum(seen, planned))
    shape, freedom = (DRAWS, len(points)), (seen - 1).sum()
    if most == planned or not freedom:
        where = np.linspace(-1, 2, DRAWS).clip(0, 1)[:, None]
        return np.broadcast_to(planned * (most / planned) ** where, shape)
    worst = np.array([known[p].worst ** 2 * known[p].rounds if p in known else 0.0 for p in points])
    squares = worst * (seen - 1) / special.stdtrit(np.maximum(seen - 1, 1), 0.975) ** 2
    mean = squares.sum() / rng.chisquare(freedom + 2, (DRAWS, 1))
    needed = np.full(shape, float(most))
    for n in range(2, most):
        squares = squares + mean * rng.chisquare(1, shape) * ((n > seen) & (anew | (n <= planned)))
        used = np.where(anew, n, planned) - 1
        narrow = squares * special.stdtrit(used, 0.975) ** 2 <= used * n
        needed = np.where(narrow & (n >= np.maximum(seen, planned)), np.minimum(needed, n), needed)
    return needed
