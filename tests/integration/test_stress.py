"""`harness stress` against a real Triton, with every fault, by two workers.

No figure here depends on how busy the machine is: what is checked is what happened, and that the
parts agree.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.paths import ROOT

from harness.results.samples import OK
from harness.stress.store import StressRun, read_stress

pytestmark = pytest.mark.triton

REPOSITORY = ROOT / "scenarios" / "models" / "repository"
SCENARIO = f"""
scenario: stress
model: {{name: identity, source: {{triton: identity}}}}
backends:
  - {{kind: triton, protocol: PROTOCOL, server: {{repository: "{REPOSITORY}"}}}}
measurement: {{profile: quick, request_timeout: 10s}}
stress:
"""
FAULTS = """
  shape: {constant: {rate: 25, duration: 12s}}
  faults:
    - {at: 1s, network: {delay_ms: 60, stall: 1%}, for: 1s}
    - {at: 3s, pause: 700ms}
    - {at: 5s, unload: model, for: 300ms}
    - {at: 8s, kill: server}
  thresholds: {error_rate: {max: 99%}}
  abort: false
"""
USERS = """
  shape: {step: {begin: 1, end: 3, steps: 3, duration: 3s, unit: users}}
"""


def stress(home: Path, protocol: str, section: str, *more: str) -> tuple[Path, int, str]:
    path = home / "stress.yaml"
    path.write_text(SCENARIO.replace("PROTOCOL", protocol) + section, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "stress", str(path), "-o", str(home / "run"), *more],
        text=True, capture_output=True, timeout=240, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "120"},
    )  # fmt: skip
    assert "run directory" in done.stdout or '"finished"' in done.stdout, done.stderr
    return home / "run", done.returncode, done.stdout


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    home = tmp_path_factory.mktemp("faulty")
    return stress(home, "grpc", FAULTS, "--workers", "2", "--json")


@pytest.fixture(scope="module")
def run(faulty: tuple[Path, int, str]) -> StressRun:
    return read_stress(faulty[0])


def test_every_fault_was_done_and_undone(run: StressRun) -> None:
    assert [f["kind"] for f in run.outcome.faults] == ["network", "pause", "unload", "kill"]
    assert [f["problem"] for f in run.outcome.faults] == [""] * 4
    assert run.outcome.status == "complete"


def test_clients_saw_them_and_were_served_again(run: StressRun) -> None:
    kill = run.outcome.faults[-1]
    begin = run.outcome.start_ns + int(kill["begin"] * 1e9)
    samples = run.samples
    after = samples.scheduled > begin
    assert (samples.status[after] != OK).any()
    end = run.outcome.start_ns + int(kill["end"] * 1e9)
    if end < samples.scheduled.max():  # a slow machine may take to the end to start a server
        assert (samples.status[samples.scheduled > end] == OK).any()
    paused = run.outcome.faults[1]
    at = run.outcome.start_ns + int(paused["begin"] * 1e9)
    within = (samples.scheduled > at) & (samples.scheduled < at + 300_000_000)
    assert (samples.done[within] - samples.scheduled[within] > 300_000_000).all()


def test_both_workers_made_load_on_one_clock_and_nothing_is_lost(run: StressRun) -> None:
    assert sorted(w["worker"] for w in run.outcome.joined) == [0, 1]
    assert set(run.samples.caller.tolist()) == {0, 1}
    assert run.outcome.lost == []


def test_every_arrival_of_the_schedule_is_a_request(run: StressRun) -> None:
    from harness.stress.shapes import schedule

    due = schedule(run.stress, run.seed) + run.outcome.start_ns
    shift = run.samples.scheduled.min() - due[0]
    assert abs(shift) < 1e9
    assert len(run.samples) == len(due)


def test_json_and_junit_say_the_same(faulty: tuple[Path, int, str]) -> None:
    directory, code, out = faulty
    events = [json.loads(line) for line in out.splitlines()]
    last = events[-1]
    assert (last["event"], last["exit_code"]) == ("finished", code)
    assert {e["event"] for e in events} >= {"started", "progress", "fault", "joined", "done"}
    suite = ET.parse(directory / "junit.xml").getroot()
    assert [c.get("name") for c in suite.iter("testcase")] == ["error_rate"]
    assert code == 0


def test_the_server_is_watched(run: StressRun) -> None:
    names = [m.name.split()[0] for m in run.memory]
    assert "tritonserver" in names
    assert "harness" in names
    assert run.metrics["readings"]


def test_nothing_is_left_behind(faulty: tuple[Path, int, str]) -> None:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        assert str(faulty[0]) not in " ".join(process.info["cmdline"] or ())


def test_users_over_http_follow_the_steps(tmp_path: Path) -> None:
    directory, code, out = stress(tmp_path, "http", USERS)
    assert code == 0
    assert "saturate" in out
    found = read_stress(directory)
    assert len(found.samples) > 10
    assert (found.samples.status == OK).all()
