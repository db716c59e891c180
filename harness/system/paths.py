"""Where things are: this package, what is cached, what workers import from."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The folder of the package `harness`."""


def worker_env(base: Path) -> dict[str, str]:
    """Environment of a worker: the scenario's folder and the current one can be imported from."""
    paths = [str(base), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(p for p in paths if p))}


def cache_directory() -> Path:
    """Where exported models are kept: $XDG_CACHE_HOME/inference-harness, by default ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "inference-harness"
