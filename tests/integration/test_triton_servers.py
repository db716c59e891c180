"""Servers that are not the embedded one: a local binary, and one that somebody else runs."""

import numpy as np
import pytest

from harness.backends.base import BackendContext, run_once
from harness.backends.registry import open_backend
from harness.errors import ServerError
from harness.models.tensors import PreparedModel
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


def start(server, tmp_path, protocol="http"):
    spec = TritonSettings.model_validate(
        {"kind": "triton", "protocol": protocol, "name": "t", "server": server}
    )
    served = launch(
        spec, MODEL, max_batch_size=1, base=tmp_path, log=tmp_path / "log",
        repository=tmp_path / "output",
    )  # fmt: skip
    return spec, served


def test_a_local_binary(repository, tmp_path, monkeypatch):
    install = find()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(install.libraries))
    settings = {"binary": str(install.binary), "backend_directory": str(install.backends),
                "repository": str(repository)}  # fmt: skip
    _, served = start(settings, tmp_path)
    with served.server:
        assert api.is_ready(served.http, "identity")


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
    where = {f"server_{protocol}": url}
    with open_backend(spec, BackendContext(MODEL, 10.0, served_name="identity", **where)) as it:
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
    with pytest.raises(ServerError, match=r"did not load 'other': .*"):
        launch(spec, other, max_batch_size=1, base=tmp_path, log=tmp_path / "log",
               repository=tmp_path / "output")  # fmt: skip
