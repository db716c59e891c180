"""Where things are in the source tree, whatever folder a test lies in."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SAMPLE = ROOT / "reports" / "sample"
"""The run that the project ships: one H200, 30 November 2026, which reached its end."""
H200 = DATA / "runs" / "h200-2026-11-23"
"""One H200, stopped after 19 minutes: wrong outputs at one backend, rounds uneven."""
LANES = DATA / "runs" / "h200-lanes-2026-11-30"
"""Two H200, each with two of four rounds; five points invalid, a tie that the tail decides."""
