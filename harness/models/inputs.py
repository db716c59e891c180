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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.system.packages import require

Array = NDArray[Any]
Shape = tuple[int, ...]
BATCH = "batch"
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})


def make_inputs(
    model: PreparedModel, batch_size: int, variant: int, seed: int = 0
) -> dict[str, Array]:
    """Input name → array for one request; `variant` numbers the distinct requests from 0.

    Raises UsageError when a file does not fit, a dynamic dimension has no size, or every input has
    a fixed shape of another batch size.
    """
    _check_batch(model, batch_size)
    return {spec.name: _make(spec, model, batch_size, variant, seed) for spec in model.inputs}


def _check_batch(model: PreparedModel, batch: int) -> None:
    """Refuse a batch size that no input's shape follows: throughput would be counted with it.

    Inputs without a batch dimension are those an engine or a server tells. One request of such a
    server model may count as one inference, whatever its first dimension means; an engine's first
    dimension is its batch.
    """
    if not model.inputs or any(BATCH in spec.shape for spec in model.inputs):
        return
    fixed = {spec.name: spec.shape[0] if spec.shape else 1 for spec in model.inputs}
    sizes = {name: size for name, size in fixed.items() if size != 1} or fixed
    if batch in sizes.values() or (batch == 1 and "engine" not in model.source):
        return
    spec = next(spec for spec in model.inputs if spec.name in sizes)
    raise UsageError(
        f"input {spec.name} has the fixed shape {_words(list(spec.shape))}, "
        f"load.batch_sizes asks for {batch}",
        fix=f"use batch_sizes: [{sizes[spec.name]}]",
    )


def shape_of(spec: TensorSpec, batch_size: int, dynamic: Mapping[str, int]) -> Shape:
    """The sizes of `spec` at this batch size. Raises UsageError for a dimension without a size."""
    return tuple(_size(dim, spec, {**dynamic, BATCH: batch_size}) for dim in spec.shape)


def _size(dim: int | str, spec: TensorSpec, sizes: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    if dim not in sizes:
        raise UsageError(
            f"input {spec.name}: dynamic dimension '{dim}' has no size",
            fix=f"add `dynamic: {{{dim}: N}}` to the model",
        )
    return sizes[dim]


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type that carries `dtype`; float32 for bfloat16."""
    return np.dtype("float32" if dtype == "bfloat16" else dtype)


def _make(spec: TensorSpec, model: PreparedModel, batch: int, variant: int, seed: int) -> Array:
    settings = model.data.get(spec.name, {})
    data = settings.get("data", "random")
    shape = shape_of(spec, batch, model.dynamic)
    if isinstance(data, str) and data == "zeros":
        return np.zeros(shape, numpy_dtype(spec.dtype))
    if isinstance(data, str):
        entropy = [seed, zlib.crc32(spec.name.encode()), batch, variant]
        return _random(spec, shape, settings.get("range"), np.random.default_rng(entropy))
    return _from_files(spec, shape, batch, variant, data)


# --------------------------------------------------------------------------------------- random


def _random(spec: TensorSpec, shape: Shape, bounds: Any, rng: np.random.Generator) -> Array:
    dtype = numpy_dtype(spec.dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        return rng.integers(*_integer_bounds(spec, dtype, bounds), shape, dtype)
    if bounds is None:
        values = rng.standard_normal(shape, np.float32)
    else:
        values = (bounds[0] + (bounds[1] - bounds[0]) * rng.random(shape)).astype(np.float32)
    return _bfloat16(values) if spec.dtype == "bfloat16" else values.astype(dtype)


def _integer_bounds(spec: TensorSpec, dtype: np.dtype[Any], bounds: Any) -> tuple[int, int]:
    if bounds is None:
        return 0, 2
    low, high = math.ceil(bounds[0]), math.ceil(bounds[1])
    limits = np.iinfo(dtype)
    if low >= high or low < limits.min or high - 1 > limits.max:
        raise UsageError(
            f"input {spec.name}: no {spec.dtype} lies in range [{bounds[0]}, {bounds[1]})"
        )
    return low, high


def _bfloat16(values: Array) -> Array:
    """float32 values rounded to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isfinite(values), rounded.astype(np.uint32).view(np.float32), values)


# ---------------------------------------------------------------------------------------- files


def _from_files(
    spec: TensorSpec, shape: Shape, batch: int, variant: int, data: Mapping[str, Any]
) -> Array:
    axis = spec.shape.index(BATCH)
    item = shape[:axis] + shape[axis + 1 :]
    samples = _samples(
        tuple(data["files"]), spec.name, spec.dtype, item, axis,
        tuple(data.get("mean") or ()), tuple(data.get("std") or ()),
    )  # fmt: skip
    chosen = [samples[(variant * batch + i) % len(samples)] for i in range(batch)]
    return np.ascontiguousarray(np.stack(chosen, axis))


@functools.lru_cache(maxsize=8)
def _samples(
    files: tuple[str, ...], name: str, dtype: str, item: Shape, axis: int,
    mean: tuple[float, ...], std: tuple[float, ...],
) -> list[Array]:  # fmt: skip
    """All samples of all files, each of shape `item` (no batch axis)."""
    found: list[Array] = []
    for file in files:
        path = Path(file)
        try:
            if path.suffix.lower() in IMAGES:
                found.append(_image(path, name, dtype, item, mean, std))
            else:
                found.extend(_arrays(path, name, dtype, item, axis))
        except OSError as error:
            raise UsageError(f"input {name}: {path} can't be read: {error}") from error
    return found


def _arrays(path: Path, name: str, dtype: str, item: Shape, axis: int) -> list[Array]:
    array = _load(path, name)
    if array.shape == item:
        return [_cast(array, path, name, dtype)]
    rest = array.shape[:axis] + array.shape[axis + 1 :]
    if array.ndim == len(item) + 1 and rest == item and array.shape[axis]:
        return list(np.moveaxis(_cast(array, path, name, dtype), axis, 0))
    expected = [*item[:axis], "N", *item[axis:]]
    raise UsageError(
        f"input {name}: {path} has shape {list(array.shape)}, "
        f"expected {list(item)} (one sample) or {_words(expected)} (N samples)"
    )


def _words(shape: list[Any]) -> str:
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


def _cast(array: Array, path: Path, name: str, dtype: str) -> Array:
    target = numpy_dtype(dtype)
    integers = array.dtype.kind in "iu" and target.kind in "iu"
    if not (integers or np.can_cast(array.dtype, target, "same_kind")):
        raise UsageError(f"input {name}: {path} holds {array.dtype}, expected {dtype}")
    cast = array.astype(target)
    if target.kind in "iu" and not np.array_equal(cast, array):
        raise UsageError(f"input {name}: {path} holds values that do not fit {dtype}")
    return _bfloat16(cast) if dtype == "bfloat16" else cast


def _image(
    path: Path, name: str, dtype: str, item: Shape, mean: tuple[float, ...], std: tuple[float, ...]
) -> Array:
    channels_first = len(item) == 3 and item[0] in (1, 3)
    if not channels_first and not (len(item) == 3 and item[2] in (1, 3)):
        raise UsageError(
            f"input {name}: image {path} needs a shape like [batch, 3, H, W] or [batch, H, W, 3], "
            f"found {_words(['batch', *item])}"
        )
    height, width, channels = (*item[1:], item[0]) if channels_first else item
    pixels = _pixels(path, height, width, channels)
    values = _normalise(pixels, name, dtype, mean, std)
    return np.moveaxis(values, 2, 0) if channels_first else values


def _pixels(path: Path, height: int, width: int, channels: int) -> Array:
    """uint8 [height, width, channels], resized bilinearly without cropping."""
    image = require("PIL.Image")
    with image.open(path) as opened:
        converted = opened.convert("RGB" if channels == 3 else "L")
        resized = converted.resize((width, height), image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8).reshape(height, width, channels)


def _normalise(
    pixels: Array, name: str, dtype: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Array:
    target = numpy_dtype(dtype)
    channels = pixels.shape[2]
    for word, values in (("mean", mean), ("std", std)):
        if values and len(values) not in (1, channels):
            raise UsageError(
                f"input {name}: {word} has {len(values)} values, expected {channels}, one a channel"
            )
    if target.kind != "f":
        if mean or std or target != np.uint8:
            raise UsageError(
                f"input {name}: images become {dtype} only as they are: use dtype uint8 "
                "without mean and std, or a float dtype"
            )
        return pixels
    shift, scale = np.asarray(mean or 0, np.float32), np.asarray(std or 1, np.float32)
    scaled = (pixels.astype(np.float32) / np.float32(255) - shift) / scale
    return _bfloat16(scaled) if dtype == "bfloat16" else scaled.astype(target)
