"""`harness triton serve`: what becomes of the server's log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.ports import free_port

pytestmark = pytest.mark.triton
CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
BROKEN = "class TritonPythonModel:\n    def initialize(self, args): raise ValueError('not today')\n"
GOOD = "class TritonPythonModel:\n    def execute(self, requests): return []\n"


def serve(tmp_path: Path, code: str, models: str = "models") -> subprocess.Popen[str]:
    version = tmp_path / models / "m" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(code)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-m", "harness", "triton", "serve", "--repository",
               str(tmp_path / models)]  # fmt: skip
    for name in ("http", "grpc", "metrics"):
        command += [f"--{name}-port", str(free_port())]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "COLUMNS": "1000"},
    )  # fmt: skip


def test_the_log_that_an_error_names_is_there(tmp_path: Path) -> None:
    with serve(tmp_path, BROKEN) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    named = set(re.findall(r"log: (\S+server\.log)", said))
    assert len(named) == 1, said
    assert "not today" in Path(named.pop()).read_text()


@pytest.mark.parametrize("models", ["models", "it's my $(false)"])
def test_nothing_is_left_when_all_went_well(tmp_path: Path, models: str) -> None:
    with serve(tmp_path, GOOD, models) as process:
        assert process.stdout is not None
        assert any("Ctrl-C" in line for line in process.stdout)  # its Python stub has started
        assert len(list((tmp_path / "temporary").iterdir())) == 1
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert list((tmp_path / "temporary").iterdir()) == []
