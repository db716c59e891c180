"""A run that is killed in the middle, and what its journal holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def measured(run: Path) -> list[tuple[str, int]]:
    """Point and round of every measurement in the journal, without a line that was cut short."""
    if not (run / "journal.jsonl").exists():
        return []
    *lines, _ = (run / "journal.jsonl").read_text().split("\n")
    events = [json.loads(line) for line in lines]
    return [(e["point"], e["round"]) for e in events if e["event"] == "measurement"]


def run_and_kill(scenario: Path, run: Path, after: int) -> list[tuple[str, int]]:
    """Start a run, kill it after so many measurements; what was measured by then."""
    command = [sys.executable, "-m", "harness", "run", str(scenario), "-o", str(run), "-q"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 90
        while len(measured(run)) < after:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return measured(run)
