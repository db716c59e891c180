"""GPU memory of combinations that were not measured: a model fitted to those that were.

    MiB = fixed + callers·c + batch·b + batch·callers·bc (+ instances·i)

What is fixed is the context, the weights and the libraries; each caller has buffers of its own (a
TensorRT context, a stream's cache); activations go with the batch, and with the batches that are in
flight at once. No term is negative: more of anything never takes less (Lawson and Hanson's NNLS,
scipy.optimize.nnls), and points weigh by their relative error. A term that the run does not vary
is not in the model.

The error is that of each point predicted by the model of all the others. The range is the
jackknife+ of Barber, Candès, Ramdas and Tibshirani (Annals of Statistics 2021) on relative
residuals: it holds a new combination at least 1 - 2α of the time where combinations are
exchangeable, which those of a grid are not quite; benchmarks/memory_model.py has the coverage, on
recorded runs too. Beyond the largest batch or number of callers that was measured it is no more
than an extrapolation, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.metrics import alone
from harness.analysis.summary import SummaryRow
from harness.errors import InconclusiveError, UsageError
from harness.results.rows import LoadedRow, MeasurementRow
from harness.results.store import RunData

ALPHA = 0.1
FEWEST = 2
"""How many more points than terms there must be."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Combination:
    """What a replica's memory is taken to depend on."""

    batch: int
    callers: int
    instances: int = 1

    def __str__(self) -> str:
        copies = "" if self.instances == 1 else f", {self.instances} instances"
        return f"batch {self.batch}, {_callers(self.callers)}{copies}"


def _callers(count: int) -> str:
    return f"{count} caller{'' if count == 1 else 's'}"


TERMS: dict[str, Callable[[Combination], float]] = {
    "fixed": lambda c: 1.0,
    "a caller": lambda c: float(c.callers),
    "an item of a batch": lambda c: float(c.batch),
    "an item of each caller": lambda c: float(c.batch * c.callers),
    "an instance": lambda c: float(c.instances),
}
VARIES: dict[str, tuple[str, ...]] = {
    "fixed": (), "a caller": ("callers",), "an item of a batch": ("batch",),
    "an item of each caller": ("batch", "callers"), "an instance": ("instances",),
}  # fmt: skip
"""What has to vary in a run for a term to be in the model."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Memory of one combination, MiB."""

    combination: Combination
    mib: float
    low: float
    high: float
    extrapolated: bool
    """Whether it is larger than anything measured, in some way."""


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Fitted to one backend's points."""

    backend: str
    coefficients: Mapping[str, float]
    """Term → MiB; see `TERMS`."""
    points: tuple[tuple[Combination, float], ...]
    """What it was fitted to, MiB."""
    errors: tuple[float, ...]
    """Of each point by the model of the others, relative to the measured: +0.05 is 5 % too much."""
    _others: tuple[Mapping[str, float], ...]
    """The model without each point."""

    @property
    def worst(self) -> float:
        """The largest error in size."""
        return max(map(abs, self.errors))

    @property
    def typical(self) -> float:
        """The median error in size."""
        return float(np.median(np.abs(self.errors)))

    def at(self, combination: Combination) -> Estimate:
        """The estimate with its range."""
        ends = [
            (_value(without, combination), abs(error))
            for without, error in zip(self._others, self.errors, strict=True)
        ]
        rank = min(len(ends), math.ceil((1 - ALPHA) * (len(ends) + 1)))
        highs = sorted(value * (1 + error) for value, error in ends)
        lows = sorted((value * (1 - error) for value, error in ends), reverse=True)
        measured = [c for c, _ in self.points]
        beyond = any(
            getattr(combination, key) > max(getattr(c, key) for c in measured)
            for key in ("batch", "callers", "instances")
        )
        value = _value(self.coefficients, combination)
        return Estimate(combination, value, lows[rank - 1], highs[rank - 1], beyond)


def combination_of(text: str) -> Combination:
    """`batch=16,callers=8,instances=2` as one; what is left out is 1. Raises UsageError."""
    found: dict[str, int] = {}
    for part in text.split(","):
        key, _, number = (word.strip() for word in part.partition("="))
        if key not in ("batch", "callers", "instances") or key in found or not number.isdecimal():
            raise UsageError(f"--at: '{text}' is none", fix="write batch=16,callers=8,instances=2")
        found[key] = int(number)
    combination = Combination(**{"batch": 1, "callers": 1, **found})
    if min(combination.batch, combination.callers, combination.instances) < 1:
        raise UsageError(f"--at: in '{text}' each must be at least 1")
    return combination


def no_model(backend: str, *, known: bool) -> InconclusiveError:
    """Why a backend's memory can't be estimated; `known` says whether any of it was measured."""
    if not known:
        return InconclusiveError(
            f"of {backend} no GPU memory was measured, so none can be estimated",
            fix="plan from a run of a backend on a GPU, or leave out --at",
        )
    return InconclusiveError(
        f"the run has too few points of {backend} with GPU memory to estimate others",
        fix="measure more batch sizes or callers (at least two more than the terms)",
    )


def instances_of(data: RunData, backend: str, otherwise: int) -> dict[str, int]:
    """Config → copies of the model, as the run's loads say it; `otherwise` where they don't."""
    found = {}
    for row in data.rows(LoadedRow):
        if row.backend == backend:
            count = row.details.get("settings", {}).get("instances")
            found[row.config] = count if isinstance(count, int) else otherwise
    return found


def memory_rows(row: SummaryRow) -> list[MeasurementRow]:
    """The rounds that say how much memory a point takes, disturbed ones too: that others were there
    changes a point's time, and its memory only where no more than the whole card's could be read.
    """
    every = (*row.every, *row.confirmation)
    own = [m for m in every
           if m.gpu_memory_scope != "device" or "foreign_gpu_process" not in m.flags]  # fmt: skip
    return alone(own or every, row.compared)


def fit_memory(
    rows: Sequence[SummaryRow], backend: str, instances: Mapping[str, int]
) -> MemoryModel | None:
    """The model of a backend's GPU memory; None where its points are too few to show an error.

    Points in a closed loop count, each by its largest peak; `instances` says how many copies a
    config has.
    """
    found: dict[Combination, float] = {}
    for row in rows:
        known = [m.gpu_memory_mib for m in memory_rows(row) if m.gpu_memory_mib]
        if row.backend == backend and row.concurrency is not None and known:
            combination = Combination(row.batch_size, row.concurrency, instances.get(row.config, 1))
            found[combination] = max(found.get(combination, 0.0), *known)
    points = tuple(found.items())
    varied = {
        key for key in ("batch", "callers", "instances")
        if len({getattr(c, key) for c in found}) > 1
    }  # fmt: skip
    terms = [name for name, needs in VARIES.items() if varied.issuperset(needs)]
    if len(points) < len(terms) + FEWEST:
        return None
    others = tuple(_fit(points[:i] + points[i + 1 :], terms) for i in range(len(points)))
    errors = tuple(
        _value(without, combination) / mib - 1
        for without, (combination, mib) in zip(others, points, strict=True)
    )
    return MemoryModel(backend, _fit(points, terms), points, errors, others)


def _fit(points: Sequence[tuple[Combination, float]], terms: Sequence[str]) -> dict[str, float]:
    from scipy.optimize import nnls

    wanted = np.array([mib for _, mib in points])
    matrix = np.array([[TERMS[name](c) for name in terms] for c, _ in points]) / wanted[:, None]
    found, _ = nnls(matrix, np.ones(len(points)))
    return dict(zip(terms, map(float, found), strict=True))


def _value(coefficients: Mapping[str, float], combination: Combination) -> float:
    return sum(size * TERMS[name](combination) for name, size in coefficients.items())
