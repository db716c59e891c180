"""Servers that are not the embedded one: a local binary, and one that somebody else runs."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.backends.registry import open_backend
from harness.errors import EmptyOutputError, ModelRefusedError, ServerError, UnknownModelError
from harness.load.plan import LoadPlan
from harness.load.wire.generator import for_backend
from harness.models.tensors import PreparedModel
from harness.run.worker.outputs import OutputCheck
from harness.scenario.sizes import Part
from harness.scenario.spec.model import Parity
from harness.triton.client.backend import fetch
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import launch
from harness.triton.server import api
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
"""
IDENTITY = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in xs]
"""
MODEL = PreparedModel("identity", {"triton": "identity"}, "k", (), ())


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    path = tmp_path_factory.mktemp("repository")
    version = path / "identity" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(IDENTITY)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def theirs(repository, tmp_path_factory):
    """Explicit model control, nothing loaded."""
    log = tmp_path_factory.mktemp("theirs") / "log"
    with TritonServer.start(find(), repository, log=log, timeout=60) as server:
        yield server


def start(server, tmp_path, protocol="http", model="identity"):
    spec = TritonSettings.model_validate(
        {"kind": "triton", "protocol": protocol, "name": "t", "server": server}
    )
    served = launch(
        spec, replace(MODEL, source={"triton": model}), max_batch_size=1, base=tmp_path,
        log=tmp_path / "log", repository=tmp_path / "output",
    )  # fmt: skip
    return spec, served


def test_a_local_binary(repository, tmp_path, monkeypatch):
    install = find()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(install.libraries))
    settings = {"binary": str(install.binary), "backend_directory": str(install.backends),
                "repository": str(repository)}  # fmt: skip
    _, served = start(settings, tmp_path)
    with served.server:
        assert api.is_ready(served.address.http, "identity")


def test_a_local_binary_without_its_libraries(repository, tmp_path, monkeypatch):
    install = find()
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    settings = {"binary": str(install.binary), "backend_directory": str(install.backends),
                "repository": str(repository)}  # fmt: skip
    with pytest.raises(ServerError, match=r"tritonserver can't run: .* not found"):
        start(settings, tmp_path)


def test_backends_that_are_not_there(repository, tmp_path):
    settings = {"binary": str(find().binary), "backend_directory": str(tmp_path / "no"),
                "repository": str(repository)}  # fmt: skip
    with pytest.raises(ServerError, match="no directory of Triton's backends"):
        start(settings, tmp_path)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_loading_on_a_server_of_somebody_else(theirs, tmp_path, protocol):
    url = getattr(theirs, protocol)
    assert not api.is_ready(theirs.http, "identity")
    spec, served = start({"url": url, "load": True}, tmp_path, protocol)
    assert api.is_ready(theirs.http, "identity")
    where = ServerAddress(url, url, "identity")
    with open_backend(spec, BackendContext(MODEL, 10.0, where)) as it:
        it.load()
        x = np.ones((1, 3), np.float32)
        assert np.array_equal(run_once(it, {"x": x})["y"], x)
    # a second user finds it loaded, and leaves it so
    _, second = start({"url": url, "load": True}, tmp_path, protocol)
    second.release()
    assert api.is_ready(theirs.http, "identity")
    served.release()
    assert not api.is_ready(theirs.http, "identity")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_model_that_it_does_not_have(theirs, tmp_path, protocol):
    spec = TritonSettings.model_validate({
        "kind": "triton", "protocol": protocol, "name": "t",
        "server": {"url": getattr(theirs, protocol), "load": True},
    })  # fmt: skip
    other = PreparedModel("other", {"triton": "other"}, "k", (), ())
    with pytest.raises(UnknownModelError, match=r"no model 'other'") as unknown:
        launch(spec, other, max_batch_size=1, base=tmp_path, log=tmp_path / "log",
               repository=tmp_path / "output")  # fmt: skip
    assert "identity" in str(unknown.value.fix)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_name_that_is_nearly_one_of_its_models(theirs, protocol):
    where = getattr(theirs, protocol)
    with pytest.raises(UnknownModelError, match="did you mean 'identity'"):
        fetch(protocol, where, "identty")
    with pytest.raises(ModelRefusedError, match="its repository has it") as refused:
        fetch(protocol, where, "identity")
    assert "load: true" in str(refused.value.fix)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_validate_asks_the_server(theirs, run_cli, tmp_path, protocol):
    """What a run would be refused is a note while it may change, an error where it can't."""
    address, path = getattr(theirs, protocol), tmp_path / "s.yaml"

    def said(model, batch, server=""):
        path.write_text(
            f"scenario: s\nmodel: {{name: m, source: {{triton: {model}}}, dynamic: {{x_1: 3}}}}\n"
            f"backends: [{{kind: triton, protocol: {protocol}, server: {{url: '{address}'{server}}}"
            f"}}]\nload: {{batch_sizes: {batch}, concurrency: 1}}\n"
        )
        done = run_cli("validate", path)
        return done.returncode, done.stdout + done.stderr

    code, text = said("identty", 1)
    assert (code, "did you mean 'identity'" in text, "fine" in text) == (0, True, False)
    code, text = said("identity", 1)
    assert (code, "though its repository has it" in text, "fine" in text) == (0, True, False)
    code, text = said("identity", 16, ", load: true")  # of its sizes nothing is known yet
    assert (code, ": fine: " in text) == (0, True)
    theirs.load("identity")
    try:
        assert ": fine: " in said("identity", 8)[1]
        code, text = said("identity", 16)
        assert (code, "batch 16 is more than the max_batch_size 8" in text) == (3, True)
        code, text = said("identity", 1, ", headers: {a: b}, tls: {}")
        assert (code, "does not encrypt as `tls` asks for" in text) == (0, True)
    finally:
        theirs.unload("identity")


def test_a_repository_without_the_model(repository, tmp_path):
    with pytest.raises(UnknownModelError, match="no model 'identity2'; did you mean 'identity'"):
        start({"repository": str(repository)}, tmp_path, model="identity2")


@pytest.fixture(scope="module")
def numpy2(repository, tmp_path_factory):
    """A server as others have it: the Python backend of 24.10 with numpy 2, and no mend of ours."""
    path = tmp_path_factory.mktemp("numpy2")
    shutil.copytree(find().backends, path / "backends")
    utils = path / "backends" / "python" / "triton_python_backend_utils.py"
    utils.write_text(utils.read_text().replace("import harness_numpy2", "pass"))
    install = replace(find(), backends=path / "backends")
    with TritonServer.start(install, repository, log=path / "log", timeout=60) as server:
        server.load("identity")
        yield server


@pytest.mark.parametrize("io", ["host", "shared_memory"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_answers_without_a_byte_are_named(numpy2, protocol, io):
    url = getattr(numpy2, protocol)
    spec = TritonSettings.model_validate(
        {"kind": "triton", "protocol": protocol, "name": "t", "io": io, "server": {"url": url}}
    )
    where = ServerAddress(url, url, "identity")
    x = np.ones((1, 3), np.float32)
    with open_backend(spec, BackendContext(MODEL, 10.0, where)) as it:
        it.load()
        with pytest.raises(EmptyOutputError, match=r"'y' is said .* \(1, 3\)") as empty:
            run_once(it, {"x": x})
        assert "numpy" in str(empty.value.fix)
        if io == "host":  # the wire client's answers, as kept under load
            generator = for_backend(it, [it.prepare({"x": x})], LoadPlan(1), request_timeout=5)
            generator.start()
            while not generator.completed():
                assert generator.failure is None
            generator.stop(5)
            (_, answer), *_ = generator.sampled()
            check = OutputCheck(it, spec, MODEL, Parity())
            assert "empty outputs: 'y'" in check([(0, answer)], 1, [(0, 0)], (Part({}),))[1][0]


def test_a_run_on_such_a_server_says_so(numpy2, run_cli, tmp_path):
    (tmp_path / "s.yaml").write_text(f"""
scenario: empty
model: {{name: net, source: {{triton: identity}}, inputs: [{{name: x, shape: [batch, 3]}}]}}
backends: [{{kind: triton, protocol: http, server: {{url: "{numpy2.http}"}}}}]
load: {{batch_sizes: 1, concurrency: 1}}
measurement: {{rounds: 1, rounds_max: 1}}
""")
    done = run_cli("run", tmp_path / "s.yaml", "-o", tmp_path / "run", "--no-report", cwd=tmp_path)
    (failure,) = [e for e in map(json.loads, (tmp_path / "run/journal.jsonl").open())
                  if e["event"] == "failure"]  # fmt: skip
    assert failure["reason"] == "empty_output"
    assert done.returncode == 3
    assert "cannot reshape" not in done.stdout + done.stderr
