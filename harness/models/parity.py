"""Correctness before speed: a backend's outputs against the eager fp32 reference.

An element agrees when |a − b| ≤ max(atol·rms(b), floor) + rtol·|b|, b being the reference, rms(b)
its root mean square, and the floor what numbers of order 1 that cancel leave behind. A plain
|a − b| ≤ rtol·|b| fails on elements near zero that are differences of large sums: their rounding
error follows the size of the sums, of which the output's scale is the measure.
The tolerances are multiples of the unit roundoff u of a precision's significand (IEEE 754;
bfloat16 and TF32 as published): rounding errors of successive layers add up like a random walk
(Higham & Mary, SIAM J. Sci. Comput. 41(5), 2019), and a result that is wrong is off by about 1.
An output that is NaN or infinite everywhere is wrong on whichever side.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.models.tensors import Array, Tensors
from harness.scenario.spec.model import Parity

Floats = NDArray[np.float64]

TOLERANCES: dict[str, tuple[float, float]] = {
    "fp64": (1e-9, 1e-9),  # u = 2^-53; what computes in fp32 (1e-7) is seen
    "fp32": (1e-3, 1e-3),  # u = 2^-24; sums of thousands of products in any order; see below
    "tf32": (3e-2, 1e-2),  # u = 2^-11: 61 u and 20 u; only factors are rounded, sums are fp32
    "fp16": (8e-2, 1e-2),  # u = 2^-11: 164 u, as activations and sums may be rounded to it too
    "bf16": (2.5e-1, 8e-2),  # u = 2^-8
    "int8": (2.5e-1, 8e-2),  # a step is 2^-8 of the range, some 4 rms to each side: 8 steps
    "fp8": (2.5e-1, 8e-2),  # u = 2^-4 of a factor; only fused and unfused runs are compared
    "int4": (2.5e-1, 8e-2),  # of weights: what is around them is in 16 or 8 bits
}
"""Precision → (atol in units of the output's rms, rtol); docs/models.md has the measurements.

fp32 leaves room for other summation orders and Winograd convolutions, and is below what TF32 (some
u of it are 3e-3) would give. fp16 has more than tf32, which has the same u: activations are kept in
fp16 too, and a runtime may add in it. 0.08 is 7.8 standard deviations of the largest errors
measured (TensorRT-RTX, 0.0102 rms), the largest of 192,000 of which lay 5.6 out.
int8 also stands for a file that is quantized: a fused and an unfused run round to other steps.
"""
FLOORS: dict[str, float] = dict.fromkeys(TOLERANCES, 1e-5) | {"fp64": 2.0**-52, "fp32": 2.0**-23}
"""Precision → smallest absolute tolerance: fp32's machine epsilon, and for what rounds more the
`atol` of `torch.testing.assert_close`. An output of rounding errors only (a mean after a
normalisation) has an rms of that size, and no value of it is right to a thousandth."""
STEPS = 8
"""Most by which an output in 8 bits may differ, in its units, where the model is int8."""
SELF_SHARE = 0.1
"""Part of fp32's tolerance by which a model may differ from itself and still be compared."""


ONE_SIDE = "are NaN or infinite on one side only"
NOWHERE = "are NaN or infinite, on both sides (has model.inputs the values that it takes?)"
"""With all of an output: nothing of it could be compared."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What is wrong with an output: so many of its values, or without a size all of it."""

    where: str
    what: str
    count: int = 0
    size: int = 0

    def __str__(self) -> str:
        many = f": {self.count} of {self.size} values" if self.size else ""
        return f"{self.where}{many} {self.what}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Outputs against the reference, over any number of tensors: add them up with `+`."""

    values: int = 0
    max_abs: float = 0.0
    sum_abs: float = 0.0
    max_rel: float = 0.0
    rows: int = 0
    """Rows of [N, C] outputs, for top-1; 0 where there is no class axis."""
    same_top1: int = 0
    problems: tuple[Mismatch, ...] = ()

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.values + other.values, max(self.max_abs, other.max_abs),
            self.sum_abs + other.sum_abs, max(self.max_rel, other.max_rel),
            self.rows + other.rows, self.same_top1 + other.same_top1,
            _together(self.problems + other.problems),
        )  # fmt: skip

    @property
    def agrees(self) -> bool:
        """Whether everything was comparable and within the tolerance."""
        return not self.problems

    @property
    def mean_abs(self) -> float | None:
        """Mean absolute error; None when nothing was compared."""
        return self.sum_abs / self.values if self.values else None

    @property
    def top1(self) -> float | None:
        """Share of rows whose arg-max agrees; None without a class axis."""
        return self.same_top1 / self.rows if self.rows else None

    @property
    def message(self) -> str:
        """The problems in words, one after the other."""
        return "; ".join(map(str, self.problems))


def _together(problems: Sequence[Mismatch]) -> tuple[Mismatch, ...]:
    """Each kind of problem once, with the values of all that have it."""
    found: dict[tuple[str, str], Mismatch] = {}
    for new in problems:
        key = new.where, new.what
        old = found.get(key, Mismatch(*key))
        found[key] = Mismatch(*key, old.count + new.count, old.size + new.size)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Rule:
    """The tolerance in force: `atol` is in units of rms(b) unless `absolute`."""

    atol: float
    rtol: float
    absolute: bool = False
    floor: float = 0.0
    steps: int = 0
    """By how much integers of 8 bits may differ."""

    @classmethod
    def of(cls, precision: str, parity: Parity) -> Rule:
        """The precision's tolerance, with what the scenario overrides."""
        atol, rtol = TOLERANCES[precision]
        if parity.max_rel_error is not None:
            rtol = parity.max_rel_error
        if parity.max_abs_error is not None:
            return cls(parity.max_abs_error, rtol, absolute=True)
        return cls(atol, rtol, False, FLOORS[precision], STEPS if precision == "int8" else 0)

    def __str__(self) -> str:
        return f"|a−b| ≤ {self.atol:g}{'' if self.absolute else '·rms(b)'} + {self.rtol:g}·|b|"

    def allowed(self, reference: Array, scale: float) -> Floats:
        """The largest error of each element; 0 for integers, unless the scenario or int8 allows."""
        if reference.dtype.kind in "iub" and not self.absolute:
            eight_bits = reference.dtype.kind != "b" and reference.dtype.itemsize == 1
            return np.full(reference.shape, float(self.steps if eight_bits else 0))
        least = self.atol if self.absolute else max(self.atol * scale, self.floor)
        step = float(np.finfo(reference.dtype.name).eps) if reference.dtype.kind == "f" else 0.0
        return np.asarray(least + max(self.rtol, step) * np.abs(reference.astype(np.float64)))


def loosest(*precisions: str) -> str:
    """The one with the most room: a file in fp16 stays fp16 whatever a backend asks for."""
    return max(precisions, key=list(TOLERANCES).index)


def unlike_itself(one: Tensors, two: Tensors, precision: str = "fp32") -> list[str]:
    """Outputs of two runs on the same inputs that are not the same: noise, a clock, dropout.

    What would be compared with them would fail, or pass, by chance. A low `precision` that sums in
    another order each time is not noise: it differs by no more than its own rounding.
    """
    atol, rtol = (SELF_SHARE * value for value in TOLERANCES[precision])
    rule = Rule(atol, rtol, floor=FLOORS[precision])
    return [
        name for name, b in one.items()
        if name not in two or two[name].shape != b.shape
        # another run could have another value, but not where there is none at all
        or any(p.what != NOWHERE for p in _compare(name, two[name], b, rule).problems)
    ]  # fmt: skip


def compare(
    outputs: Tensors, reference: Tensors, precision: str, parity: Parity,
    left_out: Collection[str] = (),
) -> Comparison:  # fmt: skip
    """Compare tensors by name, or by position where the names differ but the shapes agree.

    `precision` is one of `TOLERANCES`. Integers and booleans must be equal, unless the scenario
    sets `max_abs_error`. Outputs of the reference in `left_out` and in `parity.ignore` may be what
    they like.
    """
    pairs, problem = _match(outputs, reference, {*left_out, *parity.ignore})
    if problem:
        return Comparison(problems=(problem,))
    rule = Rule.of(precision, parity)
    return sum((_compare(name, a, b, rule) for name, a, b in pairs), Comparison())


def _match(
    outputs: Tensors, reference: Tensors, left_out: Collection[str]
) -> tuple[list[tuple[str, Array, Array]], Mismatch | None]:
    kept = {name: b for name, b in reference.items() if name not in left_out}
    if kept.keys() <= outputs.keys():
        pairs = [(name, np.asarray(outputs[name]), b) for name, b in kept.items()]
        for name, a, b in pairs:
            if a.shape != b.shape:
                what = f"has shape {list(a.shape)}, the reference {list(b.shape)}"
                return [], Mismatch(name, what)
        return pairs, None
    places = dict(zip(outputs, reference, strict=False))
    ours = _shapes({n: a for n, a in outputs.items() if places.get(n, n) not in left_out})
    theirs = _shapes(kept)
    if list(ours.values()) != list(theirs.values()):
        return [], Mismatch("outputs", f"are {_list(ours)}, the reference has {_list(theirs)}")
    values = zip(kept, ours, kept.values(), strict=True)
    return [(name, np.asarray(outputs[a]), b) for name, a, b in values], None


def _shapes(tensors: Tensors) -> dict[str, list[int]]:
    return {name: list(np.shape(value)) for name, value in tensors.items()}


def _list(shapes: dict[str, list[int]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"


def _compare(name: str, a: Array, b: Array, rule: Rule) -> Comparison:
    if a.size == 0:
        return Comparison()
    if "U" in (a.dtype.kind, b.dtype.kind):
        unlike = int((a.astype(str) != b.astype(str)).sum())
        return Comparison(problems=_problems(name, 0, unlike, a.size, True, "differ"))
    a, b = (np.stack([v.real, v.imag]) if v.dtype.kind == "c" else v for v in (a, b))
    rows, same = _top1(a, b)
    ours, theirs = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(ours) & np.isfinite(theirs)
    alike = finite | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    scale = _rms(theirs[np.isfinite(theirs)])
    error = np.abs(ours[finite] - theirs[finite])
    allowed = rule.allowed(b[finite], scale)
    wrong = error > allowed
    relative = error / np.maximum(np.abs(theirs[finite]), scale)
    return Comparison(
        values=error.size, max_abs=float(error.max(initial=0.0)), sum_abs=float(error.sum()),
        max_rel=float(relative.max(initial=0.0)), rows=rows, same_top1=same,
        problems=_problems(
            name, int((~alike).sum()), int(wrong.sum()), a.size, bool(finite.any()),
            "differ" if not allowed.any() else f"break {rule}",
        ),
    )  # fmt: skip


def _rms(values: Floats) -> float:
    """Root mean square; 1 where there is nothing but zeros."""
    return float(np.sqrt(np.mean(np.square(values)))) or 1.0 if values.size else 1.0


def _top1(a: Array, b: Array) -> tuple[int, int]:
    """(rows, rows with the same arg-max) of floating [N, C] with C of 2 or more."""
    if b.ndim != 2 or b.shape[1] < 2 or b.dtype.kind != "f":
        return 0, 0
    return len(b), int((a.argmax(1) == b.argmax(1)).sum())


def _problems(
    name: str, unlike: int, wrong: int, size: int, finite: bool, differ: str
) -> tuple[Mismatch, ...]:
    found = {ONE_SIDE: unlike, differ: wrong, NOWHERE: 0 if unlike or finite else size}
    return tuple(Mismatch(name, what, n, size) for what, n in found.items() if n)
