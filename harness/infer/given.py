"""What a user gives as input: files and values, by the input's name, as plain arrays."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.models.tensors import Array
from harness.scenario.spec.model import IMAGES
from harness.system.files import require_regular


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures, one an item of the batch; they become an array when the input's shape is known."""

    files: tuple[Path, ...]


Given = Array | Images
ONLY = ""
"""The name of an input that was not said: the model has one."""


def read_given(files: Sequence[Path], named: Sequence[str]) -> dict[str, Given]:
    """Input name → what it holds. `files` name no input, `named` are `NAME=FILE` or `NAME=VALUES`.

    Images without a name are one batch; an .npz file holds inputs by name. Raises UsageError.
    """
    found: dict[str, Given] = {}
    images = [path for path in files if path.suffix.lower() in IMAGES]
    others = [path for path in files if path not in images]
    if images:
        found[ONLY] = _images(images)
    for path in others:
        for name, array in _arrays(path).items():
            _put(found, name, array)
    for text in named:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"--input '{text}' is not NAME=FILE or NAME=VALUES")
        _put(found, name, _value(name, value))
    return found


def _put(found: dict[str, Given], name: str, given: Given) -> None:
    if name in found:
        what = f"input '{name}'" if name else "the input"
        raise UsageError(f"{what} is given twice", fix="--input NAME=FILE says which is which")
    found[name] = given


def _images(paths: Sequence[Path]) -> Images:
    for path in paths:
        _regular(path)
    return Images(tuple(paths))


def _value(name: str, text: str) -> Given:
    """A file where there is one of that name, else JSON: a number, a string or nested lists."""
    path = Path(text)
    if path.suffix.lower() in IMAGES:
        return _images([path])
    if path.suffix.lower() in (".npy", ".npz"):
        arrays = _arrays(path)
        if len(arrays) != 1 and name not in arrays:
            raise UsageError(f"{path} has no array '{name}'; it has {', '.join(arrays)}")
        return arrays.get(name, next(iter(arrays.values())))
    try:
        array = np.asarray(json.loads(text))
    except ValueError as error:
        raise UsageError(
            f"input {name}: '{text[:80]}' is neither an image, .npy or .npz file, nor JSON",
            fix=f"--input {shlex.quote(f'{name}=[[1, 2, 3]]')}",
        ) from error
    if array.dtype.kind not in "biufU":
        raise UsageError(f"input {name}: '{text[:80]}' holds neither numbers nor strings alone")
    return array


def _arrays(path: Path) -> Mapping[str, Array]:
    _regular(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {ONLY: loaded}
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no image, .npy or .npz file: {error}") from error
    if not arrays:
        raise UsageError(f"{path} holds no array")
    return arrays


def _regular(path: Path) -> None:
    try:
        require_regular(path)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror or error}") from None
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file")
