"""docs/tutorial.md: every command, in the page's order, in a folder that has what a clone has."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from support.paths import ROOT

from harness.cli.main import command as program
from harness.results.store import read_run
from harness.triton.server.install import default_directory
from harness.triton.server.ports import choose

PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
    for line in block.splitlines()
]  # fmt: skip
UNDECIDED = (0, 4)
"""A busy machine's rounds are disturbed; that is what 4 says."""


def words_of(line: str) -> list[str]:
    return shlex.split(line.removesuffix("&"), comments=True)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("harness ")])
def test_its_options_are_those_of_the_command(line: str) -> None:
    command: click.Command = program
    context = click.Context(program)
    words = words_of(line)[1:]
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(command.name, list(words), resilient_parsing=True)
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
    assert {w.partition("=")[0] for w in words if w.startswith("-")} <= known


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("scenarios", "docs", "reports/sample"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.triton
def test_every_command_works_in_the_order_of_the_page(clone: Path) -> None:
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(clone / "data"),
        "HARNESS_TRITON_DIR": str(default_directory()),  # what is installed, not a place of its own
    }  # fmt: skip
    free = choose({})  # what else is on the page's ports is not to be asked
    ports = {"18000": free["http"], "18001": free["grpc"], "18002": free["metrics"]}
    served: list[subprocess.Popen[bytes]] = []
    try:
        for line in COMMANDS:
            words = words_of(re.sub(r"\b1800[012]\b", lambda port: str(ports[port[0]]), line))
            if words[0] in ("harness", "python"):
                words[:1] = [sys.executable, *(["-m", "harness"] if words[0] == "harness" else [])]
            if line.endswith("&"):
                served.append(subprocess.Popen(words, cwd=clone, env=env))
                time.sleep(10)  # as long as reading on takes
                continue
            done = subprocess.run(
                words, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=300
            )
            allowed = UNDECIDED if {"run", "plan", "stress"} & set(words) else (0,)
            assert done.returncode in allowed, f"{line}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            if "docs/tutorial_client.py" in line:
                assert re.fullmatch(r"classifier_\w+ says class \d\n", done.stdout)
    finally:
        for process in served:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130)
    run = read_run(clone / "reports" / "tutorial")
    assert {row.backend for row in run.measurements} == {"torch", "onnx", "served"}
    assert not run.failures
    arena = (clone / "deploy" / "arena" / "arena.sh").read_text()
    assert "--gpumemory=" in arena and "--gpus" not in arena
