"""Import a heavy package in a process of its own, with a deadline.

One that crashes or hangs is then a line in the doctor's table and not the end of the doctor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

TIMEOUT_S = 60.0


def probe(code: str, timeout: float = TIMEOUT_S) -> dict[str, Any] | str:
    """Run `code` in a fresh interpreter: the JSON object of its last line, or why there is none."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, errors="replace",
            timeout=timeout, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"did not answer within {timeout:g} s"
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return "ended without an answer"
    return answer
