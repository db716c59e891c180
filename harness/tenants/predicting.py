"""What two tenants do to each other, from what each does beside stressors: O(n) runs, not O(n²).

Each tenant was measured beside each of a few stressors, and the stressors beside one another. How
much a tenant slows the stressors down is written as a mixture of stressors, with parts of at least
0, that would slow them down as much; another tenant is then predicted to be slowed down beside it
by as much as beside that mixture. With B the excess slow-down of tenants beside stressors, A that
of stressors beside tenants and C that of stressors beside stressors, the excess of w beside v is
B[w]·x with x ≥ 0 that minimises |C x − A[v]|² + λ|x − m|²: a matrix completed from some of its rows
and columns (Nyström's method: C. Williams and M. Seeger, NIPS 2000), the parts by non-negative
least squares (C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, 1974). m, the same for
each stressor, is ΣA[v] / ΣC: where the runs do not tell the stressors apart, a tenant that does
half as much to them all acts like half of each (a ridge towards a prior: B. F. Swindel,
Communications in Statistics A5 (1976)).

It is exact where requests pass through stations that share their rate evenly and each tenant has
one caller: then w is slowed down by the sum over stations of u_w·u_v, of the shares of time that
each alone spends there (arrival theorem: M. Reiser and S. S. Lavenberg, JACM 27 (1980)), whether or
not a stressor uses one station alone. Nothing says that a GPU is such; docs/benchmarks has errors.

That sensitivity to one stressed resource at a time predicts pairs is the idea of "Understanding GPU
resource interference one level deeper" (SoCC 2025, arXiv 2501.16909).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Pair = tuple[str, str]
"""Whose requests take longer, and beside whom."""
RIDGE = 0.1
"""λ, as a share of the mean square of C's entries: stressors that act alike share their part.
Chosen on a recording of workloads that wait for the host; it holds on one of those that wait for
the GPU (tests/data/interference_h200.json).
"""


@dataclass(frozen=True, slots=True)
class Probed:
    """Slow-downs that were measured in one mode: mean time of a request beside another, over that
    alone.
    """

    tenants: Sequence[str]
    stressors: Sequence[str]
    slow_down: Mapping[Pair, float]
    """Of tenants beside stressors, stressors beside tenants, stressors beside stressors."""

    @property
    def known(self) -> bool:
        """Whether all of them were measured."""
        return bool(self.stressors) and self.needed <= self.slow_down.keys()

    @property
    def needed(self) -> set[Pair]:
        """What a prediction takes."""
        mixed = {(t, s) for t in self.tenants for s in self.stressors}
        among = {(r, s) for r in self.stressors for s in self.stressors}
        return mixed | {(s, t) for t, s in mixed} | among

    def excess(self, rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
        """Slow-downs less 1, of the rows beside the columns."""
        return np.array([[self.slow_down[row, c] - 1 for c in columns] for row in rows])

    def share(self, stressor: str, tenant: str) -> float:
        """How much a tenant slows a stressor down, of how much a second such stressor does."""
        own = self.slow_down[stressor, stressor] - 1
        return max(0.0, self.slow_down[stressor, tenant] - 1) / own if own > 0 else 0.0


def mixtures(probed: Probed) -> dict[str, dict[str, float]]:
    """Tenant → the parts of stressors that together do to the stressors what it does."""
    among = probed.excess(probed.stressors, probed.stressors)
    count = len(probed.stressors)
    ridge, whole = np.sqrt(RIDGE * np.mean(among**2)), among.sum()
    stacked = np.vstack([among, ridge * np.eye(count)])
    found = {}
    for tenant in probed.tenants:
        seen = np.array([probed.slow_down[s, tenant] - 1 for s in probed.stressors])
        alike = max(0.0, seen.sum() / whole) if whole > 0 else 0.0
        parts, _ = nnls(stacked, np.concatenate([seen, np.full(count, ridge * alike)]))
        found[tenant] = dict(zip(probed.stressors, map(float, parts), strict=True))
    return found


def predict(probed: Probed) -> dict[Pair, float]:
    """Every tenant beside every other and beside a second one of itself. Needs `probed.known`."""
    mixed = mixtures(probed)

    def of(row: str, column: str) -> float:
        parts = mixed[column].items()
        excess = sum(part * (probed.slow_down[row, stressor] - 1) for stressor, part in parts)
        return max(1.0, 1.0 + excess)

    return _pairs(probed, of)


def by_utilisation(probed: Probed, busy: Mapping[str, float]) -> dict[Pair, float]:
    """What adding utilisations says: two share the device without loss until it is full, and then
    each is slowed down by their sum. `busy` is each tenant's share of the device, alone.
    """
    return _pairs(probed, lambda row, column: max(1.0, busy[row] + busy[column]))


def by_igniter(
    probed: Probed, memory: str, copies: Iterable[str], launches: str | None
) -> dict[Pair, float]:
    """iGniter's formula (F. Xu et al., TPDS 34 (2023), eq. 4 to 8), its coefficients from the same
    runs: a delay of launches that does not depend on who runs beside, kernels that take longer by
    the other's use of the L2 cache, and what the other copies over PCIe. Its term of the clock is
    0 here: no run was at the power cap.
    """

    def of(row: str, column: str) -> float:
        found = probed.share(memory, column) * (probed.slow_down[row, memory] - 1)
        for way in copies:
            found += probed.share(way, column) * (probed.slow_down[row, way] - 1)
        if launches:
            found += probed.slow_down[row, launches] - 1
        return max(1.0, 1.0 + found)

    return _pairs(probed, of)


def _pairs(probed: Probed, of: Callable[[str, str], float]) -> dict[Pair, float]:
    return {(row, column): of(row, column) for row in probed.tenants for column in probed.tenants}


def errors(predicted: Mapping[Pair, float], measured: Mapping[Pair, float]) -> list[float]:
    """Of the pairs that were measured: by which share of the truth each is off."""
    return [
        abs(predicted[pair] / truth - 1) for pair, truth in measured.items() if pair in predicted
    ]


def mean(values: Iterable[float]) -> float | None:
    """None of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None
