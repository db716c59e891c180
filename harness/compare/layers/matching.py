"""Layers of two versions matched, and their differences judged over blocks.

A layer is matched by its name, type and output shape; what is left by its name without the place
that TensorRT gives it in the engine; what is left then, as fusions rename layers, by type and shape
in order. Each block gives a layer's time on both sides, the interquartile mean of
its runs (the runtime's clock has whole microseconds; a median of those would have no scatter). The
differences in microseconds add up, so they are what is judged: paired t over blocks, adjusted by
Holm over the layers. A layer is named where that is below 0.05 and the difference is at least 1 %
of the whole run. What a run takes beyond its layers is a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.compare.verdicts import Float64, half_width, holm, paired_p

LEVEL = 0.05
SMALLEST = 0.01
"""Share of the base's run that a difference must reach."""
REST = "outside of all layers"
Key = tuple[str, str, str]
"""Name, type and output shape."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One process's layers."""

    run_us: float
    layers: Mapping[Key, float]
    """Microseconds."""
    where: Mapping[Key, str]
    """The provider that ran it."""

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Profile:
        """As `harness.inspect.layers.LayerTimes` tells it. Raises KeyError, TypeError."""
        layers = said["layers"]
        assert isinstance(layers, list)
        keys = [(str(x["name"]), str(x["type"]), str(x["shape"])) for x in layers]
        runs = said["run_us"]
        assert isinstance(runs, list)
        return cls(
            middle(runs),
            {key: middle(x["us"]) for key, x in zip(keys, layers, strict=True) if x["us"]},
            {key: str(x["where"]) for key, x in zip(keys, layers, strict=True)},
        )

    def to_json(self) -> dict[str, object]:
        """As `of` reads it."""
        layers = [
            {"name": name, "type": kind, "shape": shape, "where": self.where.get(key, ""),
             "us": [us]}
            for key, us in self.layers.items() for name, kind, shape in [key]
        ]  # fmt: skip
        return {"run_us": [self.run_us], "layers": layers}


Blocks = Sequence[tuple[Profile, Profile]]
"""The base's and the candidate's of each block."""


def middle(values: Sequence[float]) -> float:
    """Mean of the middle half."""
    ordered = np.sort(np.asarray(values, np.float64))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What one layer contributes to the difference; microseconds, slower is positive."""

    name: str
    kind: str
    shape: str
    base_us: float | None
    """None where the base has no such layer; so with the candidate."""
    candidate_us: float | None
    change_us: float
    low_us: float
    high_us: float
    p: float
    """Adjusted over the layers."""
    named: bool
    """Whether it may be called a cause."""
    base_where: str = ""
    candidate_where: str = ""


@dataclass(frozen=True, slots=True)
class Layers:
    """Every layer, the largest contribution first, and what layers don't explain."""

    changes: tuple[LayerChange, ...]
    rest: LayerChange
    blocks: int
    base_us: float
    candidate_us: float
    """Of a whole profiled run."""

    @property
    def named(self) -> tuple[LayerChange, ...]:
        """Those that may be called a cause."""
        return tuple(c for c in self.changes if c.named)


def judge_layers(blocks: Blocks) -> Layers:
    """The layers of at least two blocks. Raises ValueError with fewer."""
    if len(blocks) < 2:
        raise ValueError("at least two blocks are needed")
    one, other = (_ever([block[i] for block in blocks]) for i in (0, 1))
    pairs = match(list(one.layers), list(other.layers))
    times = [
        (
            [block[0].layers.get(a, 0.0) if a else 0.0 for block in blocks],
            [block[1].layers.get(b, 0.0) if b else 0.0 for block in blocks],
        )
        for a, b in pairs
    ]
    whole = [(a.run_us, b.run_us) for a, b in blocks]
    rest = tuple(
        [w[i] - sum(time[i][n] for time in times) for n, w in enumerate(whole)] for i in (0, 1)
    )
    shifts = [np.subtract(b, a) for a, b in (*times, (rest[0], rest[1]))]
    adjusted = holm({str(i): paired_p(shift) for i, shift in enumerate(shifts)})
    base, candidate = (float(np.mean([w[i] for w in whole])) for i in (0, 1))
    changes = [
        _change((one, other), pair, time, shifts[i], adjusted[str(i)], SMALLEST * base)
        for i, (pair, time) in enumerate(zip(pairs, times, strict=True))
    ]
    last = _change(
        (one, other), ((REST, "", ""), (REST, "", "")), (rest[0], rest[1]), shifts[-1],
        adjusted[str(len(shifts) - 1)], SMALLEST * base,
    )  # fmt: skip
    ranked = sorted(changes, key=lambda c: -abs(c.change_us))
    return Layers(tuple(ranked), last, len(blocks), base, candidate)


def _ever(profiles: Sequence[Profile]) -> Profile:
    """Every layer that a side had in some block: an engine that is built anew may have others."""
    layers, where = dict[Key, float](), dict[Key, str]()
    for profile in reversed(profiles):
        layers |= profile.layers
        where |= profile.where
    ordered = dict.fromkeys(key for profile in profiles for key in profile.layers)
    return Profile(profiles[0].run_us, {key: layers[key] for key in ordered}, where)


def match(base: Sequence[Key], candidate: Sequence[Key]) -> list[tuple[Key | None, Key | None]]:
    """Each layer of both sides, in pairs; None where the other side has none like it."""
    found: dict[Key, Key] = {}
    left = list(candidate)
    for alike in (lambda key: key, _placeless, lambda key: key[1:]):
        for key in (k for k in base if k not in found):
            like = next((other for other in left if alike(other) == alike(key)), None)
            if like is not None:
                left.remove(like)
                found[key] = like
    return [*((key, found.get(key)) for key in base), *((None, key) for key in left)]


PLACE = re.compile(r"_myl\d+_\d+$")
"""What TensorRT's compiler ends a layer's name with: its subgraph and its place there."""


def _placeless(key: Key) -> Key:
    return PLACE.sub("", key[0]), key[1], key[2]


def _change(
    block: tuple[Profile, Profile], pair: tuple[Key | None, Key | None],
    times: tuple[Sequence[float], Sequence[float]], shift: Float64, p: float, smallest: float,
) -> LayerChange:  # fmt: skip
    a, b = pair
    name, kind, shape = b or a or ("", "", "")
    mean, n = float(shift.mean()), len(shift)
    half = half_width(float(shift.std(ddof=1)), n)
    return LayerChange(
        name, kind, shape, float(np.mean(times[0])) if a else None,
        float(np.mean(times[1])) if b else None, mean, mean - half, mean + half, p,
        p < LEVEL and abs(mean) >= smallest,
        block[0].where.get(a, "") if a else "", block[1].where.get(b, "") if b else "",
    )  # fmt: skip
