"""The `docker run` command line: by a strict parser, and by the real client where there is one."""

import contextlib
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import threading
from pathlib import Path

import pytest
from support.docker_engine import parse_mount, run_parser

from harness.scenario.spec.server import DockerSettings
from harness.triton.client.settings import TritonSettings
from harness.triton.server.docker import Container
from harness.triton.server.log import last_error, port_in_use
from harness.triton.server.start import what_runs

PORTS = {"http": 18000, "grpc": 18001, "metrics": 18002}
IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"


def container(base=Path("/scenarios"), gpus=None, folders=(), **settings):
    return Container(DockerSettings(image=IMAGE, **settings), base, gpus, folders)


def run(it, repository, env=()):
    return it.run("harness-1", repository, PORTS, list(env), ["--log-verbose=1"])


def parsed(it, repository, env=()):
    command = run(it, repository, env)
    assert command[:2] == ["docker", "run"]
    return run_parser().parse_args(command[2:])


def test_defaults(tmp_path):
    found = parsed(container(), tmp_path)
    assert (found.rm, found.name, found.image) == (True, "harness-1", IMAGE)
    assert (found.gpus, found.network) == (None, None)
    assert found.publish == [f"127.0.0.1:{p}:{p}" for p in PORTS.values()]
    assert [parse_mount(m) for m in found.mount] == [(tmp_path, tmp_path, True)]
    program, *arguments = found.command
    assert program == "tritonserver"
    assert f"--model-repository={tmp_path}" in arguments
    assert "--http-address=0.0.0.0" in arguments
    assert "--grpc-port=18001" in arguments
    assert arguments[-1] == "--log-verbose=1"


def test_everything_set(tmp_path):
    (tmp_path / "more").mkdir()
    it = container(
        tmp_path, gpus="all", folders=(tmp_path / "more", tmp_path / "models"), network="host",
        mounts=("./data:/data:ro", "volume:/v", "/abs:/abs"), shm_size=None,
        args=("--user", "1000", "--ulimit=stack=67108864"),
    )  # fmt: skip
    (tmp_path / "models").mkdir()
    found = parsed(it, tmp_path / "models", ["CUDA_VISIBLE_DEVICES"])
    assert found.gpus == "all"
    assert (found.publish, found.shm_size, found.user) == ([], None, "1000")
    assert found.volume == [f"{tmp_path}/data:/data:ro", "volume:/v", "/abs:/abs"]
    assert [parse_mount(m)[0].name for m in found.mount] == ["models", "more"]
    assert found.env == ["CUDA_VISIBLE_DEVICES"]
    assert found.ulimit == ["stack=67108864"]
    assert "--http-address=127.0.0.1" in found.command


def test_shared_memory_of_the_host_needs_no_size(tmp_path):
    assert parsed(container(args=("--ipc=host",)), tmp_path).shm_size is None


def test_names_differ():
    assert container().new_name() != container().new_name()


def test_removal():
    assert container(command="podman").removal("n") == ["podman", "rm", "--force", "--volumes", "n"]


def test_a_container_that_can_not_be_seen(tmp_path):
    docker = tmp_path / "docker"
    for text in ("echo 0", "echo nonsense", "exit 1", f"echo {os.getpid()}"):
        docker.write_text(f"#!/bin/sh\n{text}\n")
        docker.chmod(0o755)
        assert container(command=str(docker)).pid("n") is None


@pytest.mark.parametrize(("device", "gpus"), [("cpu", None), ("cuda", "all"), ("cuda:1", "all")])
def test_gpus_follow_the_device(tmp_path, device, gpus):
    spec = TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "serve": "onnxruntime", "device": device,
        "server": {"docker": {"image": IMAGE}},
    })  # fmt: skip
    assert what_runs(spec, tmp_path).gpus == gpus
    assert spec.server.uses_native


def serving(serve, native, colocated=()):
    return TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "serve": serve, "device": "cuda",
        "server": {"docker": {"image": IMAGE}, "native": native},
        "colocated": [
            {"name": f"other{i}", "model": {"source": {"onnx": "o.onnx"}}, "serve": s,
             "load": {"concurrency": 1}}
            for i, s in enumerate(colocated)
        ],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "mounted", "read_only"),
    [
        (serving("onnxruntime", native=None), ["models"], True),
        (serving("onnxruntime", native=False), ["models", "cache"], True),
        (serving("torch", native=False), ["models", "cache"], True),
        (serving("tensorrt", native=False), ["models", "cache"], False),
        (serving("onnxruntime", native=False, colocated=["tensorrt"]), ["models", "cache"], False),
    ],
)
def test_what_the_harness_models_read_in_the_cache_is_mounted(tmp_path, spec, mounted, read_only):
    for name in ("models", "cache"):
        (tmp_path / name).mkdir()
    found = parsed(what_runs(spec, tmp_path, tmp_path / "cache"), tmp_path / "models")
    expected = [(tmp_path / name, tmp_path / name, read_only) for name in mounted]
    assert [parse_mount(m) for m in found.mount] == expected


def test_a_cache_that_is_a_link_has_both_paths_inside(tmp_path):
    """`prepared.json` has the path as it was written, the configuration has what it leads to."""
    for name in ("models", "real"):
        (tmp_path / name).mkdir()
    cache = tmp_path / "cache"
    cache.symlink_to(tmp_path / "real", target_is_directory=True)
    spec = serving("torch", native=False)
    found = parsed(what_runs(spec, tmp_path, cache), tmp_path / "models")
    mounts = [parse_mount(m)[:2] for m in found.mount]
    assert mounts[1:] == [(tmp_path / "real", tmp_path / "real"), (tmp_path / "real", cache)]
    found = parsed(what_runs(spec, tmp_path, tmp_path / "models" / ".." / "real"), tmp_path)
    assert [parse_mount(m)[1] for m in found.mount] == [tmp_path, tmp_path / "real"]


@pytest.mark.parametrize(
    "text",
    [
        "docker: Error response from daemon: driver failed programming external connectivity on "
        "endpoint x: Bind for 127.0.0.1:18000 failed: port is already allocated",
        "docker: Error response from daemon: failed to set up container networking: driver failed "
        "programming external connectivity on endpoint x: failed to bind host port for "
        "127.0.0.1:18000:172.17.0.2:18000/tcp: address already in use",
        "Error response from daemon: Ports are not available: listen tcp4 127.0.0.1:18000: bind: "
        "address already in use",
    ],
)
def test_a_port_that_the_engine_could_not_have(text):
    assert port_in_use(text + "\n\nRun 'docker run --help' for more information") == 18000
    assert last_error(text + "\n\nRun 'docker run --help' for more information") == text


# -------------------------------------------------------------- the real client, a made-up engine


class _Api(http.server.BaseHTTPRequestHandler):
    """Says who it is, notes what is to be created, and refuses it."""

    protocol_version = "HTTP/1.1"

    def _say(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.44")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self._say(200, {})

    do_GET = do_HEAD

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.created.append((self.path, json.loads(body)))
        self._say(400, {"message": "noted"})

    def address_string(self) -> str:
        return "client"

    def log_message(self, *_: object) -> None:
        pass


class _Api_Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def recording_engine(path):
    with _Api_Server(str(path), _Api) as server:
        server.created = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.created
        server.shutdown()


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker client")
def test_the_real_client_understands_it(tmp_path):
    folder = tmp_path / "with, a comma"
    folder.mkdir()
    it = container(
        tmp_path, gpus="all", folders=(folder,), mounts=("./with, a comma:/data:ro",),
        network="bridge", args=("--ulimit", "memlock=-1", "--ipc=private"), shm_size="256MiB",
    )  # fmt: skip
    it_too = container(tmp_path, gpus="device=1")
    with recording_engine(tmp_path / "engine.sock") as created:
        for command in (run(it, folder, ["MY_VARIABLE"]), run(it_too, folder)):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=30, check=False,
                env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/engine.sock",
                     "DOCKER_CONFIG": str(tmp_path), "MY_VARIABLE": "its value"},
            )  # fmt: skip
            assert done.returncode == 125
            assert "noted" in done.stderr
    (path, first), (_, second) = created
    assert path.endswith("/containers/create?name=harness-1")
    host = first["HostConfig"]
    assert first["Image"] == IMAGE
    assert first["Cmd"][:2] == ["tritonserver", f"--model-repository={folder}"]
    assert "MY_VARIABLE=its value" in first["Env"]
    assert host["AutoRemove"] is True
    assert host["NetworkMode"] == "bridge"
    assert host["PortBindings"]["18000/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "18000"}]
    assert host["Binds"] == [f"{folder}:/data:ro"]
    mount = host["Mounts"][0]
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == (str(folder), str(folder), True)
    assert host["DeviceRequests"][0]["Count"] == -1
    assert host["Ulimits"] == [{"Name": "memlock", "Hard": -1, "Soft": -1}]
    assert second["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["1"]
    assert second["HostConfig"]["ShmSize"] == 2**30
