"""Which dimensions of an ONNX file have the batch's size: found by running it at two sizes.

Exporters give dimensions names that they made up, often another one for each tensor, so names do
not say which sizes are one. Running the file on the CPU does: those that must change together are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from harness.models.batch import MADE_UP, Following, Specs
from harness.models.inputs import make_inputs
from harness.models.onnx_file import SILENT, cpu_session
from harness.models.tensors import PreparedModel

SIZES = (16, 64, 256, 512)
"""Tried in this order for dimensions without a size, until the file runs. None is 1, which would
broadcast, and most strides divide them."""
LARGEST = 20_000_000
"""Elements of an input that is tried, at most."""
Shapes = list[tuple[int, ...]]


def following(path: Path, outputs: Specs, model: PreparedModel) -> Following:
    """What finds the dimensions that follow the batch in this file; `model` has data and sizes."""

    def found(inputs: Specs, names: Sequence[str]) -> frozenset[str] | None:
        free = dict.fromkeys(
            d for s in inputs for d in s.shape if isinstance(d, str) and d not in model.dynamic
        )
        others = [d for d in free if d != names[0] and (d in names or MADE_UP.fullmatch(d))]
        known = {d for s in inputs for d in s.shape}
        unnamed = any(isinstance(d, str) and d not in known for s in outputs for d in s.shape)
        if not others and not unnamed:
            return None  # the names say it
        try:
            return _Runs(path, inputs, outputs, model, list(free)).follow(names[0], others)
        except Exception:  # the file can't be run here: names must do
            return None

    return found


class _Runs:
    """The file, with all free dimensions at one size, or some of them at twice that."""

    def __init__(
        self, path: Path, inputs: Specs, outputs: Specs, model: PreparedModel, free: list[str]
    ) -> None:
        self._session = cpu_session(path, optimised=False, severity=SILENT)
        self._inputs, self._outputs, self._model, self._free = inputs, outputs, model, free
        self._size = 0

    def follow(self, batch: str, others: Sequence[str]) -> frozenset[str] | None:
        """The names of dimensions that must be what `batch` is; None where no size runs."""
        for self._size in SIZES:
            if (before := self._shapes(())) is not None:
                break
        else:
            return None
        group = [batch, *others]
        if self._shapes(group) is None:
            group = [batch]
        for name in others if len(group) > 1 else ():
            fewer = [d for d in group if d != name]
            group = group if self._shapes(fewer) is None else fewer
        after = self._shapes(group)
        if after is None:
            return None
        return frozenset(group) | {
            d
            for spec, small, large in zip(self._outputs, before, after, strict=True)
            for d, a, b in zip(spec.shape, small, large, strict=True)
            if isinstance(d, str) and (a, b) == (self._size, 2 * self._size)
        }

    def _shapes(self, doubled: Collection[str]) -> Shapes | None:
        """The outputs' shapes with these dimensions at twice the size; None if it does not run."""
        sizes = {**self._model.dynamic, **dict.fromkeys(self._free, self._size)}
        sizes |= dict.fromkeys(doubled, 2 * self._size)
        inputs = tuple(
            replace(s, shape=tuple(sizes[d] if isinstance(d, str) else d for d in s.shape))
            for s in self._inputs
        )
        if any(math.prod(map(int, s.shape)) > LARGEST for s in inputs):
            return None
        try:
            arrays = make_inputs(replace(self._model, inputs=inputs, batch="none"), 1, 0)
            return [array.shape for array in self._session.run(None, arrays)]
        except Exception:
            return None
