"""The three on the fake backend, through the command line, with short windows.

No figure here depends on how busy the machine is: what is checked is that everything arrives.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.store import read_run

SCENARIO = """
scenario: short
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake, service_time_ms: 3.0}]
load: {LOAD}
measurement:
  {profile: quick, rounds: 2, warmup: 50ms, warmup_requests: 2, window: 200ms, window_max: 300ms}
"""


def harness(*args: object, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, args)], text=True, capture_output=True,
        env={**os.environ, "XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "c"),
             "COLUMNS": "120"}, timeout=240, check=False,
    )  # fmt: skip


def scenario(home: Path, load: str) -> Path:
    path = home / "short.yaml"
    path.write_text(SCENARIO.replace("{LOAD}", load), encoding="utf-8")
    return path


def test_capacity_search_is_journaled_resumed_and_reported(tmp_path: Path) -> None:
    path = scenario(
        tmp_path, "{find_capacity: {latency_p90_ms: 100, precision: 0.5, max_rate: 90}}"
    )
    done = harness("run", path, "-o", tmp_path / "run", home=tmp_path)
    assert done.returncode in (0, 4, 5), done.stderr  # a busy machine may well be the limit
    assert "find_capacity" in done.stderr
    data = read_run(tmp_path / "run")
    assert [(c.point, c.round) for c in data.capacities] == [
        ("fake/b1/find_capacity", 0), ("fake/b1/find_capacity", 1),
    ]  # fmt: skip
    measured = [(m.point, m.round) for m in data.measurements]
    assert len(measured) == len(set(measured))
    assert measured[0] == ("fake/b1/c1", 0)
    for found in data.capacities:
        rates = {t["rate"] for t in found.details["trials"]}
        assert max(rates) <= 90
        here = {m.request_rate for m in data.measurements if m.round == found.round}
        assert here - {None} == rates
    assert (tmp_path / "run" / "capacity.csv").is_file()
    assert 'id="capacity"' in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")

    # the second round's row is lost; its rates are there, so only they are judged again
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [x for x in lines if json.loads(x).get("event") != "capacity" or '"round": 0' in x]
    journal.write_text("".join(kept), encoding="utf-8")
    harness("run", "--resume", tmp_path / "run", "--no-report", home=tmp_path)
    again = read_run(tmp_path / "run")
    assert again.capacities == data.capacities
    assert [(m.point, m.round) for m in again.measurements] == measured


def test_a_target_that_no_rate_can_hold_is_missed_and_no_failure(tmp_path: Path) -> None:
    """The lowest rate that is tried is a 64th of the first: in its window nothing may be due."""
    path = scenario(tmp_path, "{find_capacity: {latency_p90_ms: 1, precision: 0.5}}")
    done = harness("run", path, "-o", tmp_path / "run", "-q", home=tmp_path)
    data = read_run(tmp_path / "run")
    assert not data.failures
    assert [row.rate for row in data.capacities] == [None, None]
    lowest = min(row.request_rate for row in data.measurements if row.request_rate)
    assert lowest * 0.3 < 1.5  # of the longest window
    assert done.returncode in (4, 5), done.stderr  # a busy machine may well be the limit


@pytest.mark.slow
def test_calibration_is_kept_and_stands_in_the_next_report(tmp_path: Path) -> None:
    path = scenario(tmp_path, "{concurrency: 1}")
    aa, sizes = tmp_path / "aa", ("--runs", 3, "--repeats", 5)
    done = harness("calibrate", path, *sizes, "-o", aa, home=tmp_path)
    assert done.returncode in (0, 4), done.stderr
    if done.returncode == 4:
        pytest.skip(f"this machine is too busy to measure anything: {done.stderr}")
    assert "On this machine an A/A test of short (3 runs of 10 rounds" in done.stdout
    (kept,) = (tmp_path / "data" / "inference-harness" / "calibration").glob("*.json")
    stored = json.loads(kept.read_text(encoding="utf-8"))
    assert stored["halves"]["comparisons"] == stored["between"]["comparisons"] == 3
    for number in (1, 2, 3):
        rows = read_run(aa / f"run-{number}").measurements
        assert {m.round for m in rows} == set(range(10))

    # killed in the second run's ninth round: what is there is kept, the rest measured
    journal, first = aa / "run-2" / "journal.jsonl", (aa / "run-1" / "journal.jsonl").read_bytes()
    before = read_run(aa / "run-2").measurements
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    cut = [i for i, x in enumerate(lines) if json.loads(x)["event"] == "measurement"][8]
    kept.unlink()
    for _ in range(3):  # other work may make the new rounds invalid: then once more from there
        shutil.rmtree(aa / "run-3")
        journal.write_text("".join(lines[:cut]), encoding="utf-8")
        again = harness("calibrate", "--resume", aa, home=tmp_path)
        if again.returncode != 4:
            break
    assert again.returncode == 0, again.stderr
    stored = json.loads(kept.read_text(encoding="utf-8"))
    assert "(3 runs of 10 rounds" in again.stdout
    rows = read_run(aa / "run-2").measurements
    assert rows[:8] == before[:8] and [m.round for m in rows] == list(range(10))
    assert [m.round for m in read_run(aa / "run-3").measurements] == list(range(10))
    assert (aa / "run-1" / "journal.jsonl").read_bytes() == first
    other = harness("calibrate", "--resume", aa, "-n", 6, home=tmp_path)
    assert other.returncode == 2 and "does not go with --resume" in other.stderr

    harness("run", path, "-o", tmp_path / "run", home=tmp_path)
    assert read_run(tmp_path / "run").manifest["calibration"] == stored
    wrong = harness("calibrate", "--resume", tmp_path / "run", home=tmp_path)
    assert wrong.returncode == 2 and "is no calibration" in wrong.stderr
    html = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "an A/A test of short (3 runs of 10 rounds" in html

    said = harness("explain", tmp_path / "run", "fake/b1/c1", home=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "latency over time" in said.stdout
    assert "samples/fake--b1--c1--r1.parquet" in said.stdout
    wrong = harness("explain", tmp_path / "run", "fake/b1/c2", home=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean 'fake/b1/c1'?" in wrong.stderr


def test_a_search_alone_can_not_be_calibrated(tmp_path: Path) -> None:
    path = scenario(tmp_path, "{find_capacity: {latency_p90_ms: 100}}")
    done = harness("calibrate", path, home=tmp_path)
    assert done.returncode == 2
    assert "a capacity search can't be calibrated" in done.stderr
