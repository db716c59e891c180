"""docs/own-backend.md, run as it stands there: its files, its commands."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

PAGE = (ROOT / "docs/own-backend.md").read_text("utf-8")
FILES = dict(re.findall(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", PAGE, re.M | re.S))
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
]  # fmt: skip


def _python(folder: Path, *arguments: str, disturbed: bool = False) -> str:
    """What it prints. `disturbed`: 4 is right too, on a machine where something else ran."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode in ((0, 4) if disturbed else (0,)), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_a_backend_is_one_small_file_and_one_line() -> None:
    assert list(FILES) == ["my_toy.py", "my_harness.py", "my_toy.yaml", "by_class.py"]
    assert FILES["my_toy.py"].count("\n") < 80
    assert FILES["my_harness.py"].count("register(") == 1


@pytest.mark.slow
def test_its_commands_measure_it(folder: Path) -> None:
    assert [shlex.split(c)[2] for c in COMMANDS] == ["run", "report"]
    for command in COMMANDS:
        python, *arguments = shlex.split(command)
        assert python == "python"
        _python(folder, *arguments, disturbed=True)
    with (folder / "toy-run/summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted((r["backend"], r["batch_size"]) for r in rows) == [
        ("toy", "1"), ("toy", "8"), ("wide", "1"), ("wide", "8"),
    ]  # fmt: skip
    assert all(float(r["throughput"]) > 0 and int(r["errors"]) == 0 for r in rows)
    assert "wide" in (folder / "toy-run/report.html").read_text("utf-8")


def test_a_class_is_known_by_where_it_can_be_imported(folder: Path) -> None:
    _python(folder, "by_class.py")
