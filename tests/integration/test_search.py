"""A search over configs of a real Triton: variants, halving, resuming, and the best one served."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from support.killed import measured, run_and_kill

import harness
from harness.measure import validity
from harness.measure.validity import causes
from harness.results.events import Best, MeasuredAgain, PointStarted, Reached
from harness.results.rows import MeasurementRow
from harness.results.store import read_run
from harness.run.selection import Selection
from harness.scenario.reading.loader import load
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
MODEL = """
import json, os, time
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        found = json.loads(args["model_config"]).get("parameters", {})
        written = found.get("sleep_ms", {}).get("string_value", os.environ.get("SLEEP_MS", "3"))
        self.sleep = float(written) / 1e3

    def execute(self, requests):
        time.sleep(self.sleep)
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", np.float32(x * 2))]) for x in xs]
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
instance_group { count: 1 kind: KIND_CPU }
"""
SCENARIO = """
scenario: search
model: {name: double, source: {triton: double}}
backends:
  - {kind: triton, protocol: grpc, name: t, server: {repository: models}, VARIED}
load: {concurrency: LOADS}
measurement:
  {rounds: ROUNDS, warmup: 200ms, warmup_requests: 10, window: 200ms,
   window_requests: 11, window_max: 2s}
search: {SEARCH}
"""
SLEEP = "{{parameters: {{sleep_ms: {{string_value: '{}'}}}}}}"
SLEEPS = f"instances: [1, 2], config: [{SLEEP.format(1)}, {SLEEP.format(40)}]"


def write(
    folder: Path,
    varied: str,
    rounds: int,
    loads: list[int],
    search: str = "method: halving, rounds_max: 1, confirm: 0",
) -> Path:
    version = folder / "models" / "double" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    path = folder / "search.yaml"
    text = SCENARIO.replace("VARIED", varied).replace("ROUNDS", str(rounds))
    path.write_text(text.replace("LOADS", str(loads)).replace("SEARCH", search))
    return path


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run over two sleeps and two numbers of instances, halving, four rounds."""
    folder = tmp_path_factory.mktemp("search")
    path = write(folder, SLEEPS, 4, [1, 2])
    run = folder / "run"
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", path, "-o", run, "-q", "--no-report"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (run / "journal.jsonl").exists(), done.stderr
    return read_run(run)


def test_nothing_is_traced_that_was_not_asked_for(searched):
    """The embedded Triton (24.10) dies of its trace now and then: docs/gap.md."""
    assert searched.measurements
    for row in searched.measurements:
        assert "path" in row.details and "traced" not in row.details["path"]


def test_every_variant_is_served_as_it_is_written(searched):
    names = {"default", "i1-cfg1", "i1-cfg2", "i2-cfg1", "i2-cfg2"}
    first = [row for row in searched.loads if row.round == 0]
    assert {row.config for row in first} == names
    assert not searched.failures
    for row in first:
        count = 2 if row.config.startswith("i2") else 1
        assert f"count: {count}" in row.details["config"]
        sleep = {"cfg1": '"1"', "cfg2": '"40"'}.get(row.config[3:])
        assert sleep is None or f"string_value: {sleep}" in row.details["config"]
    medians = {row.config: row.latency_ms["p50"] for row in searched.measurements
               if row.round == 0 and row.concurrency == 1}  # fmt: skip
    assert medians["i1-cfg2"] >= 40 > 20 > medians["i1-cfg1"] >= 1


def test_one_server_serves_all_configs_of_a_round(searched):
    logs = sorted(p.name for p in (searched.path / "logs").glob("*-server.log"))
    assert logs == [f"r{n}-t-server.log" for n in range(4)]
    for log in (searched.path / "logs").glob("*-server.log"):
        assert log.read_text().count("Started GRPCInferenceService") == 1


def test_a_config_costs_little_more_than_its_windows(searched):
    """Unload, load and bind take less than a new server and worker do, in the same run."""
    gaps: dict[bool, list[float]] = {True: [], False: []}
    for a, b in pairwise(searched.measurements):
        if a.round != b.round or a.config != b.config:
            gaps[a.round != b.round].append((b.window_begin_ns - a.window_end_ns) / 1e9)
    anew, another = median(gaps[True]), median(gaps[False])
    assert 1.5 * another < anew, gaps


def test_halving_measures_again_exactly_what_its_rule_keeps(searched):
    """Whatever else the machine did; the rule itself is judged in tests/unit/search."""
    selection = Selection(load(searched.path.parent / "search.yaml").scenario)
    for round_ in range(1, 4):
        kept = selection.repeated(searched.measurements, searched.failures, round_)
        again = {("t", row.config) for row in searched.measurements if row.round == round_}
        assert again == kept, round_
        assert ("t", "default") in kept
    if not any(causes(row.flags) for row in searched.measurements):
        assert {("t", "i1-cfg2"), ("t", "i2-cfg2")}.isdisjoint(kept)  # forty times slower


def test_the_best_is_a_directory_that_triton_serves(searched, tmp_path):
    import tritonclient.grpc as client

    (best,) = searched.rows(Best)
    assert best.config in ("i1-cfg1", "i2-cfg1")
    folder = searched.path / "best"
    assert not any(p.is_symlink() for p in folder.rglob("*"))
    difference = (folder / "difference.diff").read_text()
    assert "sleep_ms" in difference
    assert "name:" not in difference.replace('name: "x"', "").replace('name: "y"', "")
    assert "harness triton serve" in (folder / "README.md").read_text()
    array = np.arange(4, dtype=np.float32).reshape(1, 4)
    with TritonServer.start(find(), folder, log=tmp_path / "log") as server:
        server.load("double")
        tensor = client.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(array)
        with client.InferenceServerClient(server.grpc) as connection:
            reply = connection.infer("double", [tensor])
        np.testing.assert_array_equal(reply.as_numpy("y"), array * 2)


def test_the_report_makes_the_best_again(searched, run_cli, tmp_path):
    done = run_cli("report", searched.path, "--format", "csv", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "best" / "double" / "config.pbtxt").read_text()
    assert text == (searched.path / "best" / "double" / "config.pbtxt").read_text()


@pytest.mark.slow
def test_a_killed_search_is_resumed_where_it_was(tmp_path, run_cli):
    """With environment variables, each of which needs a server of its own."""
    path = write(tmp_path, "env: {SLEEP_MS: [1, 20]}", 2, [1])
    run = tmp_path / "run"
    before = run_and_kill(path, run, 2)
    assert len(before) < 6
    done = run_cli("run", "--resume", run, "-q", "--no-report")
    assert done.returncode in (0, 4), done.stderr
    found = Counter(measured(run))
    configs = ("", "/SLEEP_MS-1", "/SLEEP_MS-20")
    assert found == {(f"t{c}/b1/c1", r): 1 for c in configs for r in (0, 1)}
    assert measured(run)[: len(before)] == before
    rows = read_run(run).measurements
    for config, least, most in (("default", 3, 15), ("SLEEP_MS-1", 1, 10), ("SLEEP_MS-20", 20, 60)):
        assert all(least <= r.latency_ms["p50"] < most for r in rows if r.config == config)


@pytest.mark.slow
def test_rounds_are_added_for_what_may_be_the_best_and_for_nothing_else(tmp_path, run_cli):
    """Two configs that are the same but for a second instance that one caller never uses."""
    closer = "method: grid, rounds_max: 5, indifference: 0.0001, confirm: 2"
    path = write(tmp_path, SLEEPS, 3, [1], closer)
    run = tmp_path / "run"
    done = run_cli("run", path, "-o", run, "-q", "--no-report")
    assert done.returncode in (0, 4), done.stderr
    data = read_run(run)
    if any(causes(row.flags) for row in data.measurements):
        pytest.skip("the machine was not this run's alone: what may be the best is not known")
    after = [row for row in data.measurements if row.details.get("stage") == "confirmation"]
    assert set(Counter(row.config for row in after).values()) == {2}
    assert {"i1-cfg1", "i2-cfg1"} & {row.config for row in after}
    rounds = Counter(row.config for row in data.measurements if row not in after)
    assert rounds["i1-cfg2"] == rounds["i2-cfg2"] == 3  # forty times slower
    assert max(rounds.values()) in (4, 5)
    why = {e.point: e.why for e in data.rows(Reached)}
    assert "for the choice" in why.values()
    before = measured(run)
    again = run_cli("run", "--resume", run, "-q", "--no-report")
    assert again.returncode in (0, 4), again.stderr
    assert measured(run) == before


def test_a_climb_measures_again_what_was_disturbed(tmp_path, monkeypatch):
    """It is loaded anew, into the server that had it before; what it had at first stays written."""
    begun, seen = [], Counter()

    def watch(event):
        if isinstance(event, PointStarted):
            begun.append(event.point)

    def cpus(*_):
        seen[begun[-1]] += 1
        if "mb4" in begun[-1] and seen[begun[-1]] == 1:
            yield validity.Finding("foreign_load", "others used 90 % of the CPUs of this run")

    monkeypatch.setattr(validity, "check_cpus", cpus)
    search = "method: quick, rounds_max: 1, confirm: 0"
    path = write(tmp_path, "max_batch_size: [4, 8]", 2, [1], search)
    harness.run(path, output=tmp_path / "run", progress=watch)
    found = read_run(tmp_path / "run")
    assert not found.failures
    assert [line.point for line in found.rows(MeasuredAgain)] == ["t/mb4/b1/c1"]
    first = [r for r in found.rows(MeasurementRow) if (r.round, r.config) == (0, "mb4")]
    assert [bool(causes(row.flags)) for row in first] == [True, False]
    assert not any(causes(row.flags) for row in found.measurements)
    assert len(list((tmp_path / "run" / "logs").glob("r0-*-server.log"))) == 1
