"""The run directory: written as the run goes, survives `kill -9`, is all that a report needs."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inside(folder: Path, name: object) -> Path | None:
    """The path `name` below `folder`, for a name that somebody else has written.

    None where it leads out of the folder: absolute, by `..`, or through a link.
    """
    path = folder / str(name)
    try:
        root, end = folder.resolve(), path.resolve()
        end.exists()
    except (OSError, ValueError, RuntimeError):  # a NUL, too long, links in a circle
        return None
    return path if end != root and end.is_relative_to(root) else None


def jsonable(value: object) -> object:
    """The same in dicts, lists, strings, numbers, true, false and null.

    NumPy scalars and arrays become numbers and lists, non-finite floats `inf`, `-inf` or `nan`,
    and everything else (paths, times) its `str`.
    """
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
