"""A temporary folder that nothing of stays, with real processes and signals."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from harness.system.scratch import temporary_folder

KILLED = """
import sys, tempfile
from harness.system.guard import spawn
from harness.system.scratch import temporary_folder
with temporary_folder():
    kept = tempfile.NamedTemporaryFile(), tempfile.TemporaryDirectory()
    writing = spawn([sys.executable, "-c", "import tempfile\\nwhile True: tempfile.mkdtemp()"])
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TMPDIR."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # PyTorch sets it where it ran
    return place


def test_everything_lies_in_it_and_goes_with_it(place: Path) -> None:
    before = dict(os.environ)
    with temporary_folder() as folder:
        assert folder.parent == place
        made = Path(tempfile.mkdtemp())
        child = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
        theirs = Path(subprocess.run(child, text=True, capture_output=True, check=True).stdout)
        assert made.parent == theirs.parent == folder
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"].startswith(f"{place}/torchinductor_")
    assert not any(place.iterdir())
    assert dict(os.environ) == before
    assert Path(tempfile.mkdtemp()).parent == place


def test_a_guard_that_was_killed_is_no_matter_while_the_process_lives(place: Path) -> None:
    others = set(psutil.Process().children())
    with temporary_folder():
        tempfile.mkdtemp()
        (guard,) = set(psutil.Process().children()) - others
        guard.kill()
    assert not any(place.iterdir())


def test_it_is_removed_after_sigkill_while_others_write_in_it(place: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    assert {p.name[:8] for p in place.iterdir()} == {"harness-"}
    assert len(list(place.glob("harness-*/*"))) >= 2
    process.kill()
    process.communicate()
    end = time.monotonic() + 20
    while any(place.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(place.iterdir())
