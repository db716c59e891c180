"""Real processes whose output goes nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HARNESS = [sys.executable, "-m", "harness"]
NO_ROOM = "error: standard output can't be written: No space left on device\n"


def harness(*args: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run([*HARNESS, *args], text=True, check=False, timeout=60, **streams)


def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = harness("schema", stdout=full)
        assert (done.returncode, done.stderr) == (3, NO_ROOM)
        assert harness("--help", stdout=full).returncode == 3


@pytest.mark.parametrize("args", [("schema",), ("--help",), ("no-such-command",)])
def test_a_full_or_closed_stderr_changes_nothing(args: tuple[str, ...]) -> None:
    plain = harness(*args)
    with Path("/dev/full").open("w") as full:
        done = harness(*args, stderr=full)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    reader, writer = os.pipe()
    os.close(reader)
    done = harness(*args, stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_descriptors_that_are_closed_are_no_matter(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m harness schema {closed}', sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert ("scenario" in done.stdout) == (closed == "2>&-")
