"""A real server's /metrics, its composing models and its memory, in a real run."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.backends.registry import open_backend, parse_spec
from harness.models.tensors import PreparedModel, TensorSpec
from harness.report.sections.memory import HOST, timelines
from harness.results.rows import MeasurementRow, ServerOnlyRow
from harness.results.store import RunData, read_run
from harness.triton.counters.metrics import over_window
from harness.triton.counters.scrape import Reading
from harness.triton.counters.statistics import composing
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
TENSORS = """
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 16 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 16 ] }
"""
PYTHON = 'backend: "python" instance_group { count: 1 kind: KIND_CPU }' + TENSORS
STEP = """
import time
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        if any((x > 100).any() for x in xs):
            raise ValueError("too large")
        time.sleep(SECONDS)
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in xs]
"""
CALLS = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        out = []
        for r in requests:
            x = pb.get_input_tensor_by_name(r, "x")
            asked = pb.InferenceRequest(model_name="one", requested_output_names=["y"], inputs=[x])
            out.append(pb.InferenceResponse(asked.exec().output_tensors()))
        return out
"""
ENSEMBLE = 'platform: "ensemble"' + TENSORS + """
ensemble_scheduling {
  step { model_name: "one" model_version: -1
         input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } }
  step { model_name: "two" model_version: -1
         input_map { key: "x" value: "between" } output_map { key: "y" value: "y" } }
}
"""  # fmt: skip
CACHE = ["--cache-config=local,size=1048576"]
ONE_S, TWO_S = 0.001, 0.004
SCENARIO = """
scenario: metrics
model: {{name: {model}, source: {{triton: {model}}}, inputs: [{{name: x, shape: [batch, 16]}}]}}
backends:
{backends}
load: {{batch_sizes: [2], concurrency: {concurrency}}}
measurement: {{profile: quick, rounds: {rounds}, rounds_max: {rounds}, warmup: 50ms,
              warmup_requests: 2, window: {window}, window_requests: 11, window_max: 5s}}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, the ensemble of both, and a model that calls the first by itself."""
    path = tmp_path_factory.mktemp("served") / "repository"
    step = {"one": STEP.replace("SECONDS", str(ONE_S)), "two": STEP.replace("SECONDS", str(TWO_S))}
    for name, code in {**step, "cached": step["two"], "calls": CALLS, "both": ""}.items():
        (path / name / "1").mkdir(parents=True)
        (path / name / "config.pbtxt").write_text(PYTHON if code else ENSEMBLE)
        if code:
            (path / name / "1" / "model.py").write_text(code)
    with (path / "cached" / "config.pbtxt").open("a") as config:
        config.write("response_cache { enable: true }")
    return path


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    log = repository.parent / "server.log"
    with TritonServer.start(find(), repository, log=log, prepared=True, args=CACHE) as found:
        for name in ("both", "calls", "cached"):
            found.load(name)
        yield found


def run(
    folder: Path,
    backends: list[str],
    concurrency: str,
    window: str,
    rounds: int = 1,
    model: str = "both",
    *more: str,
) -> RunData:
    (folder / "s.yaml").write_text(SCENARIO.format(
        backends="\n".join(f"  - {{kind: triton, {b}}}" for b in backends),
        concurrency=concurrency, window=window, rounds=rounds, model=model,
    ))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "s.yaml", "--output", "run", *more],
        cwd=folder,
        text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    found = read_run(folder / "run")
    assert not found.failures, done.stderr
    return found


# ------------------------------------------------------------------------------------ a whole run


@pytest.fixture(scope="module")
def ours(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A server that the harness starts in each of two rounds, one and four callers."""
    backend = f"protocol: grpc, name: t, server: {{repository: {repository}}}"
    return run(tmp_path_factory.mktemp("ours"), [backend], "[1, 4]", "1200ms", rounds=2)


def test_metrics_of_exactly_the_window(ours: RunData) -> None:
    for row in ours.measurements:
        found = row.details["metrics"]
        assert found["model"] == "both"
        assert "metrics_disagree" not in row.flags, row.details["findings"]
        # what is open may end between two readings, or between two lines of one: no snapshot
        open_ = row.concurrency or 0
        late = row.throughput / 2 * found["reading_ms"] / 1e3
        assert found["requests"] == pytest.approx(row.server_count, abs=2 * (open_ + 1 + late))
        assert found["inferences"] == pytest.approx(2 * found["requests"], abs=4 * open_)
        assert set(found["failures"].values()) == {0.0}
        assert (found["gpus"], found["joules_per_inference"]) == ({}, None) or found["gpus"]


def test_requests_wait_in_the_slower_part_of_an_ensemble(ours: RunData) -> None:
    one, four = sorted(ours.measurements[:2], key=lambda row: row.concurrency or 0)
    assert max(one.details["metrics"]["pending"].get("two", [0])) <= 1
    waiting = four.details["metrics"]["pending"]["two"]
    assert len(waiting) >= 3  # both ends, and once in between
    assert max(waiting) >= 1


def test_composing_models_account_for_the_ensemble(ours: RunData) -> None:
    for row in ours.measurements:
        parts = row.details["composing"]
        assert set(parts) == {"one", "two"}
        for part in parts.values():
            open_ = row.concurrency or 0
            assert part["count"] == pytest.approx(row.server_count, abs=2 * open_)
            assert part["inferences"] == pytest.approx(2 * part["count"], abs=4 * open_)
        assert parts["one"]["compute_infer"] > 1e6 * ONE_S
        assert parts["two"]["compute_infer"] > 1e6 * TWO_S
    html = (ours.path / "report.html").read_text(encoding="utf-8")
    assert "Composing models" in html


def test_the_empty_server_is_watched_once_and_the_models_add_to_it(ours: RunData) -> None:
    (empty,) = ours.rows(ServerOnlyRow)
    assert (empty.backend, empty.round) == ("t", 0)
    assert empty.seconds >= 0.9
    loaded = ours.loads[0]
    assert len(ours.loads) == 2
    assert empty.host_memory_mib is not None
    assert loaded.host_memory_mib is not None
    assert 5 < empty.host_memory_mib < loaded.host_memory_mib
    with (ours.path / "metrics-server-only.csv").open() as file:
        (record,) = csv.DictReader(file)
    assert record["Model"] == "triton-server"
    with (ours.path / "server-only.csv").open() as file:
        (record,) = csv.DictReader(file)
    assert float(record["host_memory_mib"]) == empty.host_memory_mib


def test_the_timeline_begins_before_the_server_and_marks_the_windows(ours: RunData) -> None:
    found, _ = timelines(ours)
    labels = [label for *_, label in found.marks]
    assert labels[:4] == ["start", "server", "load", "first call"]
    assert set(labels[4:]) == {"b2/c1", "b2/c4"}
    memory = dict(zip(found.t_s, found.series[HOST], strict=True))
    served, loading = (next(m for m in found.marks if m[2] == name) for name in ("server", "load"))

    def largest(until: float) -> float:
        return max(v for t, v in memory.items() if v is not None and t < until)

    assert 0 < largest(served[1]) < largest(loading[1] + 0.1)


# --------------------------------------------------------------------- the server, and one by url


def test_tritonserver_itself_is_counted(server: TritonServer, ours: RunData) -> None:
    """Not only the Python processes below it."""
    own = psutil.Process(server.pid).memory_info().rss / 2**20
    (empty,) = ours.rows(ServerOnlyRow)
    assert empty.host_memory_mib is not None
    assert empty.host_memory_mib > own / 2


def test_a_server_by_url_has_metrics_where_it_is_said(server: TritonServer, tmp_path: Path) -> None:
    there = f"protocol: http, server: {{url: '{server.http}'"
    backends = [
        f"{there}, metrics_url: 'http://{server.metrics}/metrics'}}, name: told",
        f"{there}}}, name: untold",
        f"{there}, metrics_url: '{server.http}'}}, name: wrong",
    ]
    rows: dict[str, MeasurementRow] = {
        row.backend: row
        for row in run(tmp_path, backends, "2", "200ms", 1, "both", "--no-report").measurements
    }
    assert rows["told"].details["metrics"]["requests"] > 0
    assert "metrics_disagree" not in rows["told"].flags
    assert "metrics_url" in rows["untold"].details["metrics"]["problem"]
    assert "HTTP 4" in rows["wrong"].details["metrics"]["problem"]
    assert all(row.server_count for row in rows.values())


def test_what_the_response_cache_answers_is_named_and_not_ranked(
    server: TritonServer, tmp_path: Path
) -> None:
    """The embedded server has its cache's library; here each request comes again."""
    there = f"protocol: grpc, server: {{url: '{server.grpc}'}}"
    backends = [f"{there}, name: left", f"{there}, name: wanted, rank_cached: true"]
    left, wanted = run(tmp_path, backends, "1", "200ms", model="cached").measurements
    for row in (left, wanted):
        assert row.details["cache"]["cache_hits"] > 0.9 * (row.server_count or 0) > 0
        assert (row.latency_ms["p50"] or 0) < 1e3 * TWO_S, "the model itself sleeps longer"
    assert "from_cache" in left.flags
    assert "of the requests to the model" in left.details["findings"]["from_cache"]
    assert "cache_hits" in wanted.flags and "from_cache" not in wanted.flags
    assert "Cache hits (%)" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def model(name: str) -> PreparedModel:
    x, y = (TensorSpec(n, "float32", ("batch", 16)) for n in "xy")
    return PreparedModel(name, {"triton": name}, "k", (x,), (y,))


def opened(server: TritonServer, name: str, protocol: str, **settings: Any) -> Any:
    spec = parse_spec({
        "kind": "triton", "protocol": protocol, "name": "t",
        "server": {"url": server.http if protocol == "http" else server.grpc}, **settings,
    })  # fmt: skip
    context = BackendContext(model(name), server=ServerAddress(server.http, server.grpc, name))
    return open_backend(spec, context)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    ("name", "listed", "parts"),
    [("both", [], {"one", "two"}), ("calls", ["one"], {"one"}), ("calls", [], set())],
)
def test_composing_models_are_found_or_named(
    server: TritonServer, protocol: str, name: str, listed: list[str], parts: set[str]
) -> None:
    with opened(server, name, protocol, composing=listed) as backend:
        backend.load()
        before = backend.statistics()
        for _ in range(3):
            run_once(backend, {"x": np.ones((2, 16), np.float32)})
        deadline = time.monotonic() + 10
        found = composing(backend.statistics(), before)
        # Triton counts a request after its answer is on the way
        while any(p["inferences"] < 6 for p in found.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
            found = composing(backend.statistics(), before)
    assert set(found) == parts
    assert {part["count"] for part in found.values()} <= {3}
    assert all(part["inferences"] == 6 for part in found.values())


def test_failures_have_tritons_reason(server: TritonServer) -> None:
    from harness.errors import BackendError

    def reading() -> Reading:
        with urllib.request.urlopen(f"http://{server.metrics}/metrics") as answer:
            return Reading(time.monotonic_ns(), time.monotonic_ns(), True, answer.read().decode())

    with opened(server, "one", "http") as backend:
        backend.load()
        before = reading()
        for value in (1.0, 500.0, 500.0):
            try:
                run_once(backend, {"x": np.full((1, 16), value, np.float32)})
            except BackendError:
                assert value == 500.0
        deadline = time.monotonic() + 10
        found = over_window([before, reading()], "one")
        # Triton counts a request after its answer is on the way
        while (
            not found["requests"] or sum(found["failures"].values()) < 2
        ) and time.monotonic() < deadline:
            time.sleep(0.05)
            found = over_window([before, reading()], "one")
    assert found["requests"] == 1
    assert {k: v for k, v in found["failures"].items() if v} == {"BACKEND": 2.0}
