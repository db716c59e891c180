"""Whether what is given is what the model wants: every way in which it is not, in one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.infer.given import ONLY, Given, Images
from harness.models import bfloat16
from harness.models.inputs import make_inputs, numpy_dtype
from harness.models.strings import STRING
from harness.models.tensors import BATCH, Array, InputData, PreparedModel, TensorSpec
from harness.system.packages import require
from harness.triton.dtypes import TRITON


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a model takes, as it, or the server that has it, says."""

    name: str
    inputs: tuple[TensorSpec, ...]
    optional: frozenset[str] = frozenset()
    max_batch: int | None = None
    """None: not known; 0: it takes shapes as they are."""
    data: Mapping[str, InputData] = field(default_factory=dict)
    """Of a scenario: what its inputs hold where nothing is given, and how images are normalised."""
    dynamic: Mapping[str, int] = field(default_factory=dict)
    fills: bool = False
    """Whether inputs that are not given are made as the scenario says."""

    def words(self) -> str:
        """Name, type and shape of each input, as an error says them."""
        parts = [describe(spec) for spec in self.inputs]
        optional = f"; optional: {', '.join(sorted(self.optional))}" if self.optional else ""
        most = f"; batches up to {self.max_batch}" if self.max_batch else ""
        return f"'{self.name}' wants {', '.join(parts) or 'no input'}{optional}{most}"


@dataclass(frozen=True, slots=True)
class Pixels:
    """How images become numbers: divided by 255, then `(x - mean) / std` a channel."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def describe(spec: TensorSpec) -> str:
    """`x float32 (FP32) [batch, 3, 224, 224]`."""
    triton = f" ({TRITON[spec.dtype]})" if spec.dtype in TRITON else ""
    return f"{spec.name} {spec.dtype}{triton} [{', '.join(map(str, spec.shape))}]"


def fit(wanted: Wanted, given: Mapping[str, Given], pixels: Pixels) -> dict[str, Array]:
    """The inputs of one request, all of one batch size.

    Raises UsageError with everything that does not match: names, types, shapes, the batch.
    """
    specs = {spec.name: spec for spec in wanted.inputs}
    named = _named(wanted, given)
    problems = [*_names(wanted, named)]
    arrays: dict[str, Array] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for name, value in named.items():
        if name not in specs:
            continue
        try:
            array = _array(specs[name], value, wanted, pixels)
        except UsageError as error:
            problems.append(error.message)
            continue
        array = _with_batch(specs[name], array)
        found = list(_mismatches(specs[name], array, sizes))
        problems += found
        if not found:
            arrays[name] = _cast(specs[name], array)
    batch = sizes.get(BATCH, (1, ""))[0]
    if wanted.max_batch and batch > wanted.max_batch:
        problems.append(f"batch {batch} is more than max_batch_size {wanted.max_batch}")
    if problems:
        raise UsageError("; ".join(problems), fix=wanted.words())
    return {**_filled(wanted, arrays, sizes), **arrays}


def _named(wanted: Wanted, given: Mapping[str, Given]) -> dict[str, Given]:
    """What was given without a name belongs to the only input that needs something."""
    named = dict(given)
    if ONLY in named:
        free = [
            s.name for s in wanted.inputs if s.name not in given and s.name not in wanted.optional
        ]
        if len(free) != 1 and wanted.fills:
            free = free[:1]
        if len(free) != 1:
            raise UsageError(
                f"which input the data is for is not clear: {', '.join(free) or 'all have theirs'}",
                fix=f"--input NAME=FILE; {wanted.words()}",
            )
        named[free[0]] = named.pop(ONLY)
    return named


def _names(wanted: Wanted, named: Mapping[str, Given]) -> Iterator[str]:
    there = [spec.name for spec in wanted.inputs]
    for name in named:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield f"there is no input '{name}'{hint}"
    for name in there:
        if name not in named and name not in wanted.optional and not wanted.fills:
            yield f"input '{name}' is not given"


def _array(spec: TensorSpec, value: Given, wanted: Wanted, pixels: Pixels) -> Array:
    """What is given as an array; images by the same code as a scenario's."""
    if not isinstance(value, Images):
        return value
    own = wanted.data.get(spec.name, {}).get("data")
    mean, std = (own.get("mean"), own.get("std")) if isinstance(own, dict) else (None, None)
    mean, std = list(pixels.mean) or mean, list(pixels.std) or std
    files = [str(path.resolve()) for path in value.files]
    data: dict[str, InputData] = {spec.name: {"data": {"files": files, "mean": mean, "std": std}}}
    sides = _sides(spec, value.files[0], wanted.dynamic)
    model = PreparedModel(
        wanted.name, {}, "", (spec,), (), dynamic=sides, data=data,
        batch=None if BATCH in spec.shape else "none",
    )  # fmt: skip
    return make_inputs(model, len(files) if BATCH in spec.shape else 1, 0)[spec.name]


def _sides(spec: TensorSpec, path: Path, known: Mapping[str, int]) -> dict[str, int]:
    """Sizes of free dimensions: the scenario's, or the first image's own height and width."""
    words = [d for d in spec.shape if isinstance(d, str) and d != BATCH and d not in known]
    if not words:
        return dict(known)
    image = require("PIL.Image")
    try:
        with image.open(path) as opened:
            width, height = opened.size
    except OSError as error:
        raise UsageError(f"input {spec.name}: {path} can't be read: {error}") from error
    return {**known, **dict(zip(words, (height, width), strict=False))}


def _with_batch(spec: TensorSpec, array: Array) -> Array:
    """One sample without its batch dimension gets one; what is none stays as it was given."""
    if BATCH not in spec.shape or array.ndim != len(spec.shape) - 1:
        return array
    sizes = [size for size in spec.shape if size != BATCH]
    fits = all(isinstance(w, str) or s == w for s, w in zip(array.shape, sizes, strict=True))
    return np.expand_dims(array, spec.shape.index(BATCH)) if fits else array


def _mismatches(spec: TensorSpec, array: Array, sizes: dict[str, tuple[int, str]]) -> Iterator[str]:
    """In what an array is not as wanted; `sizes` are those of the free dimensions so far."""
    what = f"input '{spec.name}'"
    if not _castable(spec, array):
        given = "string" if array.dtype.kind in "US" else str(array.dtype)
        yield f"{what} is {given} here, {spec.dtype} ({TRITON.get(spec.dtype, '?')}) is wanted"
    shape, wants = list(array.shape), f"[{', '.join(map(str, spec.shape))}]"
    if len(shape) != len(spec.shape) or any(
        isinstance(w, int) and w != s for s, w in zip(shape, spec.shape, strict=False)
    ):
        yield f"{what} has the shape {shape} here, {wants} is wanted"
        return
    for size, word in zip(shape, spec.shape, strict=True):
        if isinstance(word, str):
            known, where = sizes.setdefault(word, (size, spec.name))
            if known != size:
                yield f"{what} has {word} {size}, but '{where}' has {known}"


def _castable(spec: TensorSpec, array: Array) -> bool:
    """Numbers without loss of their kind; whole ones only where each value fits."""
    if spec.dtype == STRING or array.dtype.kind in "US":
        return spec.dtype == STRING and array.dtype.kind in "US"
    target = numpy_dtype(spec.dtype)
    if array.dtype.kind in "iub" and target.kind in "iu":
        return np.array_equal(array.astype(target), array)
    return np.can_cast(array.dtype, target, "same_kind")


def _cast(spec: TensorSpec, array: Array) -> Array:
    if spec.dtype == STRING:
        return array
    cast = np.ascontiguousarray(array.astype(numpy_dtype(spec.dtype)))
    return bfloat16.rounded(cast) if spec.dtype == "bfloat16" else cast


def _filled(
    wanted: Wanted, arrays: Mapping[str, Array], sizes: Mapping[str, tuple[int, str]]
) -> dict[str, Array]:
    """The inputs that are not given, as a scenario makes its first request; none of a server's."""
    rest: Sequence[TensorSpec] = [s for s in wanted.inputs if s.name not in arrays]
    if not wanted.fills or not rest:
        return {}
    own = {word: size for word, (size, _) in sizes.items() if word != BATCH}
    batched = any(BATCH in spec.shape for spec in rest)
    model = PreparedModel(
        wanted.name, {}, "", tuple(rest), (), dynamic={**wanted.dynamic, **own},
        data={k: v for k, v in wanted.data.items() if k not in arrays},
        batch=None if batched else "none",
    )  # fmt: skip
    return make_inputs(model, sizes.get(BATCH, (1, ""))[0] if batched else 1, 0)
