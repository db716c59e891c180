"""A run by URL with `harness telemetry serve` beside the server sees what a local run sees."""

import json
import os
import re
import subprocess
import sys

import pytest

from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
TOKEN = "0123456789abcdef-telemetry"
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        self.weights = bytearray(b"1" * (200 * 2**20))
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in xs]
"""
SCENARIO = """
scenario: telemetry
model: {{name: heavy, source: {{triton: heavy}}, inputs: [{{name: x, shape: [batch, 4]}}]}}
backends: [{{kind: triton, protocol: http, name: t, server: {server}}}]
load: {{concurrency: 2}}
measurement: {{rounds: 1, rounds_max: 1, warmup: 200ms, warmup_requests: 1, window: 1s,
              window_requests: 1, window_max: 1500ms}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("triton")
    version = path / "repository" / "heavy" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    with TritonServer.start(find(), path / "repository", log=path / "log", timeout=60) as server:
        server.load("heavy")
        server.repository = path / "repository"
        yield server


@pytest.fixture
def telemetry(server):
    """The command as a user runs it; its address."""
    command = [sys.executable, "-m", "harness", "telemetry", "serve", "--port", "0",
               "--token-env", "T_TOKEN", "--pid", str(server.pid), "--gpu", "none"]  # fmt: skip
    process = subprocess.Popen(
        command, env={**os.environ, "T_TOKEN": TOKEN}, stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    yield re.search(r"http://(\S+),", line)[1]
    process.terminate()
    assert process.wait(10) == 0


def measure(run_cli, folder, server):
    folder.mkdir()
    (folder / "s.yaml").write_text(SCENARIO.format(server=server))
    done = run_cli("run", folder / "s.yaml", "-o", folder / "run", "--no-report", cache=True,
                   env={"T_TOKEN": TOKEN})  # fmt: skip
    events = [json.loads(line) for line in (folder / "run/journal.jsonl").open()]
    rows = {e["event"]: e for e in events}
    assert "measurement" in rows, done.stderr
    return rows


@pytest.mark.slow
def test_the_same_memory_as_a_local_run(run_cli, tmp_path, server, telemetry):
    local = measure(run_cli, tmp_path / "local", f"{{repository: {server.repository}}}")
    there = f'{{url: "{telemetry}", token: "${{T_TOKEN}}"}}'
    remote = measure(run_cli, tmp_path / "remote", f'{{url: "{server.http}", telemetry: {there}}}')
    ours, theirs = (r["measurement"]["host_memory_mib"] for r in (local, remote))
    assert ours > 200
    assert theirs == pytest.approx(ours, rel=0.05)
    details = remote["measurement"]["details"]
    assert 0 < details["telemetry_clock"]["error_ns"] < 20_000_000
    assert remote["measurement"]["cpu_percent"] > 5
    assert remote["loaded"]["details"]["server_host"]["pids"] == [server.pid]
    holding = [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    assert holding == []


def test_a_server_of_this_machine_is_found_by_its_port(run_cli, tmp_path, server):
    found = measure(run_cli, tmp_path / "found", f'{{url: "{server.http}"}}')
    assert found["measurement"]["host_memory_mib"] > 200
    assert "telemetry_clock" not in found["measurement"]["details"]


def test_the_service_refuses_to_start_without_a_token(run_cli):
    done = run_cli("telemetry", "serve", "--port", "0", env={"HARNESS_TELEMETRY_TOKEN": "short"})
    assert done.returncode == 3
    assert "at least 16 characters" in done.stderr
