"""`harness stress` against a real Triton, with every fault, by two workers.

No figure here depends on how busy the machine is: what is checked is what happened, and that the
parts agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest
from support.paths import ROOT
from support.ports import free_port
from support.tiny_onnx import tiny_onnx

from harness.results.samples import OK
from harness.stress.fairness import fairness
from harness.stress.store import Outcome, StressRun, read_stress

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
  shape: {constant: {rate: 25, duration: 8s}}
  faults:
    - {at: 300ms, network: {delay_ms: 60, stall: 1%}, for: 500ms}
    - {at: 1200ms, pause: 700ms}
    - {at: 2500ms, unload: model, for: 200ms}
    - {at: 4s, kill: server}
  thresholds: {error_rate: {max: 99%}}
  abort: false
"""
WRONG = """
scenario: wrong
model:
  name: tiny
  source: {onnx: tiny.onnx}
  parity: {max_abs_error: 1e-9, max_rel_error: 1e-9}
backends: [{kind: triton, protocol: http, serve: onnxruntime, precision: fp16}]
measurement: {profile: quick}
stress:
  shape: {constant: {rate: 5, duration: 1s}}
"""
TURNS = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    calls = 0

    def execute(self, requests):
        self.calls += len(requests)
        off = 0 if self.calls <= 60 else 1
        given = [pb.get_input_tensor_by_name(r, "INPUT0").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("OUTPUT0", g + g.dtype.type(off))]) for g in given]
"""
USERS = """
  shape: {step: {begin: 1, end: 3, steps: 3, duration: 3s, unit: users}}
"""


def harness(home: Path, text: str, *more: str) -> subprocess.CompletedProcess[str]:
    path = home / "stress.yaml"
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "harness", "stress", str(path), "-o", str(home / "run"), *more],
        text=True, capture_output=True, timeout=240, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "120"},
    )  # fmt: skip


def stress(home: Path, protocol: str, section: str, *more: str) -> tuple[Path, int, str]:
    done = harness(home, SCENARIO.replace("PROTOCOL", protocol) + section, *more)
    assert "run directory" in done.stdout or '"finished"' in done.stdout, done.stderr
    return home / "run", done.returncode, done.stdout


def seen(url: str, wanted: str, over: threading.Event) -> str:
    """The page, once there is one with `wanted` in it; empty where there was none to the end."""
    while not over.wait(0.1):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as page:
            text = page.read().decode()
            if wanted in text:
                return str(text)
    return ""


def libraries() -> str:
    """What the run that goes on has mapped, by itself."""
    (run,) = [p for p in psutil.Process().children() if "stress" in p.cmdline()]
    return Path(f"/proc/{run.pid}/maps").read_text("utf-8")


PAGES: dict[str, str] = {}
"""What was seen of the run while it went on."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    home, web, metrics, over = (
        tmp_path_factory.mktemp("faulty"),
        str(free_port()),
        str(free_port()),
        threading.Event(),
    )
    wanted = {
        "locust": (f"http://127.0.0.1:{web}/", "<html"),
        "stats": (f"http://127.0.0.1:{web}/stats/requests", '"num_requests":'),
        "metrics": (f"http://127.0.0.1:{metrics}/metrics", "harness_stress_users 256"),
    }
    with ThreadPoolExecutor() as pool:
        pages = {name: pool.submit(seen, *page, over) for name, page in wanted.items()}
        goes_on = pages["metrics"].result
        pages["libraries"] = pool.submit(lambda: libraries() if goes_on() else "")
        try:
            return stress(home, "grpc", FAULTS, "--workers", "2", "--json", "--web", web,
                          "--metrics-port", metrics)  # fmt: skip
        finally:
            over.set()
            PAGES.update({name: page.result() for name, page in pages.items()})


def test_locusts_page_and_prometheus_saw_it_while_it_went_on(run: StressRun) -> None:
    assert "Locust" in PAGES["locust"]
    assert json.loads(PAGES["stats"])["user_count"] >= 0
    assert "harness_stress_latency_seconds" in PAGES["metrics"]
    assert len(run.samples)


def test_gevent_is_in_the_processes_that_make_the_load_alone(run: StressRun) -> None:
    assert "pyarrow" in PAGES["libraries"]
    assert "gevent" not in PAGES["libraries"]
    assert run.outcome.status == "complete"


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
    if after.any():  # a slow machine may take to the end to unload the model before
        assert (samples.status[after] != OK).any()
    end = run.outcome.start_ns + int(kill["end"] * 1e9)
    if end < samples.scheduled.max():  # a slow machine may take to the end to start a server
        assert (samples.status[samples.scheduled > end] == OK).any()
    paused = run.outcome.faults[1]
    at = run.outcome.start_ns + int(paused["begin"] * 1e9)
    # a request that is sent with the signal may be answered before it is heeded
    within = (samples.scheduled > at + 100_000_000) & (samples.scheduled < at + 400_000_000)
    assert (samples.done[within] - samples.scheduled[within] > 300_000_000).all()


def test_both_workers_made_load_on_one_clock_and_nothing_is_lost(run: StressRun) -> None:
    assert sorted(w["worker"] for w in run.outcome.joined) == [0, 1]
    assert set(run.samples.caller.tolist()) == {0, 1}
    assert run.outcome.lost == []


def test_every_arrival_of_the_schedule_is_a_request(run: StressRun) -> None:
    from harness.swarm.shapes import schedule

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


def test_users_over_http_follow_the_steps_and_see_answers_that_turn_wrong(tmp_path: Path) -> None:
    """Of a model that is right while nothing is checked but in quiet, and wrong from then on."""
    turns = tmp_path / "repository"
    shutil.copytree(REPOSITORY, turns)
    (turns / "identity" / "1" / "model.py").write_text(TURNS, encoding="utf-8")
    shutil.copytree(REPOSITORY / "identity", turns / "other")
    config = turns / "other" / "config.pbtxt"
    config.write_text(config.read_text("utf-8").replace('"identity"', '"other"'), encoding="utf-8")
    beside = ", colocated: [{name: other, load: {concurrency: 2}}]}"
    text = SCENARIO.replace("PROTOCOL", "http").replace(str(REPOSITORY), str(turns))
    done = harness(tmp_path, text.replace('"}}', f'"}}{beside}') + USERS)
    assert done.returncode == 0, done.stderr
    assert "saturate" in done.stdout
    found = read_stress(tmp_path / "run")
    failed = found.samples.status != OK
    assert len(found.samples) > 64
    assert abs(int(failed.sum()) - (len(failed) - 1) // 64) <= 1  # every 64th is compared
    assert failed.any()
    assert {found.merged.kinds[k].partition(":")[0] for k in found.merged.kind[failed]} == {
        "wrong outputs"
    }
    steps = fairness(found, 3.0)
    assert [f.phase for f in steps] == ["step 1", "step 2", "step 3"]
    assert all(share.answered > 0 for f in steps for share in f.shares)
    for step in steps:  # of a second each, in which a busy machine may answer few
        known = step.index is not None and step.low <= step.index <= step.high
        assert known or step.why_not == "too few requests", step
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "Fairness between the models" in html
    assert "In step 3 identity " in done.stdout.replace("\n", " ")


def test_a_model_with_wrong_outputs_is_not_put_under_load(tmp_path: Path) -> None:
    """fp16 where the scenario wants the reference's own numbers."""
    tiny_onnx(tmp_path / "tiny.onnx")
    done = harness(tmp_path, WRONG)
    assert done.returncode not in (0, 4)
    assert "parity: {on_mismatch: measure}" in done.stderr
    outcome = Outcome.read(tmp_path / "run")
    assert outcome.status == "failed"
    assert [row.status for row in outcome.parity] == ["disagrees"]
    assert outcome.start_ns == 0
