"""Where things are: this package, what is cached, and what is kept."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The folder of the package `harness`."""


def cache_directory() -> Path:
    """Where exported models are kept: $XDG_CACHE_HOME/inference-harness, by default ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "inference-harness"


def data_directory() -> Path:
    """The user's own: $XDG_DATA_HOME/inference-harness, by default below ~/.local/share."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "inference-harness"
