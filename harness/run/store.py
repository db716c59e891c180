"""The run directory: written as the run goes, survives `kill -9`, is all that a report needs.

    manifest.json        scenario as written and as resolved, machine, versions, seeds, git commit
    journal.jsonl        one JSON object a line with `event`; appended and fsynced
    samples/*.parquet    raw int64 nanoseconds of every request, warm-up included
    telemetry/*.parquet  memory, CPU and GPU series
    logs/*.log           what workers and servers printed
    report.html, report.pdf, *.csv

A finished measurement is in the journal before the next begins; its samples are on disk before
the line that names them. All other files are written to a temporary name, fsynced and renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self, TypeVar

from harness.errors import RunDirectoryError
from harness.run.rows import ROWS, ArtifactRow, FailureRow, LoadedRow, MeasurementRow, ParityRow, Row

JOURNAL, MANIFEST, LOCK = "journal.jsonl", "manifest.json", ".lock"
R = TypeVar("R", bound=Row)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as read back: the manifest and every journal line, in order."""

    path: Path
    manifest: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]

    def rows(self, cls: type[R]) -> list[R]:
        """The journal's rows of one class, in order."""
        return [cls.from_event(e) for e in self.events if e["event"] == cls.EVENT]

    @property
    def measurements(self) -> list[MeasurementRow]:
        return self.rows(MeasurementRow)

    @property
    def failures(self) -> list[FailureRow]:
        return self.rows(FailureRow)

    @property
    def parity(self) -> list[ParityRow]:
        return self.rows(ParityRow)

    @property
    def artifacts(self) -> list[ArtifactRow]:
        return self.rows(ArtifactRow)

    @property
    def loads(self) -> list[LoadedRow]:
        return self.rows(LoadedRow)

    @property
    def complete(self) -> bool:
        """Whether the run reached its end (it may still hold failures)."""
        return any(e["event"] == "run_ended" and e.get("status") == "complete" for e in self.events)


def read_run(path: Path) -> RunData:
    """Read a run directory. Raises RunDirectoryError when `path` is none."""
    manifest = path / MANIFEST
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunDirectoryError(
            f"{path} is not a run directory: it has no {MANIFEST}",
            fix="give the directory that `harness run` printed",
        ) from None
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{manifest} can't be read: {error}") from error
    return RunData(path, data, tuple(_read_journal(path / JOURNAL)))


def _read_journal(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            if not isinstance(event, dict) or "event" not in event:
                raise ValueError("no event")
        except ValueError:
            if number == len(lines):  # the write that a kill cut short: not finished, not counted
                return
            raise RunDirectoryError(f"{path}:{number}: not a journal line") from None
        yield event


class RunStore:
    """The writing end of a run directory; one process at a time (a lock file says so)."""

    def __init__(self, path: Path, journal: TextIOWrapper, lock: int) -> None:
        self.path = path
        self._journal = journal
        self._lock = lock

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> Self:
        """Start a new run in an empty or new directory."""
        if path.exists() and any(path.iterdir()):
            raise RunDirectoryError(
                f"{path} is not empty",
                fix=f"harness run --resume {path}, or another --output",
            )
        for name in ("samples", "telemetry", "logs"):
            (path / name).mkdir(parents=True, exist_ok=True)
        store = cls._open(path)
        write_text(path / MANIFEST, json.dumps(manifest, indent=2, default=str) + "\n")
        return store

    @classmethod
    def resume(cls, path: Path) -> tuple[Self, RunData]:
        """Open an existing run to finish it; a line that a kill cut short is dropped."""
        data = read_run(path)
        store = cls._open(path)
        journal = path / JOURNAL
        raw = journal.read_bytes() if journal.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        if whole != raw:
            store._journal.truncate(len(whole))
        return store, data

    @classmethod
    def _open(cls, path: Path) -> Self:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise RunDirectoryError(f"another harness is writing to {path}") from None
        return cls(path, (path / JOURNAL).open("a", encoding="utf-8"), lock)

    def append(self, event: Row | Mapping[str, Any]) -> None:
        """Add one line and have it on disk before returning."""
        line = event.to_event() if isinstance(event, Row) else dict(event)
        self._journal.write(json.dumps(line, allow_nan=False, default=str) + "\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def update_manifest(self, **values: Any) -> None:
        """Replace top-level keys of the manifest, atomically."""
        manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        manifest.update(values)
        write_text(self.path / MANIFEST, json.dumps(manifest, indent=2, default=str) + "\n")

    def close(self) -> None:
        """Close the journal and release the lock."""
        self._journal.close()
        with contextlib.suppress(OSError):
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["ROWS", "RunData", "RunStore", "atomic_write", "read_run", "write_text"]
