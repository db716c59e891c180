"""The run directory: written as the run goes, survives `kill -9`, is all that a report needs.

    manifest.json        scenario as written and as resolved, machine, versions, seeds, git commit
    journal.jsonl        one JSON object a line with `event`; appended and fsynced
    samples/*.parquet    raw int64 nanoseconds of every request, warm-up included
    telemetry/*.parquet  memory, CPU and GPU series
    logs/*.log           what workers and servers printed
    report.html, report.pdf, *.csv

A finished measurement is in the journal before the next begins; its samples are on disk before
the line that names them. All other files are written to a temporary name, fsynced and renamed.
A journal line counts once its newline is there: what a kill cut short never happened.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from harness.errors import RunDirectoryError, SetupError
from harness.results import upgrade
from harness.results.events import JournalLine, RunEnded, UnknownEvent, read_event
from harness.results.rows import (
    ArtifactRow,
    CapacityRow,
    FailureRow,
    LoadedRow,
    MeasurementRow,
    ParityRow,
)
from harness.results.upgrade import Json
from harness.system.credentials import redact_all
from harness.system.files import inside, jsonable, write_text
from harness.system.text import every_text, harmless

JOURNAL, MANIFEST, LOCK = "journal.jsonl", "manifest.json", ".lock"
FOLDERS = ("samples", "telemetry", "logs")
OURS = frozenset({JOURNAL, LOCK, *FOLDERS})
"""What a run that was killed before it had a manifest leaves: nothing that was measured."""
L = TypeVar("L", bound=JournalLine | UnknownEvent)


def _write_manifest(path: Path, manifest: Json) -> None:
    text = json.dumps(redact_all(jsonable(manifest)), indent=2, allow_nan=False)
    write_text(path / MANIFEST, text + "\n")


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as read back: the manifest and every journal line, in order."""

    path: Path
    manifest: Mapping[str, Any]
    events: tuple[JournalLine | UnknownEvent, ...]

    def rows(self, cls: type[L]) -> list[L]:
        """The journal's lines of one class, in order."""
        return [event for event in self.events if isinstance(event, cls)]

    @property
    def measurements(self) -> list[MeasurementRow]:
        """Every measurement."""
        return self.rows(MeasurementRow)

    @property
    def capacities(self) -> list[CapacityRow]:
        """What each search for a capacity found, a row a round."""
        return self.rows(CapacityRow)

    @property
    def failures(self) -> list[FailureRow]:
        """Every failed try."""
        return self.rows(FailureRow)

    @property
    def parity(self) -> list[ParityRow]:
        """Parity by backend and batch size."""
        return self.rows(ParityRow)

    @property
    def artifacts(self) -> list[ArtifactRow]:
        """Files that were made or found."""
        return self.rows(ArtifactRow)

    @property
    def loads(self) -> list[LoadedRow]:
        """What loading each backend cost."""
        return self.rows(LoadedRow)

    @property
    def complete(self) -> bool:
        """Whether the run reached its end (it may still hold failures)."""
        return any(ended.status == "complete" for ended in self.rows(RunEnded))


def read_run(path: Path, *, shown: bool = True) -> RunData:
    """Read a run directory, with texts that are harmless where they are `shown`.

    Raises RunDirectoryError when `path` is none.
    """
    manifest = path / MANIFEST
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunDirectoryError(
            f"{path} is not a run directory: it has no {MANIFEST}",
            fix="give the directory that `harness run` printed",
        ) from None
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{manifest} can't be read: {error}") from error
    if not isinstance(data, dict):
        raise RunDirectoryError(f"{manifest} is not a manifest: it holds no JSON object")
    lines = _read_journal(path / JOURNAL)
    if upgrade.version_of(path, data) < upgrade.SCHEMA_VERSION:
        data, lines = upgrade.upgrade_manifest(data), map(upgrade.upgrade_event, lines)
    if shown:
        data, lines = every_text(data, harmless), (every_text(line, harmless) for line in lines)
    return RunData(path, data, tuple(_read_events(path / JOURNAL, lines)))


def _read_journal(path: Path) -> Iterator[dict[str, object]]:
    if not path.exists():
        return
    *lines, _ = path.read_bytes().split(b"\n")  # the last is empty, or a line cut short by a kill
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise RunDirectoryError(f"{path}:{number}: not a journal line")
        yield event


def _read_events(path: Path, lines: Iterable[Json]) -> Iterator[JournalLine | UnknownEvent]:
    for number, line in enumerate(lines, 1):
        try:
            yield read_event(line)
        except TypeError as error:
            raise RunDirectoryError(
                f"{path}:{number}: the '{line['event']}' line is incomplete: {error}"
            ) from error


class RunStore:
    """The writing end of a run directory; one process at a time (a lock file says so)."""

    def __init__(self, path: Path, journal: int, lock: int) -> None:
        self.path = path
        self._journal = journal
        self._lock = lock
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, path: Path, manifest: Json) -> Self:
        """Start a new run in an empty or new directory.

        Raises RunDirectoryError when it holds something or can't be written.
        """
        try:
            _require_new(path)
            for name in FOLDERS:
                (path / name).mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as undo:
                store = cls._open(path)
                undo.callback(store.close)
                _require_new(path)  # again: another harness may have been here in between
                _write_manifest(path, manifest)
                undo.pop_all()
        except OSError as error:
            raise RunDirectoryError(
                f"{path} can't be made a run directory: {error.strerror}",
                fix="give another --output",
            ) from error
        return store

    @classmethod
    def resume(cls, path: Path) -> tuple[Self, RunData]:
        """Open an existing run to finish it; a line that a kill cut short is dropped.

        Raises RunDirectoryError when it is none, can't be read, or is being written.
        """
        read_run(path)  # before anything is created: `path` may be no run directory
        for name in OURS:
            if inside(path, name) is None:
                raise RunDirectoryError(f"{path / name} leads out of the run directory")
        store = cls._open(path)
        try:
            raw = (path / JOURNAL).read_bytes()
            os.ftruncate(store._journal, raw.rfind(b"\n") + 1)
            return store, read_run(path, shown=False)
        except BaseException:
            store.close()
            raise

    @classmethod
    def _open(cls, path: Path) -> Self:
        with contextlib.ExitStack() as undo:
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            undo.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunDirectoryError(f"another harness is writing to {path}") from None
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            journal = os.open(path / JOURNAL, flags, 0o644)
            undo.pop_all()
        return cls(path, journal, lock)

    def file(self, name: str) -> Path:
        """A file that the journal names. Raises RunDirectoryError for one outside."""
        path = inside(self.path, name)
        if path is None:
            raise RunDirectoryError(f"{self.path / JOURNAL} names '{name}', which lies outside")
        return path

    def append(self, event: JournalLine) -> None:
        """Add one line and have it on disk before returning; threads may share the store.

        Raises SetupError when it can't be written (a full disk); the journal stays as it was.
        """
        line = event.outward().to_event()
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        with self._mutex:
            size = os.fstat(self._journal).st_size
            try:
                _write_all(self._journal, data)
                os.fsync(self._journal)
            except OSError as error:
                with contextlib.suppress(OSError):  # half a line would spoil what comes after it
                    os.ftruncate(self._journal, size)
                raise SetupError(
                    f"{self.path / JOURNAL} can't be written: {error.strerror}",
                    fix=f"make room, then: harness run --resume {self.path}",
                ) from error

    def close(self) -> None:
        """Close the journal and release the lock; closing twice is no error."""
        journal, self._journal = self._journal, -1
        lock, self._lock = self._lock, -1
        for descriptor in (journal, lock):
            if descriptor >= 0:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _require_new(path: Path) -> None:
    if (path / MANIFEST).exists():
        raise RunDirectoryError(
            f"{path} already holds a run",
            fix=f"harness run --resume {path}, or give another --output",
        )
    if path.is_dir() and not {p.name for p in path.iterdir()} <= OURS:
        raise RunDirectoryError(f"{path} is not empty", fix="give another --output")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
