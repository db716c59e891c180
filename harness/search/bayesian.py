"""Bayesian search by Optuna: its TPE sampler proposes the next config from all that are measured.

A new study is made each time and told of every config so far, so the proposal is a function of the
rows alone; its seed is the scenario's, moved by their number.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.analysis.metrics import metric_of
from harness.analysis.summary import SummaryRow
from harness.scenario.variants import DEFAULT_CONFIG
from harness.search.score import best_score, countable, score
from harness.search.space import Goal, Space
from harness.system.packages import require

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ASKS = 30
"""Proposals that are asked for before one is drawn by chance: on a small grid, the sampler comes
back to what it knows."""
STARTUP = 5
"""Configs drawn by chance before the sampler starts to model."""
MISSED = -1e6
"""Value of a config that misses a constraint, less by how much; below any logarithm."""


def check() -> None:
    """Raise MissingPackageError where Optuna is not installed."""
    require("optuna")


def next_configs(space: Space, goal: Goal, rows: Mapping[str, Sequence[SummaryRow]]) -> list[str]:
    """The config to measure next; empty after `goal.trials`, or when all are measured."""
    if DEFAULT_CONFIG not in rows:
        return [DEFAULT_CONFIG]
    left = [name for name in space.configs if name not in rows]
    if not left or len(rows) >= goal.trials:
        return []
    return [_propose(space, goal, rows, left)]


def _propose(
    space: Space, goal: Goal, rows: Mapping[str, Sequence[SummaryRow]], left: Sequence[str]
) -> str:
    check()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = goal.seed * 100_003 + len(rows)
    metrics = len(goal.objective.metrics) if goal.objective.pareto else 1
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    study = optuna.create_study(sampler=sampler, directions=["maximize"] * metrics)
    distributions = _distributions(space)
    places = dict(space.places)
    for name, found in rows.items():
        if (place := places.get(name)) is not None:
            study.add_trial(optuna.trial.create_trial(
                params=dict(zip((a.key for a in space.axes), place, strict=True)),
                distributions=distributions, values=_values(found, goal),
            ))  # fmt: skip
    for _ in range(ASKS):
        trial = study.ask(distributions)
        proposed = space.by_place[tuple(trial.params[axis.key] for axis in space.axes)]
        if proposed in left:
            return proposed
        study.tell(trial, _values(rows[proposed], goal))
    return random.Random(seed).choice(list(left))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """Numbers are indices of a sorted list, so that the sampler knows what lies near; the rest are
    choices."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        axis.key: IntDistribution(0, len(axis.values) - 1)
        if axis.ordered
        else CategoricalDistribution(list(range(len(axis.values))))
        for axis in space.axes
    }


def _values(rows: Sequence[SummaryRow], goal: Goal) -> list[float]:
    """What the study is told of a config: larger is better. The sampler looks at ranks only."""
    best = best_score(rows, goal)
    if best.held < 0 or not goal.objective.pareto:
        value = best.value if best.held == 0 else MISSED * (1 + min(-best.held, 1e6))
        return [value] * (len(goal.objective.metrics) if goal.objective.pareto else 1)
    held = [r for r in rows if countable(r) and score(r, goal).held == 0]
    return [_best(held, name) for name in goal.objective.metrics]


def _best(rows: Sequence[SummaryRow], name: str) -> float:
    """The best value of one metric that a config reaches at any of its points, as a logarithm."""
    values = [v.value for r in rows if (v := r.value(name)) is not None and 0 < v.value < math.inf]
    return max((metric_of(name).sign * math.log(v) for v in values), default=MISSED)
