"""The dashboard's metrics against a real Triton, a real run and a real Prometheus.

Prometheus is Debian's package (`make test` installs it); without it those tests are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest
from ruamel.yaml import YAML
from support.paths import ROOT
from support.ports import free_port
from support.rows import measurement
from support.tiny_onnx import tiny_onnx

from harness.models.tensors import PreparedModel, TensorSpec
from harness.monitor.prometheus import RunMetrics
from harness.results.events import Plan, PointStarted, Progress
from harness.results.rows import FailureRow
from harness.validate.repository import fill

pytestmark = pytest.mark.triton
DASHBOARD = ROOT / "docker/grafana/dashboards/triton.json"
ON_A_GPU = {
    "nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage", "nv_gpu_power_limit", "nv_energy_consumption",
}  # fmt: skip
"""As docs/user_guide/metrics.md of Triton lists them; a server without a GPU has none."""
METRIC = re.compile(r"\b(?:nv|harness)_[a-z0-9_]+")


def queries() -> list[str]:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """`harness triton serve` over a repository that `fill` made; the ports."""
    folder = tmp_path_factory.mktemp("served")
    path = str(tiny_onnx(folder / "model.onnx"))
    model = PreparedModel(
        name="tiny", source={"onnx": path}, key="k",
        inputs=(TensorSpec("input", "float32", ("batch", 3, 16, 16)),),
        outputs=(TensorSpec("output", "float32", ("batch", 10)),), files={"onnx": path},
        max_batch_size=8,
    )  # fmt: skip
    fill(folder / "repository", model, folder / "cache")
    ports = {"http": free_port(), "grpc": free_port(), "metrics": free_port()}
    command = [sys.executable, "-m", "harness", "triton", "serve", "--repository",
               str(folder / "repository")]  # fmt: skip
    command += [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Ctrl-C" in line:
            break
    else:
        pytest.fail("".join(said))
    try:
        assert any("left out: tiny_onnxruntime" in line for line in said)
        assert any("left out: tiny_tensorrt" in line for line in said)
        infer(ports["http"])
        yield ports
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, process.stdout.read()
        with pytest.raises(OSError, match="refused"):
            get(f"http://127.0.0.1:{ports['metrics']}/metrics")


def infer(port: int) -> None:
    """One request of batch 3 by the official client, against ONNX Runtime here."""
    from tritonclient.http import InferenceServerClient, InferInput

    data = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    tensor = InferInput("input", list(data.shape), "FP32")
    tensor.set_data_from_numpy(data)
    client = InferenceServerClient(f"127.0.0.1:{port}")
    answer = client.infer("tiny_python", [tensor]).as_numpy("output")
    client.close()
    assert answer.shape == (3, 10)
    assert np.isfinite(answer).all()


def names(text: str) -> set[str]:
    """As they stand there; prometheus_client's parser adds `_total` to Triton's counters."""
    return set(re.findall(r"^([a-z]\w*)[{ ]", text, re.M))


def run_metrics() -> RunMetrics:
    """A run in the middle of a point, with everything behind it that can happen."""
    metrics = RunMetrics()
    for event in (
        Plan(("a/b1/c1",), 2),
        measurement(point="a/b1/c1", throughput=1, latency_ms={"p99": 2.0}),
        FailureRow("a/b1/c1", 1, "a", "hung", ""),
        PointStarted("a/b1/c1", 1),
        Progress("window", 1, 1.0, 1.0),
    ):
        metrics.take(event)
    return metrics


def test_every_metric_of_the_dashboard_is_exported(triton: dict[str, int]) -> None:
    wanted = {name for query in queries() for name in METRIC.findall(query)}
    served = names(get(f"http://127.0.0.1:{triton['metrics']}/metrics"))
    run = names(generate_latest(run_metrics().registry).decode())
    assert len(wanted) > 20
    assert wanted - served - run <= ON_A_GPU
    unused = {n for n in served | run if n.startswith(("nv_", "harness_"))} - wanted
    assert unused <= {"nv_cpu_memory_total_bytes", "harness_failures_created"}


def test_panels_have_titles_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for p in panels
        for g in [p["gridPos"]]
        for x in range(g["x"], g["x"] + g["w"])
        for y in range(g["y"], g["y"] + g["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(p["title"] and p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)
    assert len({p["id"] for p in panels}) == len(panels)


@pytest.fixture
def prometheus(triton: dict[str, int], tmp_path: Path) -> Iterator[str]:
    """The checked-in configuration with this machine's ports; the base URL."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("no prometheus (apt-get install prometheus)")
    from prometheus_client import start_http_server

    server, _ = start_http_server(0, addr="127.0.0.1", registry=run_metrics().registry)
    yaml = YAML(typ="safe")
    config = yaml.load((ROOT / "docker/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    ports = {"triton": triton["metrics"], "harness": server.server_port}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    path, port = tmp_path / "prometheus.yml", free_port()
    with path.open("w") as file:
        yaml.dump(config, file)
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [binary, f"--config.file={path}", f"--storage.tsdb.path={tmp_path / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()
        log.close()


def ask(base: str, query: str) -> list[Any]:
    url = f"{base}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    found: list[Any] = json.loads(get(url))["data"]["result"]
    return found


def until(base: str, query: str, seconds: float = 30.0) -> list[Any]:
    """The answer as soon as there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := ask(base, query):
                return found
        except OSError:  # it is starting
            pass
        time.sleep(0.2)
    pytest.fail(f"no answer to {query}")


def test_prometheus_scrapes_both_and_every_query_is_one(
    triton: dict[str, int], prometheus: str
) -> None:
    for job in ("triton", "harness"):
        (found,) = until(prometheus, f'up{{job="{job}"}} == 1')
        assert found["value"][1] == "1"
    (count,) = until(prometheus, 'nv_inference_count{model="tiny_python"}')
    assert float(count["value"][1]) == 3
    (done,) = until(prometheus, "harness_measurements_done / harness_measurements_planned")
    assert float(done["value"][1]) == 0.5
    until(prometheus, "count_over_time(nv_inference_count[1m]) > 2")
    for query in queries():
        filled = query.replace("$__rate_interval", "1m").replace("$model", ".*")
        if any(name in query for name in ON_A_GPU):
            assert not ask(prometheus, filled), query  # HTTP 400 when it can't be parsed
        else:
            until(prometheus, filled)  # none while a page that was late is not there again


def test_promtool_accepts_the_configuration() -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool (apt-get install prometheus)")
    path = ROOT / "docker/prometheus/prometheus.yml"
    done = subprocess.run(
        [tool, "check", "config", str(path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
