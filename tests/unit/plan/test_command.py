"""`harness plan`, on the sample of a real GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import paths

from harness.cli.main import main
from harness.plan.command import command

SAMPLE = str(paths.SAMPLE)


def code_of(*args: str) -> int:
    with pytest.raises(SystemExit) as info:
        main(["plan", *args])
    return int(info.value.code or 0)


def test_json_on_stdout_and_files_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [SAMPLE, "--rate", "500", "--slo-p99", "20ms", "--system", "kai", "--json"]
    assert code_of(*args, "-o", str(tmp_path / "files")) == 0
    found = capsys.readouterr()
    assert [s["system"] for s in json.loads(found.out)["systems"]] == ["kai"]
    assert "2 files in" in found.err
    assert (tmp_path / "files" / "kai" / "kubernetes.yaml").exists()


def test_the_exit_code_says_that_it_is_undecided_or_used_wrongly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of(SAMPLE, "--rate", "500", "--slo-p99", "0.1ms") == 4
    assert "no valid point of the run holds p99 ≤ 0.1 ms, and 3 points" in capsys.readouterr().err
    assert code_of(SAMPLE, "--rate", "500", "--slo-p99", "20ms", "--system", "none") == 2
    assert "no system is called 'none'" in capsys.readouterr().err


@pytest.mark.parametrize("claim", ["../etc", "Models", "a b", "-a", "a..b", "a" * 254, ""])
def test_a_volume_claim_has_a_name_that_kubernetes_takes(
    claim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(SAMPLE, "--rate", "500", "--slo-p99", "20ms", f"--models={claim}") == 2
    assert "is no name of a volume claim" in capsys.readouterr().err


def test_a_plan_that_could_not_be_written_out_is_said() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "plan", SAMPLE, "--rate", "500", "--slo-p99", "20ms"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.stderr == "error: standard output can't be written: No space left on device\n"
    assert done.returncode == 3


def test_the_help_says_how_it_is_tried() -> None:
    done = CliRunner().invoke(command, ["--help"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "--verify tries the point under a cap" in " ".join(done.output.split())
