"""One line of what `harness doctor` says, and a safe look at a heavy package for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from harness.system.packages import install_command

OK, MISSING, NOTE = "ok", "missing", "note"
BACKENDS = "Backends"
"""The group of what can run a model."""
TIMEOUT_S = 60.0
Answer = Mapping[str, object] | str
"""What a probe found out, or why nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """`status` is ok, missing (then `fix` says what to do) or note (good to know)."""

    group: str
    name: str
    status: str
    detail: str
    fix: str | None = None
    runs: bool = False
    """Whether this is a real backend that can measure here."""


def probe(code: str, timeout: float = TIMEOUT_S) -> Answer:
    """Run `code` in a fresh interpreter: the JSON object of its last line, or why there is none.

    A package that crashes or hangs is then a line in the doctor's table, not the doctor's end.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, errors="replace",
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
        answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return "ended without an answer"
    return answer


def not_importable(name: str, module: str, reason: str) -> Check:
    """A backend whose package is not installed, or installed and broken."""
    if reason.startswith("ModuleNotFoundError"):
        reason = f"not installed ({reason.partition(': ')[2]})"
    return Check(BACKENDS, name, MISSING, reason, install_command(module))


def cpu_and_gpu(
    name: str, version: str, detail: str, why_not: object, gpu: bool, fix: str
) -> list[Check]:
    """Both halves of a backend that is installed: its CUDA half is a note on a machine without a
    GPU; on one with it a fault, if there is a reason why it can't be used.
    """
    cuda = Check(BACKENDS, f"{name} (cuda)", MISSING, f"{detail}: {why_not}", fix)
    if not gpu:
        cuda = Check(BACKENDS, f"{name} (cuda)", NOTE, "no GPU here")
    elif why_not is None:
        cuda = Check(BACKENDS, f"{name} (cuda)", OK, detail, runs=True)
    return [Check(BACKENDS, f"{name} (cpu)", OK, version, runs=True), cuda]
