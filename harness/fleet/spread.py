"""How the GPUs or machines of a merged run differ: their spread, and whether one is slower.

All points of a round share its luck, so a round is one reading of its card: the median over the
points of how far each lies from its own mean. Readings of one card scatter by the rounds' luck,
pooled over the cards; what the cards' means vary beyond that is the spread of the cards. Its
interval is that of the variance component with unequal numbers of rounds by unweighted means (J. D.
Thomas and R. A. Hultquist, Annals of Statistics 6, 1978), by the generalized pivotal quantity of S.
Weerahandi (Exact Statistical Methods for Data Analysis, 1995), drawn with a seed. A card is called
slower where the interval of its difference from the mean of the others, at 95 % for all cards
together, lies wholly below, and the difference is more than `MARGIN`. Error rates:
benchmarks/cards.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.intervals import Interval, t_quantile
from harness.results.grouping import grouped
from harness.results.rows import MeasurementRow

MARGIN = 0.01
"""Slower by less is not worth a name."""
DRAWS, SEED, SWEEPS = 10_000, 20_261_128, 20
LEVEL = 0.95
Float64 = NDArray[np.float64]
Readings = Mapping[str, Sequence[float]]
"""Card → log of each of its rounds, relative to the points' means."""


@dataclass(frozen=True, slots=True)
class Card:
    """One card beside the mean of the others."""

    name: str
    rounds: int
    relative: Interval
    """Its speed over theirs, with an interval at 95 % for all cards together; without one where no
    card has two rounds."""

    @property
    def slower(self) -> bool:
        """Whether it is shown to be slower than its peers."""
        return (self.relative.high or math.inf) < 1 and self.relative.value < 1 - MARGIN


@dataclass(frozen=True, slots=True)
class Spread:
    """The cards of a run."""

    cards: tuple[Card, ...]
    deviation: Interval
    """Of one card from the mean of its kind, as a share: 0.01 is 1 %. Without ends where no card
    has two rounds: then it is that of card and round together."""

    def sentences(self) -> list[str]:
        """What to say of it."""
        low, high = self.deviation.low, self.deviation.high
        names = f"{len(self.cards)} GPUs or machines"
        if low is None or high is None:
            return [
                f"between {names}: {_percent(self.deviation.value)} from one to another, what "
                "rounds differ by included, since none has two rounds: no card is judged"
            ]
        said = [f"between {names}: speeds differ by {_percent(self.deviation.value)} "
                f"({_percent(low)} to {_percent(high)}), as a standard deviation"]  # fmt: skip
        said += [
            f"{c.name} is slower than its peers by {_percent(1 - c.relative.value)} "
            f"({_percent(1 - (c.relative.high or 0))} to {_percent(1 - (c.relative.low or 0))})"
            for c in self.cards if c.slower
        ]  # fmt: skip
        return said


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:,.0f} %"


def spread_of(rows: Sequence[MeasurementRow]) -> Spread | None:
    """The spread of the cards that the rows were measured on; None where there is one only."""
    found = readings(rows)
    return between(found) if len(found) > 1 else None


def readings(rows: Sequence[MeasurementRow]) -> dict[str, list[float]]:
    """A reading for each round of each card: of closed loops by throughput, where there are none by
    the reciprocal of the median latency.
    """
    closed = [r for r in rows if r.concurrency is not None]
    values: dict[tuple[str, int], float] = {}
    for row in closed or rows:
        p50 = row.latency_ms.get("p50")
        speed = row.throughput if closed else 1 / p50 if p50 else 0.0
        if 0 < speed < math.inf and row.details.get("block"):
            values[row.point, row.round] = math.log(speed)
    points, rounds = sorted({p for p, _ in values}), sorted({r for _, r in values})
    table = np.array([[values.get((p, r), np.nan) for r in rounds] for p in points])
    effects = dict(zip(rounds, _rounds(table).tolist(), strict=True)) if points else {}
    by_card = grouped((r for r in rows if r.round in effects), lambda r: r.details.get("block"))
    return {
        str(card): [effects[n] for n in sorted({r.round for r in of})]
        for card, of in by_card.items() if card
    }  # fmt: skip


def _rounds(table: Float64) -> Float64:
    """What each round has in common, of logs by point and round with gaps: the median of what is
    left when each point's level is taken away, in turns.
    """
    effect = np.zeros(table.shape[1])
    for _ in range(SWEEPS):
        level = np.nanmean(table - effect, axis=1, keepdims=True)
        effect = np.nanmedian(table - level, axis=0)
        effect -= effect.mean()
    return effect


def between(found: Readings) -> Spread:
    """The spread of two cards or more, from their rounds' readings."""
    counts = np.array([len(of) for of in found.values()], float)
    means = np.array([np.mean(of) for of in found.values()])
    free = int(counts.sum()) - len(counts)
    squares = sum(float(((np.array(of) - m) ** 2).sum())
                  for of, m in zip(found.values(), means, strict=True))  # fmt: skip
    scatter = squares / free if free else 0.0
    least = t_quantile(1 - (1 - LEVEL) / 2 / len(counts), free) if free else math.inf
    cards = []
    for n, name in enumerate(found):
        others = np.delete(np.arange(len(counts)), n)
        difference = float(means[n] - means[others].mean())
        part = 1 / counts[n] + float((1 / counts[others]).sum()) / len(others) ** 2
        relative = Interval(math.exp(difference), rounds=int(counts[n]))
        if free:
            half = least * math.sqrt(scatter * part)
            ends = (math.exp(difference - half), math.exp(difference + half))
            relative = Interval(math.exp(difference), *ends, int(counts[n]))
        cards.append(Card(name, int(counts[n]), relative))
    return Spread(tuple(cards), _deviation(means, counts, squares, free))


def _deviation(means: Float64, counts: Float64, squares: float, free: int) -> Interval:
    variance = float(means.var(ddof=1))
    if not free:
        return Interval(math.sqrt(variance))
    harmonic = len(counts) / float((1 / counts).sum())
    rng = np.random.default_rng(SEED)
    cards = (len(means) - 1) * variance / rng.chisquare(len(means) - 1, DRAWS)
    rounds = squares / rng.chisquare(free, DRAWS) / harmonic
    low, high = np.quantile(np.sqrt(np.maximum(cards - rounds, 0)), (0.025, 0.975)).tolist()
    return Interval(math.sqrt(max(variance - squares / free / harmonic, 0)), low, high)
