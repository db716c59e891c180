from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.shared import full, write_shared

from harness.tenants.front import exit_code, finish, rebuild
from harness.tenants.results import Results


def test_the_exit_code_is_of_failures_and_of_the_target(good: Results, tmp_path: Path) -> None:
    assert exit_code(good) == 0
    late, fewer = dict.fromkeys((1, 2, 3), 99.0), full(pairs=False, replicas=None)
    assert exit_code(write_shared(tmp_path / "late", fewer, p99_ms=late, rounds=3)) == 1
    cell, p99 = "time_slicing/a@c2+b@c1", dict.fromkeys((1, 2, 3), 5.0)
    failed = write_shared(tmp_path / "fail", fewer, p99_ms=p99, fail=cell, rounds=3)
    assert failed.holds(failed.modes[0]) == 3
    assert exit_code(failed) == 1


def test_what_is_undecided_has_a_code_of_its_own(tmp_path: Path) -> None:
    """As a plan's: 1 is for what was shown."""
    near = dict.fromkeys((1, 2, 3), 20.0)
    found = write_shared(
        tmp_path / "near", full(pairs=False, replicas=None), p99_ms=near, spread=0.2, rounds=3
    )
    assert found.fits(found.modes[0])[0].verdict == "undecided"
    assert exit_code(found) == 4


def test_answer_and_paths_are_printed(good: Results, capsys: pytest.CaptureFixture[str]) -> None:
    run = good.data.path
    assert finish(run, report=True, quiet=False, as_json=False) == 0
    out = capsys.readouterr().out
    assert "2 replicas of a hold" in out
    assert f"HTML report: {run / 'report.html'}" in out
    assert finish(run, report=False, quiet=True, as_json=True) == 0
    last = json.loads(capsys.readouterr().out)
    assert (last["schema"], last["event"]) == ("harness-share/1", "finished")
    rebuild(run)
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
