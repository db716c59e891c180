"""`server: {docker: …}`: the embedded tritonserver behind a stand-in for the engine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.docker_engine import Engine, parse_mount
from support.tiny_onnx import tiny_onnx

from harness.errors import ServerError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import launch
from harness.triton.server import api
from harness.triton.server.command import environment
from harness.triton.server.install import find
from harness.triton.server.start import start_server

pytestmark = pytest.mark.triton
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
"""
IDENTITY = """
import os
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        assert os.environ["INSIDE"] == "the container"
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in xs]
"""


@pytest.fixture
def repository(tmp_path):
    version = tmp_path / "models" / "identity" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(IDENTITY)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    return tmp_path / "models"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    install = find()
    folder = tmp_path / "engine"
    folder.mkdir()
    inside = environment(install, {"INSIDE": "the container"})
    with Engine(folder, install.binary, [f"--backend-directory={install.backends}"], inside) as it:
        for name, value in it.environ.items():
            monkeypatch.setenv(name, value)
        yield it


def spec(repository, docker=None, **server):
    docker = {"image": "tritonserver:24.10-py3", **(docker or {})}
    return TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "name": "t",
        "server": {"repository": str(repository), "docker": docker, **server},
    })  # fmt: skip


def start(wanted, repository, tmp_path, env=None):
    return start_server(
        wanted, repository, base=tmp_path, log=tmp_path / "log", env=env or {}, prepared=False
    )


def wait_until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_start_load_stop(engine, repository, tmp_path):
    (tmp_path / "extra").mkdir()
    docker = {"mounts": "./extra:/extra:ro", "args": ["--ulimit", "memlock=-1"], "gpus": "all"}
    wanted = spec(repository, docker, args="--log-verbose=0")
    with start(wanted, repository, tmp_path, {"MY_VARIABLE": "some value"}) as server:
        assert server.visible
        assert psutil.Process(server.pid).name() == "tritonserver"
        assert server.pid == next(iter(engine.alive.values())).pid
        server.load("identity")
        assert api.is_ready(server.http, "identity")
        assert server.alive()
        (run,) = engine.runs
        assert run.rm
        assert run.gpus == "all"
        assert run.shm_size == str(2**30)
        assert run.volume == [f"{tmp_path}/extra:/extra:ro"]
        assert run.ulimit == ["memlock=-1"]
        assert all(text.startswith("127.0.0.1:") for text in run.publish)
        assert "--model-control-mode=explicit" in run.command
        assert run.command[-1] == "--log-verbose=0"
        assert engine.environments[0]["MY_VARIABLE"] == "some value"
        assert "some value" not in " ".join(psutil.Process(server._process.child_pid).cmdline())
        pid = server.pid
    assert engine.alive == {}
    assert not psutil.pid_exists(pid)


def test_a_container_that_dies_is_noticed(engine, repository, tmp_path):
    with start(spec(repository), repository, tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until(lambda: not server.alive())
        assert "137" in server.exit_reason()


def test_no_such_image(engine, repository, tmp_path):
    with pytest.raises(ServerError, match="pull access denied for missing"):
        start(spec(repository, {"image": "missing:1"}), repository, tmp_path)


def test_no_docker(repository, tmp_path):
    with pytest.raises(ServerError, match="/no/docker can't be run"):
        start(spec(repository, {"command": "/no/docker"}), repository, tmp_path)


def test_sigkill_of_the_harness_removes_the_container(engine, repository, tmp_path):
    program = (
        "import sys, time, pathlib\n"
        "from harness.triton.client.settings import TritonSettings\n"
        "from harness.triton.server.start import start_server\n"
        "spec = TritonSettings.model_validate_json(sys.argv[1])\n"
        "at = pathlib.Path(sys.argv[2])\n"
        "server = start_server(spec, pathlib.Path(spec.server.repository), base=at,"
        " log=at / 'log', env={}, prepared=False)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    wanted = spec(repository).model_dump_json()
    owner = subprocess.Popen(
        [sys.executable, "-c", program, wanted, str(tmp_path)], stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout.readline() == b"ready\n"
        (container,) = engine.alive.values()
        owner.kill()
    assert wait_until(lambda: engine.alive == {})
    assert container.wait(5) == -signal.SIGKILL


def test_a_model_of_the_harness_finds_its_file(engine, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    model = PreparedModel(
        name="tiny", source={}, key="k",
        inputs=(TensorSpec("input", "float32", ("batch", 3, 16, 16)),),
        outputs=(TensorSpec("output", "float32", ("batch", 10)),),
        files={"onnx": str(tiny_onnx(cache / "model.onnx"))},
    )  # fmt: skip
    wanted = TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "name": "t", "serve": "onnxruntime", "device": "cpu",
        "server": {"docker": {"image": "triton:1"}, "native": False},
    })  # fmt: skip
    served = launch(
        wanted, model, max_batch_size=1, base=tmp_path, log=tmp_path / "log",
        repository=tmp_path / "models", cache=cache,
    )  # fmt: skip
    with served.server:
        mounted = [target for _, target, _ in map(parse_mount, engine.runs[0].mount)]
    (file,) = re.findall(r'string_value: "(/.*onnx)"', served.config)
    assert any(Path(file).is_relative_to(folder) for folder in mounted)


def test_a_run(engine, repository, tmp_path, run_cli):
    (tmp_path / "s.yaml").write_text(f"""
scenario: docker
model: {{name: identity, source: {{triton: identity}}, inputs: [{{name: x, shape: [batch, 4]}}]}}
backends:
  - kind: triton
    protocol: grpc
    server: {{repository: {repository}, docker: {{image: "triton:1", network: host}}}}
measurement: {{rounds: 1, rounds_max: 1, warmup: 50ms, warmup_requests: 1, window: 300ms,
              window_requests: 1, window_max: 500ms}}
""")
    done = run_cli("run", tmp_path / "s.yaml", "-o", tmp_path / "run", "--no-report", cache=True)
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").open()]
    (row,) = [e for e in events if e["event"] == "measurement"]
    assert row["requests"] > 10, done.stderr
    assert row["errors"] == 0
    assert row["host_memory_mib"] > 40  # the server's processes, which the engine started
    assert engine.runs[0].publish == []
    assert engine.alive == {}
    assert not list(Path("/dev/shm").glob(f"harness-*-{os.getpid()}-*"))
