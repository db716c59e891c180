"""The run directory: written as the run goes, survives `kill -9`, is all that a report needs."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import UsageError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed over `path`.

    An OSError that names no file, or the temporary one, names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with named(path, str(temporary)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _removed(temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _fsync_directory(path.parent)


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def named(path: Path, also: str | None = None) -> Iterator[None]:
    """An OSError from within says which file it was about: `path`, in place of none or `also`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, also):
            error.filename = str(path)
        raise


def require_regular(path: Path, largest: int | None = None) -> None:
    """Raise UsageError for a pipe, socket or device, which could be waited for without an end, and
    for a file of more than `largest` bytes.

    Raises OSError for what is not there.
    """
    found = path.stat()
    mode = stat.S_IFMT(found.st_mode)
    if mode not in (stat.S_IFREG, stat.S_IFDIR):
        kind = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}.get(mode, "device")
        raise UsageError(f"{path} is a {kind}, not a regular file")
    if largest is not None and found.st_size > largest:
        raise UsageError(f"{path} has {found.st_size:,} bytes; more than {largest:,} are not read")


def read_bytes(path: Path, largest: int | None = None) -> bytes:
    """What is in a file that somebody else has put there. Raises as `require_regular` does."""
    require_regular(path, largest)
    return path.read_bytes()


def copy_regular(source: str | Path, target: str | Path) -> None:
    """Copy a file's bytes and times. Raises as `require_regular` does.

    Raises OSError before anything is written where there is no room for it.
    """
    require_regular(Path(source))
    if Path(source).stat().st_size > shutil.disk_usage(Path(target).parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
    shutil.copy2(source, target)


def require_regular_below(folder: Path) -> None:
    """Raise as `require_regular` does for what is in `folder`, where its links lead to included.

    A link to nothing is none of it. A folder that links lead to twice, or in a circle, is looked
    at once.
    """
    seen: set[tuple[int, int]] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        found = Path(at).stat()
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
        seen.add((found.st_dev, found.st_ino))
        for path in (Path(at, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                require_regular(path)


def reserve(path: Path, size: int) -> None:
    """Make `path` a file of at least `size` bytes. Raises OSError where there is no room for them.

    A hole that is mapped and written to ends its process with SIGBUS once the disk is full.
    """
    with named(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove below `folder` what `atomic_write` left in processes that were killed."""
    for path in folder.rglob(".*.tmp"):
        words = path.name.split(".")[-3:-1]
        if len(words) == 2 and words[0].isdigit() and not Path("/proc", words[0]).exists():
            path.unlink(missing_ok=True)


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
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    return jsonable(value.tolist()) if hasattr(value, "tolist") else str(value)
