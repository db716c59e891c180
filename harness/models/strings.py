"""Strings, sequences and maps among inputs and outputs, as plain arrays: nothing needs pickle.

numpy keeps strings of any length as Python objects, which can't be stored without pickle; here
they become arrays of fixed width (`<U7`). What a classifier of scikit-learn returns (ZipMap: a
sequence of maps from label to probability) becomes an array of the values and one of the keys.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.models.tensors import BATCH, Array, FileData, TensorSpec

STRING = "string"
"""The dtype of a tensor of strings."""
WORD = 8
"""Letters in each random string."""


def text(value: object) -> str:
    """A string as a runtime gives it; bytes that are no UTF-8 are written as `\\xNN`."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def as_text(array: Array) -> Array:
    """An array of strings or bytes as one of fixed width, in its shape; any other as it is."""
    if array.dtype.kind not in "OS":
        return array
    found = np.array([text(value) for value in array.ravel().tolist()], dtype=str)
    return found.reshape(array.shape)


def plain(name: str, value: object) -> dict[str, Array]:
    """An output as arrays: one for a tensor, of a map or a sequence of maps the values under its
    name and the keys under `NAME_keys`, of another sequence `NAME_0`, `NAME_1`, …
    """
    if isinstance(value, Mapping):
        keys = list(value)
        return {
            name: as_text(np.asarray([value[key] for key in keys])),
            f"{name}_keys": as_text(np.asarray(keys)),
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if value and all(isinstance(item, Mapping) for item in value):
            return _maps(name, value)
        parts = (plain(f"{name}_{i}", item) for i, item in enumerate(value))
        return {key: array for part in parts for key, array in part.items()}
    return {name: as_text(np.asarray(value))}


def _maps(name: str, rows: Sequence[Mapping[object, object]]) -> dict[str, Array]:
    """Shapes (rows, keys) and (keys,), sorted by key; NaN where a row lacks one."""
    keys = sorted({key for row in rows for key in row}, key=lambda key: (str(type(key)), key))
    table = [[row.get(key, np.nan) for key in keys] for row in rows]
    return {name: as_text(np.asarray(table)), f"{name}_keys": as_text(np.asarray(keys))}


def all_plain(outputs: Mapping[str, object]) -> dict[str, Array]:
    """Every output, as `plain` makes it."""
    return {key: a for name, value in outputs.items() for key, a in plain(name, value).items()}


def to_bytes(array: Array) -> NDArray[np.uint8]:
    """Strings as Triton's BYTES: before each its length in four bytes, the lowest first."""
    values = (v if isinstance(v, bytes) else str(v).encode() for v in array.ravel().tolist())
    joined = b"".join(struct.pack("<I", len(value)) + value for value in values)
    return np.frombuffer(joined, np.uint8)


def from_bytes(raw: bytes, count: int) -> Array:
    """The first `count` strings of BYTES, as text; what is behind them is not read."""
    found, at = [], 0
    for _ in range(count):
        (size,) = struct.unpack_from("<I", raw, at)
        found.append(text(raw[at + 4 : at + 4 + size]))
        at += 4 + size
    return np.array(found, dtype=str)


# --------------------------------------------------------------------------------------- inputs


def string_input(
    spec: TensorSpec, data: str | FileData, shape: tuple[int, ...], variant: int, entropy: list[int]
) -> Array:
    """Strings of this shape for the request number `variant`: random words, `zeros` (empty ones),
    or those of a list or of files, which fill one sample after the other, in order and over again.

    Raises UsageError for a file that holds no strings.
    """
    axis = spec.shape.index(BATCH) if BATCH in spec.shape else None
    if data == "zeros":
        return np.full(shape, "", dtype=str)
    if isinstance(data, str):
        letters = np.random.default_rng(entropy).integers(97, 123, (*shape, WORD), np.uint32)
        return letters.view(f"<U{WORD}")[..., 0]
    values = data.get("values") or _file_strings(tuple(data.get("files", ())), spec.name)
    first = variant * math.prod(shape)
    places = np.arange(first, first + math.prod(shape)) % len(values)
    front = shape if axis is None else (shape[axis], *shape[:axis], *shape[axis + 1 :])
    filled = np.array(values, dtype=str)[places].reshape(front)
    return filled if axis is None else np.ascontiguousarray(np.moveaxis(filled, 0, axis))


@functools.lru_cache(maxsize=8)
def _file_strings(files: tuple[str, ...], name: str) -> list[str]:
    """The lines of text files, and what is in .npy files, in order."""
    found: list[str] = []
    for path in map(Path, files):
        try:
            if path.suffix.lower() != ".npy":
                found += path.read_text(encoding="utf-8").splitlines()
                continue
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"input {name}: {path} can't be read as strings: {error}") from error
        if array.dtype.kind not in "US":
            raise UsageError(f"input {name}: {path} holds {array.dtype}, expected strings")
        found += as_text(array).ravel().tolist()
    if not found:
        raise UsageError(f"input {name}: {', '.join(files)} hold no strings")
    return found
