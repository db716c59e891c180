"""`harness run`: what it refuses, the dry run, and what stands on stdout at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.paths import ROOT

from harness.cli.run import command
from harness.errors import UsageError

FAKE = str(ROOT / "scenarios" / "fake.yaml")
SHORT = (
    "--set", "load.concurrency=[1]", "--set", "load.batch_sizes=[1]", "--set",
    "measurement.rounds=1", "--set", "measurement.window=50ms",
)  # fmt: skip


def invoke(*args: object) -> Result:
    return CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )


@pytest.mark.parametrize(("args", "words"), [
    ((), "give a scenario file, or --resume DIR"),
    (("--resume", "d", "--output", "o"), "--output does not go with --resume"),
    (("--resume", "d", "--shard", "0/2"), "--shard and --devices do not go with --resume"),
    ((FAKE, "--shard", "2/2"), "there is no shard 2 of 2"),
    ((FAKE, "--dry-run", "--shard", "0/2"), "do not go with --dry-run"),
    ((FAKE, "--dry-run", "--devices", ""), "do not go with --dry-run"),
    (("--resume", "d", "--dry-run"), "--dry-run needs a scenario file"),
    ((FAKE, "--metrics-port", "x"), "--metrics-port: 'x' is no port"),
])  # fmt: skip
def test_what_does_not_go_together(args: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        invoke(*args)


def test_a_dry_run_lists_the_points_and_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = invoke(FAKE, "--dry-run").output.splitlines()
    assert lines[0] == "fake-4ms/b1/c1"
    assert lines[-1].startswith("8 points × 3 rounds, about 0:")
    facts = json.loads(invoke(FAKE, "--dry-run", "--json").output)
    assert facts["points"] == lines[:-1]
    assert list(tmp_path.iterdir()) == []


def test_every_line_is_json_and_the_last_names_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = invoke(FAKE, *SHORT, "-o", tmp_path / "run", "--json", "--no-report")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "plan"
    assert events[-1] == {
        "schema": "harness-run/1", "event": "finished", "directory": str(tmp_path / "run"),
        "reports": {},
        "exit_code": done.return_value,
    }  # fmt: skip
    again = invoke("--resume", tmp_path / "run", "--quiet", "--no-report")
    *said, verdict, where = again.stdout.splitlines()
    assert verdict.startswith("verdict: ") and verdict.endswith(f"(exit code {done.return_value})")
    assert where == f"run directory: {tmp_path / 'run'}"
    assert said and "inferences/s" not in again.stdout  # the answer, without the table
    assert again.return_value == done.return_value


def test_quiet_still_says_what_failed_and_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text(
        "scenario: s\nmodel: {name: m, source: {torch: 'lacking:make'}, "
        "inputs: [{name: x, shape: [batch, 3]}]}\nbackends: [{kind: torch}]\n"
        "load: {concurrency: [1]}\nmeasurement: {profile: quick, rounds: 1}\n"
    )
    (tmp_path / "lacking.py").write_text("import not_a_package_of_anybody\n")
    done = invoke(tmp_path / "s.yaml", "-o", tmp_path / "run", "-q", "--no-report")
    said = " ".join(done.stdout.split())
    assert "failed: torch-cpu-fp32/b1/c1 (round 1): a Python package is missing: the Python" in said
    assert "fix: install the package that provides 'not_a_package_of_anybody'" in said
    assert "verdict: something that is needed is missing here (exit code 3)" in said
    assert done.return_value == 3
