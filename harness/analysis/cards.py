"""Rounds of several GPUs or machines: those of one are alike, so the card is a block.

The interval of a value is then one for cards of that kind, not for these rounds: its scatter is
that of the cards' sums (the cluster-robust variance with its small-sample factor G / (G − 1); G.
Kauermann and R. J. Carroll, JASA 96, 2001), with the t of G − 1, where that is wider. Of two cards
nobody can say how cards scatter: the interval stays that of these two. Simulated in
benchmarks/cards.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.analysis.intervals import Interval, t_quantile

FEWEST = 3
"""Cards from which the interval is one for their kind."""


def over_cards(
    interval: Interval, values: Sequence[float], cards: Sequence[str | None]
) -> Interval:
    """The interval of the rounds' `values` that knows on which of the `cards` each was measured."""
    sums: dict[str | None, float] = dict.fromkeys(cards, 0.0)
    if interval.low is None or len(sums) < FEWEST or not all(0 < v < math.inf for v in values):
        return interval
    mean = math.fsum(map(math.log, values)) / len(values)
    for card, value in zip(cards, values, strict=True):
        sums[card] += (math.log(value) - mean) / len(values)
    free = len(sums) - 1
    half = t_quantile(0.975, free) * math.sqrt(
        (free + 1) / free * math.fsum(s**2 for s in sums.values())
    )
    high = None if interval.high is None else max(interval.high, interval.value * math.exp(half))
    return replace(interval, low=min(interval.low, interval.value * math.exp(-half)), high=high)
