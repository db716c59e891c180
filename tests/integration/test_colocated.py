"""Two models on one real Triton at the same time: both measured, searched jointly, resumed."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.killed import measured, run_and_kill

from harness.analysis import colocated
from harness.analysis.best import choose
from harness.analysis.constraints import bounds_of, satisfies
from harness.analysis.objective import objective_of
from harness.analysis.summary import summarize
from harness.measure.reduce import reduce
from harness.results.events import Best
from harness.results.samples import read_samples
from harness.results.store import read_run
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            time.sleep(SLEEP)
            x = pb.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb.InferenceResponse([pb.Tensor("y", np.float32(x * 2))]))
        return answers
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
instance_group { count: 1 kind: KIND_CPU }
"""
SLEEPS = {"front": 0.005, "back": 0.02}
SCENARIO = """
scenario: beside
model: {name: front, source: {triton: front}}
backends:
  - kind: triton
    protocol: grpc
    name: t
    server: {repository: models}
    colocated:
      - {name: back, LOAD}
    VARIED
load: {concurrency: 2}
measurement:
  {rounds: ROUNDS, rounds_max: ROUNDS, warmup: 400ms, warmup_requests: 20, window: 400ms,
   window_requests: 5, window_max: 2s}
"""
SEARCH = "search: {method: grid, rounds_max: 1}\n"


def write(folder: Path, load: str, varied: str, rounds: int) -> Path:
    for name, seconds in SLEEPS.items():
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(MODEL.replace("SLEEP", str(seconds)))
        (version.parent / "config.pbtxt").write_text(CONFIG)
    path = folder / "colocated.yaml"
    text = (
        (SCENARIO + SEARCH if "[" in varied else SCENARIO)
        .replace("LOAD", load)
        .replace("VARIED", varied)
    )
    path.write_text(text.replace("ROUNDS", str(rounds)))
    return path


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Instances of both models searched jointly; a slow model with a bound."""
    folder = tmp_path_factory.mktemp("colocated")
    run = folder / "run"
    load = (
        "load: {batch_size: 2, concurrency: 2}, instances: [1, 2], weight: 1, "
        "constraints: {latency_p50_ms: {max: 33, one_round: true}}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", write(folder, load, "instances: [1, 2]", 1), "-o",
         run, "-q"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (run / "journal.jsonl").exists(), done.stderr
    return read_run(run)


def test_both_models_are_loaded_and_measured_in_every_config(together):
    assert not together.failures
    names = {"default", "i1-back.i1", "i1-back.i2", "i2-back.i1", "i2-back.i2"}
    assert {row.config for row in together.measurements} == names
    for row in together.measurements:
        facts = row.details["colocated"]["back"]
        assert facts["load"]["concurrency"] == 2
        count = 2 if row.config.endswith("back.i2") else 1
        # each instance answers one request of two items in 20 ms, and a little more
        assert facts["throughput"] <= 1.1 * count * 2 / 0.02
        begin, end = row.window_begin_ns, row.window_end_ns
        samples = read_samples(together.path / facts["samples"])
        open_ns = np.minimum(samples.done, end) - np.maximum(samples.sent, begin)
        # two callers, but for the time between an answer and the next request
        assert 0.6 * 2 < open_ns.clip(0).sum() / (end - begin) <= 2
        assert np.median(samples.done - samples.sent) / 1e6 > 20 * (2 / count)
    for row in together.loads:
        text = row.details.get("colocated", {}).get("back", {}).get("config", "")
        assert ("count: 2" in text) == row.config.endswith("back.i2")


def test_its_numbers_are_those_of_exactly_the_points_window(together):
    row = together.measurements[0]
    facts = row.details["colocated"]["back"]
    samples = read_samples(together.path / facts["samples"])
    found = reduce(samples, row.window_begin_ns, row.window_end_ns, 2)
    assert found.throughput == pytest.approx(facts["throughput"])
    assert (found.requests, found.errors) == (facts["requests"], facts["errors"])
    assert samples.sent.min() < row.window_begin_ns  # it flowed before and after
    assert samples.done.max() > row.window_end_ns
    assert not list((together.path / "samples").glob(".*"))


def test_the_joint_search_finds_the_pair_that_is_best(together):
    scenario = together.manifest["scenario"]
    rows = summarize(together.measurements, together.failures)
    choice = choose(rows, objective_of(scenario), bounds_of(scenario))
    held = {row.config for row in choice.candidates}
    assert held <= {"i1-back.i2", "i2-back.i2"}  # one instance takes 40 ms for two callers
    pair = next(row for row in rows if row.config == "i2-back.i2")
    if pair.valid and satisfies(pair, bounds_of(scenario)) == "yes":  # else something else ran
        assert choice.best == pair
    else:
        assert choice.best != pair


def test_the_best_pair_is_a_repository_that_triton_serves(together, tmp_path):
    (best,) = together.rows(Best)
    folder = together.path / "best"
    if not best.config:  # something else ran, so that no pair is shown to hold: nothing is written
        rows = summarize(together.measurements, together.failures)
        scenario = together.manifest["scenario"]
        assert not choose(rows, objective_of(scenario), bounds_of(scenario)).candidates
        assert best.why and not folder.exists()
        return
    assert {p.name for p in folder.iterdir() if p.is_dir()} == {"front", "back"}
    assert "count: 2" in (folder / "back" / "config.pbtxt").read_text()
    assert f"{best.config}/back" in (folder / "difference.diff").read_text()
    with TritonServer.start(find(), folder, log=tmp_path / "log") as server:
        server.load("front")
        server.load("back")


def test_the_report_shows_the_models_colocated(together):
    html = (together.path / "report.html").read_text()
    assert "Co-located models" in html
    assert "of all its models together" in html
    lines = (together.path / "colocated.csv").read_text().splitlines()
    assert len(lines) == 1 + 5


@pytest.mark.slow
def test_a_killed_run_is_resumed_and_a_rate_is_kept_colocated(tmp_path, run_cli):
    """Without lists: a server and workers of their own in each round; an open loop beside."""
    load = "load: {request_rate: 25, arrivals: constant}"
    path = write(tmp_path, load, "instances: 2", 3)
    run = tmp_path / "run"
    before = run_and_kill(path, run, 1)
    assert len(before) < 3
    done = run_cli("run", "--resume", run, "-q", "--no-report")
    assert done.returncode in (0, 1, 4, 5), done.stderr
    assert Counter(measured(run)) == {("t/b1/c2", r): 1 for r in range(3)}
    assert measured(run)[: len(before)] == before
    data = read_run(run)
    (row,) = summarize(data.measurements, data.failures)
    (found,) = colocated.summarize_colocated(row)
    assert found.throughput is not None
    assert found.throughput.value == pytest.approx(25, rel=0.2)
    assert found.errors == 0
