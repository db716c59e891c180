"""The temporary folder of a run: gone with the run's process, however that ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.system.guard import spawn

_UNTIL_GONE = 'until rm -rf -- "$0" 2>/dev/null; do sleep 0.1; done'
"""Whoever still writes there is being killed at the same time, by a guard of its own."""
COMPILED = "TORCHINDUCTOR_CACHE_DIR"


@contextlib.contextmanager
def removed_at_the_end(folder: Path) -> Iterator[None]:
    """Remove `folder` when the block or this process ends, also by SIGKILL."""
    try:
        with spawn(["sleep", "infinity"], afterwards=["sh", "-c", _UNTIL_GONE, str(folder)]):
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the guard itself may have been killed


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, in which this process and its children make every temporary file.

    It is TMPDIR for as long. A guard removes it, also when this process ends by SIGKILL. What
    PyTorch compiles is no temporary file, though its default place is TMPDIR: it stays there.
    Raises OSError when the folder can't be made.
    """
    folder = Path(tempfile.gettempdir(), f"harness-{secrets.token_hex(8)}")
    compiled = {COMPILED: str(folder.parent / f"torchinductor_{os.getuid()}")}
    before, known = dict(os.environ), tempfile.tempdir
    try:
        with removed_at_the_end(folder):
            folder.mkdir(mode=0o700)  # when there is somebody who removes it
            os.environ.update({**compiled, **before, "TMPDIR": str(folder)})
            tempfile.tempdir = str(folder)
            yield folder
    finally:
        tempfile.tempdir = known
        for name in {COMPILED, "TMPDIR"} - before.keys():
            os.environ.pop(name, None)
        os.environ.update({n: before[n] for n in (COMPILED, "TMPDIR") if n in before})
