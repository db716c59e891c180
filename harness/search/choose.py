"""The two questions that a run asks: which configs next, and which are worth another round."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from harness.analysis.differences import Differences
from harness.analysis.summary import summarize
from harness.results.rows import FailureRow, MeasurementRow
from harness.scenario.variants import DEFAULT_CONFIG
from harness.search import bayesian, quick
from harness.search.halving import not_clearly_worse
from harness.search.score import WORST, by_config, scores
from harness.search.space import Goal, Space


def next_configs(
    space: Space, goal: Goal, rows: Iterable[MeasurementRow], done: Collection[str]
) -> list[str]:
    """Configs to measure next in the first round; empty when the search is over.

    `rows` are the first round's. `done` are the configs that were measured at every point, in the
    order of the first round, or failed: only what these gave is looked at.
    """
    if goal.method not in ("quick", "bayesian"):
        return [name for name in space.configs if name not in done]
    found = by_config(summarize(r for r in rows if r.config in done), space.backend)
    known = {name: found.get(name, []) for name in [*found, *(n for n in done if n not in found)]}
    if goal.method == "bayesian":
        return bayesian.next_configs(space, goal, known)
    return quick.next_configs(space, scores(known, goal))


def kept_configs(
    space: Space, goal: Goal, rows: Iterable[MeasurementRow], failures: Iterable[FailureRow],
    round_: int,
) -> list[str]:  # fmt: skip
    """Configs that round `round_` (1 is the second) measures, judged by the rounds before it.

    Grid keeps all that were measured. Halving drops what is clearly worse. Quick and bayesian
    also keep no more than the best few, besides the default and what was disturbed in each of its
    rounds, where not all were.
    """
    rows, failures = list(rows), list(failures)
    kept = set(space.configs)
    for before in range(round_ if goal.method == "grid" else 1, round_ + 1):
        earlier = [r for r in rows if r.round < before]
        failed = [f for f in failures if f.round < before]
        every = summarize(earlier, failed)
        found = by_config(every, space.backend)
        found = {name: points for name, points in found.items() if name in kept}
        kept = set(found)
        if goal.method != "grid":
            kept = set(not_clearly_worse(found, goal, Differences(every)))
        if goal.method in ("quick", "bayesian"):
            ranked = scores({name: found[name] for name in kept}, goal)
            good = [n for n in kept if n != DEFAULT_CONFIG and ranked.get(n, WORST) > WORST]
            good.sort(key=lambda n: (ranked[n], -space.configs.index(n)), reverse=True)
            loud = [n for n in good if not any(row.quiet for row in found[n])]
            kept = {DEFAULT_CONFIG, *good[: goal.top], *(loud if len(loud) < len(good) else ())}
    return [name for name in space.configs if name in kept]
