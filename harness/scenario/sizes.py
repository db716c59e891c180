"""Sizes of dynamic dimensions that vary: swept one after another, or mixed as production has them.

    dynamic: {sequence: 128}                                  one size
    dynamic: {sequence: [32, 128, 512]}                       sequence=32 sequence=128 sequence=512
    dynamic: {sequence: [{size: 32, share: 9}, {size: 512, share: 1}]}    sequence=mix

Like a batch size, what a request holds is one axis of the sweep; several dimensions that vary are
crossed, and a label holds all of them: `height=mix,width=224`. A load of one label is made of
parts, each with its sizes and its share of the requests; where nothing is mixed, there is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.scenario.spec.model import DynamicSize, SizeShare

MIXED = "mix"
CYCLE = 1000
"""Requests of a mix's cycle, about: each has its share of a thousandth, and no two rounds the same
order."""
BLOCK = 100
"""The most requests of a stretch of the cycle in which each size has its share: fewer where that
comes out even, so that short windows too hold the sizes in their shares."""


@dataclass(frozen=True, slots=True)
class Part:
    """Requests of a load that have the same sizes, and which share of all they are."""

    sizes: Mapping[str, int]
    share: float = 1.0


Kind = tuple[int, int]
"""What one request of a cycle is: the index of its part, and its variant."""


def parts_of(dynamic: Mapping[str, DynamicSize]) -> dict[str, tuple[Part, ...]]:
    """Label → the parts of its load, in the order written; one empty label if nothing varies."""
    axes = [
        [(f"{name}={label}", [(name, size, share) for size, share in shares])
         for label, shares in _values(value)]
        for name, value in dynamic.items() if not isinstance(value, int)
    ]  # fmt: skip
    return {
        ",".join(label for label, _ in chosen): tuple(
            Part({name: size for name, size, _ in part}, math.prod(s for *_, s in part))
            for part in itertools.product(*(shares for _, shares in chosen))
        )
        for chosen in itertools.product(*axes)
    }


def _values(
    value: tuple[int, ...] | tuple[SizeShare, ...],
) -> list[tuple[str, list[tuple[int, float]]]]:
    """The label of each value on the axis of one dimension, and its sizes with their shares."""
    mixed = [s for s in value if isinstance(s, SizeShare)]
    if mixed:
        total = sum(s.share for s in mixed)
        return [(MIXED, [(s.size, s.share / total) for s in mixed])]
    return [(str(size), [(size, 1.0)]) for size in value if isinstance(size, int)]


def every_size(dynamic: Mapping[str, DynamicSize]) -> tuple[Mapping[str, int], ...]:
    """The sizes of every request that is made, each once: empty ones if nothing varies."""
    found = {tuple(p.sizes.items()): p.sizes for ps in parts_of(dynamic).values() for p in ps}
    return tuple(found.values())


def largest(dynamic: Mapping[str, DynamicSize]) -> dict[str, int]:
    """Each dimension's size, the largest of those that vary."""
    values = {n: [v] if isinstance(v, int) else [*map(_size, v)] for n, v in dynamic.items()}
    return {name: max(sizes) for name, sizes in values.items()}


def _size(value: int | SizeShare) -> int:
    return value if isinstance(value, int) else value.size


def label_of(sizes: Mapping[str, int]) -> str:
    """`sequence=128`; empty for none."""
    return ",".join(f"{name}={size}" for name, size in sizes.items())


def request_text(batch_size: int, sizes: str) -> str:
    """What a request holds: `4`, or with sizes that vary `4 · sequence=128`."""
    return " · ".join(filter(None, (str(batch_size), sizes)))


def request_id(batch_size: int, sizes: str) -> str:
    """The same in a point's name: `b4`, `b4,sequence=128`."""
    return ",".join(filter(None, (f"b{batch_size}", sizes)))


def decisive(labels: Iterable[str]) -> str:
    """The label that a run is decided at: the mix if there is one, else that of the largest sizes.

    A size is no choice of who deploys, as a batch is: a shorter sequence is faster and no better.
    """
    return max({*labels}, key=_weight, default="")


def _weight(label: str) -> tuple[int, int, str]:
    values = [pair.rpartition("=")[2] for pair in label.split(",") if pair]
    sizes = [int(v) for v in values if v.isdecimal()]
    return values.count(MIXED), math.prod(sizes), label


def cycle(parts: Sequence[Part], distinct: int, seed: int) -> list[Kind]:
    """What the requests of a load are, in the order in which they are sent over and over again.

    Of one part, its `distinct` variants. Of several, stretches in each of which every part has
    its share (as near as whole requests come; over the cycle each has one at least), each in an
    order drawn from `seed`; the variants of a part take turns.
    """
    if len(parts) == 1:
        return [(0, variant) for variant in range(distinct)]
    rng = np.random.default_rng([seed, len(parts)])
    shares = [p.share for p in parts]
    stretches = CYCLE // next((n for n in range(1, BLOCK) if _even(shares, n)), BLOCK)
    ends = _counts(shares, CYCLE)
    turns = [itertools.cycle(range(distinct)) for _ in parts]
    found: list[Kind] = []
    for stretch in range(stretches):
        counts = [n * (stretch + 1) // stretches - n * stretch // stretches for n in ends]
        order = rng.permutation(np.repeat(np.arange(len(parts)), counts))
        found += [(int(part), next(turns[part])) for part in order]
    return found


def _even(shares: Sequence[float], count: int) -> bool:
    """Whether these shares of a count are whole numbers."""
    return all(abs(count * s - round(count * s)) < 1e-9 * count for s in shares)


def _counts(shares: Sequence[float], total: int) -> Collection[int]:
    """Whole numbers near `total` × each share, that add up to it; at least 1 each (the method of
    largest remainders)."""
    exact = [max(1.0, total * share) for share in shares]
    counts = [math.floor(x) for x in exact]
    by_rest = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for index in by_rest[: max(0, total - sum(counts))]:
        counts[index] += 1
    return counts
