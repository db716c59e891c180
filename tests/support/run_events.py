"""What a run in another process tells with `--json`."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def events_until(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Read on to the next event of this sort; the run may end before it, which fails the test."""
    assert process.stdout is not None
    for line in process.stdout:
        found: dict[str, Any] = json.loads(line)
        if found["event"] == event:
            return found
    assert process.stderr is not None
    raise AssertionError(f"no {event}: {process.stderr.read()}")
