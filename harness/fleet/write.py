"""A merged run directory on disk: files first, the manifest last, so that a kill leaves none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import RunDirectoryError
from harness.fleet.merge import Merged, Taken, journal_text
from harness.results.store import FOLDERS, JOURNAL, MANIFEST, OURS
from harness.system.credentials import redact_all
from harness.system.faults import cant_write
from harness.system.files import atomic_write, inside, jsonable, require_regular, write_text


def require_new(directory: Path) -> None:
    """Raise RunDirectoryError where a merged run can't be written."""
    if (directory / MANIFEST).exists():
        raise RunDirectoryError(f"{directory} already holds a run", fix="give another --output")
    if directory.exists() and not directory.is_dir():
        raise RunDirectoryError(f"{directory} is no directory", fix="give another --output")
    if directory.exists() and not {p.name for p in directory.iterdir()} <= OURS:
        raise RunDirectoryError(f"{directory} is not empty", fix="give another --output")


def write(merged: Merged, directory: Path) -> None:
    """Write the run directory; what is there of it is written anew. Raises SetupError where there
    is no room.
    """
    try:
        for name in FOLDERS:
            (directory / name).mkdir(parents=True, exist_ok=True)
        for one in merged.taken:
            for source, name in _files(one):
                _bring(source, directory / name)
        write_text(directory / JOURNAL, journal_text(merged.lines))
        text = json.dumps(redact_all(jsonable(merged.manifest)), indent=2, allow_nan=False)
        write_text(directory / MANIFEST, text + "\n")
    except OSError as error:
        raise cant_write(error, directory) from error


def _files(taken: Taken) -> Iterator[tuple[Path, str]]:
    """Every file of a source that is kept, and its name in the merged run directory."""
    run = taken.source.data.path
    for folder in FOLDERS:
        for path in sorted((run / folder).glob("*")):
            name = f"{folder}/{path.name}"
            if not path.name.startswith(".") and inside(run, name) is not None and path.is_file():
                require_regular(path)
                yield path, taken.name(name)


def _bring(source: Path, target: Path) -> None:
    """The file at its new place, without taking its room twice where the disk is the same.

    Logs are copied: a run that goes on appends to them.
    """
    with atomic_write(target) as temporary:
        if source.parent.name != "logs" and os.access(source, os.W_OK):
            with contextlib.suppress(OSError):
                os.link(source, temporary)
                return
        shutil.copyfile(source, temporary)
