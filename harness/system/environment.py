"""What every process of ours has in its environment; set in this process when it is imported.

Imported with the package, so before any runtime, and children inherit it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.system.paths import PACKAGE

QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Switches off what phones home: docs/security.md names each."""
IMPORTS = "HARNESS_IMPORTS"
"""The variable with the folders that are searched after everything that is installed."""
PACKAGE_IN = "HARNESS_PACKAGE_IN"
"""The variable with a folder that holds this harness and no other package."""


def module_command(module: str, python: str = sys.executable) -> list[str]:
    """Runs one of our modules; `-P`: nothing in the working directory replaces a library."""
    return [python, "-P", "-m", module]


def child_env(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours with `extra`, and a PYTHONPATH from which any interpreter imports this very harness.

    With `PACKAGE_IN` in `extra` it imports the harness alone: not what is installed beside it here,
    nor what our own PYTHONPATH has.
    """
    if PACKAGE_IN in extra:
        return {**os.environ, **extra, "PYTHONPATH": extra[PACKAGE_IN]}
    rest = extra.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    path = os.pathsep.join(p for p in (str(PACKAGE.parent), rest) if p)
    return {**os.environ, **extra, "PYTHONPATH": path}


def worker_env(base: Path) -> dict[str, str]:
    """What lets a worker import from the scenario's folder and from the current one, last."""
    return {IMPORTS: os.pathsep.join(dict.fromkeys((str(base), str(Path.cwd()))))}


def _apply() -> None:
    os.environ.update(QUIET)
    folders = os.environ.get(IMPORTS, "").split(os.pathsep)
    sys.path += [folder for folder in folders if folder and folder not in sys.path]


_apply()
