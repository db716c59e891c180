"""The cache of prepared files: a folder an entry, named by what went into it.

An entry appears whole or not at all (made under a temporary name, then renamed), is made once even
if several processes want it, and is made again when a file in it was damaged.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from harness.errors import UsageError
from harness.system.files import read_bytes, require_regular, write_text

RECORD = "entry.json"
FULL = 1 << 16
"""So few bytes are left on a disk that was too small for a file."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One cached folder: `seconds` is what making it took, also when it was `cached`."""

    path: Path
    files: Mapping[str, int]
    """File name to bytes."""
    details: Mapping[str, Any]
    seconds: float
    cached: bool

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(self.files.values())


class CacheRecord(TypedDict):
    """What is written about an entry, in the entry."""

    details: dict[str, object]
    seconds: float
    files: dict[str, tuple[int, str]]
    """Name → bytes and SHA-256."""


def fetch(folder: Path, build: Callable[[Path], Mapping[str, object]]) -> CacheEntry:
    """The entry at `folder`; when it is missing or damaged, `build(empty folder)` makes it.

    What `build` returns is kept as the entry's details and must be JSON-able.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock")):
        entry = _read(folder)
        if entry is not None:
            return entry
        return _build(folder, build)


def _build(folder: Path, build: Callable[[Path], Mapping[str, object]]) -> CacheEntry:
    temporary = folder.with_name(f".{folder.name}.tmp")  # one at a time: we hold the lock
    for leftover in (temporary, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    try:
        start = time.monotonic()
        try:
            details = dict(build(temporary))
        except Exception as error:  # PyTorch says `iostream error` of a full disk
            if shutil.disk_usage(temporary).free < FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary)) from error
            raise
        seconds = time.monotonic() - start
        files = {name: (path.stat().st_size, file_hash(path)) for name, path in _files(temporary)}
        record = CacheRecord(details=details, seconds=seconds, files=files)
        _sync(temporary)
        write_text(temporary / RECORD, json.dumps(record, indent=1))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _entry(folder, record, cached=False)


def _read(folder: Path) -> CacheEntry | None:
    try:
        record = json.loads(read_bytes(folder / RECORD))
        whole = all(
            (folder / name).stat().st_size == size and file_hash(folder / name) == digest
            for name, (size, digest) in record["files"].items()
        )
        return _entry(folder, record, cached=True) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None


def _entry(folder: Path, record: CacheRecord, *, cached: bool) -> CacheEntry:
    sizes = {name: size for name, (size, _) in record["files"].items()}
    return CacheEntry(folder, sizes, record["details"], record["seconds"], cached)


def _files(folder: Path) -> list[tuple[str, Path]]:
    return [
        (str(path.relative_to(folder)), path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    ]


def parts(onnx: Path) -> list[Path]:
    """An ONNX file and its external data: in the cache, all files of its entry.

    Elsewhere the data is looked for under its usual name only: what else is there may be anything.
    """
    try:
        names = json.loads(read_bytes(onnx.parent / RECORD))["files"]
    except FileNotFoundError:
        names = [f"{onnx.name}.data"]
    colocated = [onnx.parent / name for name in names if name != onnx.name]
    return [onnx, *(path for path in colocated if path.is_file())]


def _sync(folder: Path) -> None:
    for _, path in _files(folder):
        with path.open("rb+") as file:
            os.fsync(file.fileno())


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; a process that dies gives it back. Where nothing may be written
    nothing is made either: what is there is read without a lock.
    """
    with contextlib.ExitStack() as stack:
        try:
            fcntl.flock(stack.enter_context(path.open("w")), fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
        yield


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises UsageError for a pipe, socket or device."""
    require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(*parts: object) -> str:
    """SHA-256 over the JSON of `parts`, in hex."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
