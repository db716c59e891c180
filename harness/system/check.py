"""One line of what `harness doctor` says, and a safe look at a heavy package for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile

from harness.system.guard import spawn
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
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with (
        TemporaryFile() as out, TemporaryFile() as said,
        spawn([sys.executable, "-P", "-c", code], stdout=out, stderr=said, env=env) as process,
    ):  # fmt: skip
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"did not answer within {timeout:g} s"
        texts = (os.pread(f.fileno(), 1 << 24, 0).strip() for f in (out, said))
        printed, errors = (text.splitlines() for text in texts)
    if status < 0:
        return f"ended by signal {-status}"
    if status:
        return (errors or [f"exit code {status}".encode()])[-1].decode(errors="replace")
    try:
        return dict(json.loads(printed[-1]))
    except (ValueError, TypeError, IndexError):
        return "ended without an answer"


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
