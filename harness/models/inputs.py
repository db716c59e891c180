"""Input tensors: random, zeros, or from files; the same on every machine and in every process.

A tensor depends on the seed, the input's name, the batch size and the variant, and on nothing
else. numpy has no bfloat16: such inputs are float32 arrays that hold bfloat16 values exactly, and
the backend casts them (the convention of Triton's clients).
"""

from __future__ import annotations

import functools
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.models import bfloat16
from harness.models.strings import STRING, string_input
from harness.models.tensors import BATCH, Array, FileData, InputData, PreparedModel, TensorSpec
from harness.scenario.spec.model import IMAGES
from harness.system.machine import memory_bytes
from harness.system.packages import require

Shape = tuple[int, ...]
Bounds = Sequence[float]
DRAWN = 262_139
"""Values at most that a random tensor is drawn from; a larger one repeats them. A prime, so that no
two samples of a batch are alike. A point of images takes 300 MiB of inputs: drawing them all took
longer than measuring it.
"""


def make_inputs(
    model: PreparedModel, batch_size: int, variant: int, seed: int = 0
) -> dict[str, Array]:
    """Input name → array for one request; `variant` numbers the distinct requests from 0.

    Raises UsageError when a file does not fit, a dynamic dimension has no size, or every input has
    a fixed shape of another batch size.
    """
    _check_batch(model, batch_size)
    check_memory(model, batch_size)
    check_sizes(model.inputs, model.dynamic)
    return {spec.name: _make(spec, model, batch_size, variant, seed) for spec in model.inputs}


def _check_batch(model: PreparedModel, batch: int) -> None:
    """Refuse a batch size that no input's shape follows: throughput would be counted with it.

    Inputs without a batch dimension are those an engine or a server tells. One request of such a
    server model may count as one inference, whatever its first dimension means; an engine's first
    dimension is its batch.
    """
    if not model.inputs or model.batched:
        return
    if model.batch == "none":
        if batch == 1:
            return
        raise one_inference(model.name, batch)
    fixed = {s.name: s.shape[0] if s.shape else 1 for s in model.inputs}
    sizes = {name: n for name, n in fixed.items() if isinstance(n, int) and n != 1} or fixed
    if batch in sizes.values() or (batch == 1 and "engine" not in model.source):
        return
    spec = next(spec for spec in model.inputs if spec.name in sizes)
    unlike = "triton" in model.source and len({*fixed.values()}) > 1
    if unlike or not isinstance(sizes[spec.name], int):
        raise one_inference(model.name, batch)
    raise UsageError(
        f"input {spec.name} has the fixed shape {_words(list(spec.shape))}, "
        f"load.batch_sizes asks for {batch}",
        fix=f"use batch_sizes: [{sizes[spec.name]}]",
    )


def one_inference(name: str, batch: int) -> UsageError:
    """The error of a batch size for a model without a batch."""
    return UsageError(
        f"{name} has no batch: a request is one inference; load.batch_sizes asks for {batch}",
        fix="use batch_sizes: [1], or say under model.batch which axis is the batch",
    )


def shape_of(spec: TensorSpec, batch_size: int, dynamic: Mapping[str, int]) -> Shape:
    """The sizes of `spec` at this batch size. Raises UsageError for a dimension without a size."""
    sizes = {**dynamic, BATCH: batch_size}
    check_sizes([spec], sizes)
    return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in spec.shape)


def check_sizes(specs: Sequence[TensorSpec], sizes: Mapping[str, int], where: str = "") -> None:
    """Refuse inputs with dynamic dimensions that have no size; the UsageError names all of them."""
    missing: dict[str, None] = {}
    names = []
    for spec in specs:
        lacks = [d for d in spec.shape if isinstance(d, str) and d not in sizes and d != BATCH]
        missing |= dict.fromkeys(lacks)
        names += [spec.name] if lacks else []
    if not missing:
        return
    named = ", ".join(f"'{dim}'" for dim in missing)
    many, verb = ("dimensions", "have") if len(missing) > 1 else ("dimension", "has")
    add = ", ".join(f"{dim}: N" for dim in missing)
    batched = any(BATCH in spec.shape for spec in specs)
    front = next(
        (s.name for s in specs if not batched and s.shape[:1] and s.shape[0] in missing), None
    )
    batch = "" if front is None else f", or say where the batch is, like `batch: {{{front}: 0}}`"
    raise UsageError(
        f"{where and where + ': '}the dynamic {many} {named} {verb} no size "
        f"(of {', '.join(names)})",
        fix=f"add `dynamic: {{{add}}}` to the model{batch}",
    )


def check_memory(model: PreparedModel, batch: int, requests: int = 1) -> None:
    """Refuse inputs that can't be in this host's memory, where so many distinct ones are made at
    once; strings, and dimensions without a size, count for nothing. Raises UsageError.
    """
    sizes, size = {**model.dynamic, BATCH: batch}, 0
    for spec in model.inputs:
        kind = np.sctypeDict.get(spec.dtype.replace("bfloat16", "float32"), np.void)
        shape = (sizes.get(d, 0) if isinstance(d, str) else d for d in spec.shape)
        size += math.prod(shape) * np.dtype(kind).itemsize
    if requests * size > (limit := memory_bytes()):
        raise UsageError(
            f"{model.name}: the inputs of a request of batch {batch} are {size:,} bytes, and of "
            f"{requests} at a time {requests * size:,}; the memory here is {limit:,} bytes",
            fix="smaller load.batch_sizes, or fewer measurement.distinct_inputs",
        )


def numpy_dtype(dtype: str) -> np.dtype[np.generic]:
    """The numpy type that carries `dtype`; float32 for bfloat16."""
    return np.dtype("float32" if dtype == "bfloat16" else dtype)


def _make(spec: TensorSpec, model: PreparedModel, batch: int, variant: int, seed: int) -> Array:
    settings = model.data.get(spec.name) or InputData()
    data, value = settings.get("data", "random"), settings.get("value")
    shape = shape_of(spec, batch, model.dynamic)
    if spec.dtype == STRING:
        entropy = [seed, zlib.crc32(spec.name.encode()), batch, variant]
        return string_input(spec, data, shape, variant, entropy)
    if value is not None:
        return _filled(spec, shape, value)
    if data == "zeros":
        return np.zeros(shape, numpy_dtype(spec.dtype))
    if data == "random":
        entropy = [seed, zlib.crc32(spec.name.encode()), batch, variant]
        return _random(spec, shape, settings.get("range"), np.random.default_rng(entropy))
    return _from_files(spec, shape, batch, variant, data)


# --------------------------------------------------------------------------------------- random


def _random(
    spec: TensorSpec, shape: Shape, bounds: Bounds | None, rng: np.random.Generator
) -> Array:
    drawn = _drawn(spec, min(math.prod(shape), DRAWN), bounds, rng)
    return np.resize(drawn, shape) if drawn.size else drawn.reshape(shape)


def _drawn(spec: TensorSpec, count: int, bounds: Bounds | None, rng: np.random.Generator) -> Array:
    dtype = numpy_dtype(spec.dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, count).astype(bool)
    if dtype.kind in "iu":
        return rng.integers(*_integer_bounds(spec, bounds), count, dtype)
    if bounds is None:
        values = rng.standard_normal(count, np.float32)
    else:
        values = (bounds[0] + (bounds[1] - bounds[0]) * rng.random(count)).astype(np.float32)
    return bfloat16.rounded(values) if spec.dtype == "bfloat16" else values.astype(dtype)


def _integer_bounds(spec: TensorSpec, bounds: Bounds | None) -> tuple[int, int]:
    if bounds is None:
        return 0, 2
    low, high = math.ceil(bounds[0]), math.ceil(bounds[1])
    limits = np.iinfo(spec.dtype)
    if low >= high or low < limits.min or high - 1 > limits.max:
        raise UsageError(
            f"input {spec.name}: no {spec.dtype} lies in range [{bounds[0]}, {bounds[1]})"
        )
    return low, high


def _filled(spec: TensorSpec, shape: Shape, value: Sequence[float]) -> Array:
    """The scenario's value, or one for each place of the last axis."""
    values = np.asarray(value[0] if len(value) == 1 else value)
    target = numpy_dtype(spec.dtype)
    with np.errstate(all="ignore"):
        cast = values.astype(target)
    if target.kind in "iub" and not np.array_equal(cast, values):
        raise UsageError(f"input {spec.name}: value {_words(value)} does not fit {spec.dtype}")
    try:
        filled = np.array(np.broadcast_to(cast, shape))
    except ValueError:
        raise UsageError(
            f"input {spec.name}: {len(value)} values do not fit the shape {_words(shape)}",
            fix="give one value, or one for each place of the last axis",
        ) from None
    return bfloat16.rounded(filled) if spec.dtype == "bfloat16" else filled


# ---------------------------------------------------------------------------------------- files


@dataclass(frozen=True, slots=True)
class _Sample:
    """What each sample of an input becomes."""

    name: str
    dtype: str
    item: Shape
    """Its shape, without the batch."""
    axis: int
    """Where samples lie side by side in a file: where the batch is, or before all else."""
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _from_files(spec: TensorSpec, shape: Shape, batch: int, variant: int, data: FileData) -> Array:
    batched = BATCH in spec.shape
    axis = spec.shape.index(BATCH) if batched else 0
    item = shape[:axis] + shape[axis + 1 :] if batched else shape
    mean, std = tuple(data.get("mean") or ()), tuple(data.get("std") or ())
    wanted = _Sample(spec.name, spec.dtype, item, axis, mean, std)
    samples = _samples(tuple(data["files"]), wanted)
    if not batched:
        return samples[variant % len(samples)]
    chosen = [samples[(variant * batch + i) % len(samples)] for i in range(batch)]
    return np.ascontiguousarray(np.stack(chosen, axis))


@functools.lru_cache(maxsize=8)
def _samples(files: tuple[str, ...], wanted: _Sample) -> list[Array]:
    """All samples of all files."""
    samples: list[Array] = []
    for path in map(Path, files):
        try:
            if path.suffix.lower() in IMAGES:
                samples.append(_image(path, wanted))
            else:
                samples.extend(_arrays(path, wanted))
        except OSError as error:
            raise UsageError(f"input {wanted.name}: {path} can't be read: {error}") from error
    return samples


def _arrays(path: Path, wanted: _Sample) -> list[Array]:
    array, item, axis = _load(path, wanted.name), wanted.item, wanted.axis
    if array.shape == item:
        return [_cast(array, path, wanted)]
    rest = array.shape[:axis] + array.shape[axis + 1 :]
    if array.ndim == len(item) + 1 and rest == item and array.shape[axis]:
        return list(np.moveaxis(_cast(array, path, wanted), axis, 0))
    expected = [*item[:axis], "N", *item[axis:]]
    raise UsageError(
        f"input {wanted.name}: {path} has shape {list(array.shape)}, "
        f"expected {list(item)} (one sample) or {_words(expected)} (N samples)"
    )


def _words(shape: Sequence[object]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _load(path: Path, name: str) -> Array:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"input {name}: {path} is no .npy, .npz or image file: {error}") from error
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        if name in loaded.files or len(loaded.files) == 1:
            array: Array = loaded[name if name in loaded.files else loaded.files[0]]
            return array
        raise UsageError(
            f"input {name}: {path} has no array '{name}'; it has {', '.join(loaded.files)}"
        )


def _cast(array: Array, path: Path, wanted: _Sample) -> Array:
    target, name, dtype = numpy_dtype(wanted.dtype), wanted.name, wanted.dtype
    integers = array.dtype.kind in "iu" and target.kind in "iu"
    if not (integers or np.can_cast(array.dtype, target, "same_kind")):
        raise UsageError(f"input {name}: {path} holds {array.dtype}, expected {dtype}")
    cast = array.astype(target)
    if target.kind in "iu" and not np.array_equal(cast, array):
        raise UsageError(f"input {name}: {path} holds values that do not fit {dtype}")
    return bfloat16.rounded(cast) if dtype == "bfloat16" else cast


def _image(path: Path, wanted: _Sample) -> Array:
    item = wanted.item
    channels_first = len(item) == 3 and item[0] in (1, 3)
    if not channels_first and not (len(item) == 3 and item[2] in (1, 3)):
        raise UsageError(
            f"input {wanted.name}: image {path} needs a shape like [batch, 3, H, W] or "
            f"[batch, H, W, 3], found {_words(['batch', *item])}"
        )
    height, width, channels = (*item[1:], item[0]) if channels_first else item
    values = _normalise(_pixels(path, height, width, channels), wanted)
    return np.moveaxis(values, 2, 0) if channels_first else values


def _pixels(path: Path, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """uint8 [height, width, channels], resized bilinearly without cropping."""
    image = require("PIL.Image")
    with image.open(path) as opened:
        converted = opened.convert("RGB" if channels == 3 else "L")
        resized = converted.resize((width, height), image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8).reshape(height, width, channels)


def _normalise(pixels: NDArray[np.uint8], wanted: _Sample) -> Array:
    target, mean, std = numpy_dtype(wanted.dtype), wanted.mean, wanted.std
    channels = pixels.shape[2]
    for word, values in (("mean", mean), ("std", std)):
        if values and len(values) not in (1, channels):
            raise UsageError(
                f"input {wanted.name}: {word} has {len(values)} values, "
                f"expected {channels}, one a channel"
            )
    if target.kind != "f":
        if mean or std or target != np.uint8:
            raise UsageError(
                f"input {wanted.name}: images become {wanted.dtype} only as they are: use dtype "
                "uint8 without mean and std, or a float dtype"
            )
        return pixels
    shift, scale = np.asarray(mean or 0, np.float32), np.asarray(std or 1, np.float32)
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - shift) / scale
    return bfloat16.rounded(scaled) if wanted.dtype == "bfloat16" else scaled.astype(target)
