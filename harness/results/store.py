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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from harness.errors import RunDirectoryError, UsageError
from harness.results import rows as lines
from harness.results.details import ManifestEntry
from harness.results.events import JournalLine, RunEnded, UnknownEvent, read_event
from harness.results.line import adapter, first_mistake
from harness.results.samples import read_samples
from harness.results.series import read_parquet
from harness.system import files
from harness.system.credentials import cut, redact_all
from harness.system.faults import cant_write, lacking
from harness.system.files import inside, jsonable, read_bytes, remove_unfinished, write_text
from harness.system.text import every_text, harmless, harness_command

JOURNAL, MANIFEST, LOCK = "journal.jsonl", "manifest.json", ".lock"
FOLDERS = ("samples", "telemetry", "logs")
OURS = frozenset({JOURNAL, LOCK, *FOLDERS})
"""What a run that was killed before it had a manifest leaves: nothing that was measured."""
SCHEMA_VERSION = 3
"""Of the format: `schema_version` in the manifest."""
Json = Mapping[str, object]
DEEPEST = 60
"""Levels that anything of ours may be nested; what comes after reads them by recursion."""
MOST_READ = 1000
"""Files of samples that are looked into for damage of a whole run."""
L = TypeVar("L", bound=JournalLine | UnknownEvent)


def _write_manifest(path: Path, manifest: Json) -> None:
    text = json.dumps(redact_all(jsonable(manifest)), indent=2, allow_nan=False)
    write_text(path / MANIFEST, text + "\n")


@dataclass(frozen=True)
class RunData:
    """A run as read back: the manifest and every journal line, in order."""

    path: Path
    manifest: Mapping[str, Any]
    events: tuple[JournalLine | UnknownEvent, ...]
    damage: tuple[str, ...] = ()
    """A sentence for each line of the journal that could not be read, and was passed over."""

    @property
    def scenario(self) -> Mapping[str, Any]:
        """The resolved scenario; empty where the manifest has none."""
        return self.manifest.get("scenario") or {}

    def rows(self, cls: type[L]) -> list[L]:
        """The journal's lines of one class, in order."""
        return [event for event in self.events if isinstance(event, cls)]

    @cached_property
    def measurements(self) -> list[lines.MeasurementRow]:
        """Every measurement; of one that is there twice, the last."""
        return list({(m.point, m.round): m for m in self.rows(lines.MeasurementRow)}.values())

    @property
    def capacities(self) -> list[lines.CapacityRow]:
        """What each search for a capacity found, a row a round, likewise."""
        return list({(c.point, c.round): c for c in self.rows(lines.CapacityRow)}.values())

    @property
    def failures(self) -> list[lines.FailureRow]:
        """Every failed try."""
        return self.rows(lines.FailureRow)

    @property
    def parity(self) -> list[lines.ParityRow]:
        """Parity by backend and batch size."""
        return self.rows(lines.ParityRow)

    @property
    def loads(self) -> list[lines.LoadedRow]:
        """What loading each backend cost."""
        return self.rows(lines.LoadedRow)

    @cached_property
    def damaged(self) -> tuple[str, ...]:
        """A sentence for everything that could not be read, of very many files some looked at."""
        return (*self.damage, *self.damaged_files())

    def damaged_files(self, point: str | None = None) -> Iterator[str]:
        """A sentence for each file of samples and telemetry, or of one point, that can't be read;
        what needs one goes on without it.
        """
        rows = [m for m in self.measurements if point in (None, m.point)]
        some = rows[:: -(-len(rows) // MOST_READ) or 1]
        if len(some) < len(rows):
            yield (f"of the {len(rows):,} files of samples {len(some):,} were looked into for "
                   "damage; harness explain reads those of a point")  # fmt: skip
        readers: dict[str, Callable[[Path], object]] = {m.samples: read_samples for m in some}
        for row in self.loads if point is None else ():
            readers[row.details.get("telemetry") or ""] = read_parquet
        for name, read in readers.items():
            path = inside(self.path, name)
            try:
                if name and path is not None and path.exists():
                    read(path)
            except UsageError as error:
                yield f"{error.message}; it was left out"

    @property
    def complete(self) -> bool:
        """Whether the run reached its end (it may still hold failures)."""
        return any(ended.status == "complete" for ended in self.rows(RunEnded))


def read_run(path: Path, *, shown: bool = True) -> RunData:
    """Read a run directory, with texts that are harmless where they are `shown`.

    Lines of the journal that are damaged are passed over, and said in `damage`. Raises
    RunDirectoryError when `path` is none, its manifest is damaged, or of another version.
    """
    manifest = _read_manifest(path)
    if (version := manifest.get("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
        by = manifest.get("harness_version")
        raise RunDirectoryError(
            f"{path} has version {version} of the format, and this harness knows version "
            f"{SCHEMA_VERSION} alone",
            fix=f"read it with the harness that wrote it{f', {by}' if by else ''}",
        )
    try:
        adapter(ManifestEntry).validate_python(manifest)
    except ValidationError as error:
        raise RunDirectoryError(f"{path / MANIFEST}: {first_mistake(error)}") from None
    events: list[JournalLine | UnknownEvent] = []
    damage: list[str] = []
    for number, line in enumerate(_journal_lines(path / JOURNAL), 1):
        try:
            read = _object(line)
            told = shown and not _plain(line)
            events.append(read_event(every_text(read, harmless) if told else read))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            why = f"is no journal line that can be read: {harmless(cut(str(error), 200))}"
            damage.append(f"{JOURNAL}:{number} {why}; it was passed over")
    manifest = every_text(manifest, harmless) if shown else manifest
    return RunData(path, manifest, tuple(events), tuple(damage))


def _read_manifest(path: Path) -> dict[str, object]:
    manifest = path / MANIFEST
    try:
        return _object(read_bytes(manifest))
    except (FileNotFoundError, NotADirectoryError):
        raise RunDirectoryError(
            f"{path} is not a run directory: it has no {MANIFEST}",
            fix="give the directory that `harness run` printed",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{manifest} can't be read: {error}") from error


def _object(text: bytes) -> dict[str, object]:
    """The JSON object that a text is. Raises ValueError, or RecursionError."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")  # noqa: TRY004 - as what is no JSON
    if text.count(b"{") + text.count(b"[") > DEEPEST and _depth(found) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return found


def _plain(line: bytes) -> bool:
    """Whether a line of JSON surely has no character that `harmless` would change."""
    return line.isascii() and not any(b in line for b in (b"\\", b"\x7f", b"\x00"))


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _journal_lines(path: Path) -> list[bytes]:
    """Every line that is whole: the last may be one that a kill cut short."""
    try:
        return read_bytes(path).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be read: {error.strerror}") from error


def _require_ours(path: Path) -> None:
    """Raise UsageError where what will be written to is no file, or elsewhere."""
    for name in OURS:
        if inside(path, name) is None:
            raise RunDirectoryError(f"{path / name} leads out of the run directory")
        # logs are appended to
        for file in filter(Path.exists, (path / name, *(path / name).glob("*"))):
            files.require_regular(file)


class RunStore(contextlib.AbstractContextManager["RunStore"]):
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
        name = str(path.absolute())
        if (shown := harmless(name)) != name:  # JSON, HTML and PDF could not name it
            raise RunDirectoryError(
                f"the run directory's name is no UTF-8, or has controls in it: {shown}",
                fix="give another --output",
            )
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
            if lack := lacking(error):
                raise lack from error
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
        store = cls._open(path)
        try:
            raw = (path / JOURNAL).read_bytes()
            os.ftruncate(store._journal, raw.rfind(b"\n") + 1)
            remove_unfinished(path)
            return store, read_run(path, shown=False)
        except BaseException:
            store.close()
            raise

    @classmethod
    def _open(cls, path: Path) -> Self:
        _require_ours(path)
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

    def annotate(self, key: str, value: object) -> None:
        """Put a fact into the manifest that is known only once the run has begun.

        Raises SetupError when it can't be written.
        """
        try:
            _write_manifest(self.path, {**_read_manifest(self.path), key: value})
        except OSError as error:
            raise cant_write(error, self.path / MANIFEST) from error

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
                found = cant_write(error, self.path / JOURNAL)
                found.fix = f"make room, then: {harness_command('run', '--resume', self.path)}"
                raise found from error

    def close(self) -> None:
        """Close the journal and release the lock; closing twice is no error."""
        journal, self._journal = self._journal, -1
        lock, self._lock = self._lock, -1
        for descriptor in (journal, lock):
            if descriptor >= 0:
                os.close(descriptor)

    def __exit__(self, *_: object) -> None:
        self.close()


def _require_new(path: Path) -> None:
    if (path / MANIFEST).exists():
        raise RunDirectoryError(
            f"{path} already holds a run",
            fix=f"{harness_command('run', '--resume', path)}, or give another --output",
        )
    if path.is_dir() and not {p.name for p in path.iterdir()} <= OURS:
        raise RunDirectoryError(f"{path} is not empty", fix="give another --output")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
