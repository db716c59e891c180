"""What an A/A test found on this machine, kept for the reports of later runs.

One JSON file a machine, in `$XDG_DATA_HOME/inference-harness/calibration` (by default under
~/.local/share). The file's name is made from what the result depends on: CPU model, number of
cores, and GPUs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.system.files import read_bytes
from harness.system.paths import data_directory

SCHEMA_VERSION = 2
FEWEST_REPEATS = 5
"""Rounds of half a run: halves of four have none to spare for one that was disturbed."""
FEWEST_RUNS = 3
"""With two, how much runs differ is hardly known."""


def hardware(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `describe_machine()` that a calibration depends on."""
    cpu = machine.get("cpu") or {}
    return {
        "cpu": cpu.get("model"),
        "cores": cpu.get("usable") or cpu.get("threads"),
        "gpus": sorted(str(gpu.get("name")) for gpu in machine.get("gpus") or []),
    }


def machine_key(machine: Mapping[str, Any]) -> str:
    """A name for machines that are alike, e.g. `amd-epyc-9b14-2-5f0c41d2`."""
    facts = hardware(machine)
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    words = " ".join([str(facts["cpu"] or "cpu"), str(facts["cores"] or "")])
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return f"{slug[:60]}-{digest}"


def calibration_path(machine: Mapping[str, Any]) -> Path:
    """Where the machine's calibration is kept, whether there is one or not."""
    return data_directory() / "calibration" / f"{machine_key(machine)}.json"


def read_calibration(machine: Mapping[str, Any]) -> dict[str, Any] | None:
    """The machine's calibration; None when there is none of this version that can be read."""
    try:
        found = json.loads(read_bytes(calibration_path(machine)))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home directory
        return None
    known = isinstance(found, dict) and found.get("schema_version") == SCHEMA_VERSION
    return found if known else None
