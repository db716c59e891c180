"""Where things are: this package, and what is cached."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The folder of the package `harness`."""


def cache_directory() -> Path:
    """Where exported models are kept: $XDG_CACHE_HOME/inference-harness, by default ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "inference-harness"
