"""Every script of benchmarks/ finds what it imports and says its options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

pytestmark = pytest.mark.slow

APART = {"delay_line", "model_analyzer_options"}
"""Takes its arguments by place, from another script; runs in Model Analyzer's environment."""
SCRIPTS = sorted(
    path for path in (ROOT / "benchmarks").rglob("*.py")
    if path.stem not in APART and '__name__ == "__main__"' in path.read_text("utf-8")
)  # fmt: skip


@pytest.mark.parametrize("script", [str(path.relative_to(ROOT)) for path in SCRIPTS])
def test_a_script_says_its_options(script: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], cwd=tmp_path, env=env, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("usage: ")
    assert not list(tmp_path.iterdir())
