"""Completion in a real bash, and click's answers to all three shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.completion import command

BASH = """
eval "$(cat)"
COMP_WORDS=({words}); COMP_CWORD={last}
_harness_completion {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def script(shell: str) -> str:
    return CliRunner().invoke(command, [shell], catch_exceptions=False).output


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [("harness in", {"init", "infer"}), ("harness completion z", {"zsh"}),
     ("harness monitor --rec", {"--record"})],
)  # fmt: skip
def test_bash_completes(words: str, found: set[str], tmp_path: Path) -> None:
    program = tmp_path / "harness"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    program.chmod(0o755)
    last = len(words.split()) - 1
    done = subprocess.run(
        ["bash", "-c", BASH.format(words=words, last=last, program=program)],
        input=script("bash"), text=True, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_of_its_own(shell: str) -> None:
    assert f"_HARNESS_COMPLETE={shell}_complete" in script(shell)


def test_another_shell_is_refused() -> None:
    assert CliRunner().invoke(command, ["tcsh"]).exit_code == 2
