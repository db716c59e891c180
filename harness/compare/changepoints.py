"""Where a series of runs changes its level: e-divisive.

Splits the series where the energy distance of the two parts is largest, as long as a permutation
test calls that significant, then splits the parts. It assumes no shape of the scatter. Source:
D. S. Matteson, N. A. James, A Nonparametric Approach for Multiple Change Point Analysis of
Multivariate Data, Journal of the American Statistical Association 109 (2014), with exponent 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from harness.compare.verdicts import Float64

LEVEL, PERMUTATIONS, SMALLEST = 0.01, 199, 3
"""Of a test; permutations of one; values of a part."""


def change_points(
    values: Sequence[float], *, level: float = LEVEL, permutations: int = PERMUTATIONS,
    smallest: int = SMALLEST, seed: int = 0,
) -> list[int]:  # fmt: skip
    """Indices at which a new level begins, ascending."""
    series, rng = np.asarray(values, np.float64), np.random.default_rng(seed)
    ends, found = [0, len(series)], list[int]()
    while True:
        parts = [series[a:b] for a, b in itertools.pairwise(ends)]
        splits = [best_split(part, smallest) for part in parts]
        which = max(range(len(parts)), key=lambda n: splits[n][1])
        place, statistic = splits[which]
        if statistic <= 0 or not _significant(parts, statistic, rng, level, permutations, smallest):
            return found
        found = sorted([*found, ends[which] + place])
        ends = [0, *found, len(series)]


def best_split(series: Float64, smallest: int) -> tuple[int, float]:
    """The place with the largest statistic, and that; (0, 0) where there is no room to split."""
    n = len(series)
    if n < 2 * smallest:
        return 0, 0.0
    distance = np.abs(series[:, None] - series[None, :])
    corner = np.zeros((n + 1, n + 1))
    corner[1:, 1:] = distance.cumsum(0).cumsum(1)
    places = np.arange(smallest, n - smallest + 1)
    left = corner[places, places]  # each pair twice
    whole = corner[n, n]
    across = corner[places, n] - left
    right = whole - 2 * across - left
    m, k = places, n - places
    energy = 2 * across / (m * k) - left / (m * (m - 1)) - right / (k * (k - 1))
    statistic = m * k / n * energy
    best = int(np.argmax(statistic))
    return int(places[best]), float(statistic[best])


def _significant(
    parts: Sequence[Float64], statistic: float, rng: np.random.Generator, level: float,
    permutations: int, smallest: int,
) -> bool:  # fmt: skip
    """Whether values in random order within each part split as well in at most `level`."""
    as_good = 1
    for _ in range(permutations):
        best = max(best_split(rng.permutation(part), smallest)[1] for part in parts)
        as_good += best >= statistic
        if as_good > level * (permutations + 1):
            return False
    return True
