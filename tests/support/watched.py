"""A process whose memory is known, to be watched by a sampler, and the token of its service."""

from __future__ import annotations

import subprocess
import sys

from harness.system.guard import GuardedProcess, spawn

TOKEN = "a token of some length"
_HOG = "x = bytearray(120 * 2**20); print('ready', flush=True); input()"


def start_hog() -> GuardedProcess:
    """A guarded process that holds 120 MiB until it is killed."""
    process = spawn([sys.executable, "-c", _HOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process._process.stdout.readline() == b"ready\n"
    return process
