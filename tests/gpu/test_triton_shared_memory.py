"""`io: cuda_shared_memory` against a real Triton: device memory handed over by CUDA's own handles.

The model runs in Python on the CPU, so the server copies from and to the regions itself. Needs the
embedded Triton: pytriton importable, or `harness triton install`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.gpu_memory import free_bytes

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.backends.registry import open_backend, parse_spec
from harness.errors import ServerError
from harness.load.choose import make_generator
from harness.load.plan import LoadPlan
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import OK
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = [pytest.mark.gpu, pytest.mark.triton]

try:
    find()
except ServerError as missing:
    pytest.skip(f"{missing.message}", allow_module_level=True)

CONFIG = """
backend: "python"
max_batch_size: 64
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
instance_group { count: 2 kind: KIND_CPU }
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in xs]
"""
SHAPE = (4, 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    path = tmp_path_factory.mktemp("triton")
    version = path / "repository" / "double" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    with TritonServer.start(find(), path / "repository", log=path / "log", timeout=120) as server:
        server.load("double")
        yield server


def backend_on(server: TritonServer, protocol: str, client: str) -> Any:
    spec: Any = parse_spec({
        "kind": "triton", "protocol": protocol, "client": client, "name": "t",
        "io": "cuda_shared_memory", "device": "cuda",
    })  # fmt: skip
    specs = TensorSpec("x", "float32", ("batch", 1000)), TensorSpec("y", "float32", ("batch", 1000))
    context = BackendContext(
        PreparedModel("double", {}, "key", specs[:1], specs[1:]), request_timeout=10.0,
        server=ServerAddress(server.http, server.grpc, "double"),
    )  # fmt: skip
    return open_backend(spec, context)


def registered(server: TritonServer) -> list[str]:
    import tritonclient.http

    with tritonclient.http.InferenceServerClient(server.http) as client:
        return [r["name"] for r in client.get_cuda_shared_memory_status()]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(("client", "processes"), [("wire", 1), ("wire", 2), ("tritonclient", 1)])
def test_outputs_under_load_are_right_and_all_memory_is_given_back(
    server: TritonServer, protocol: str, client: str, processes: int
) -> None:
    given = [np.random.default_rng(i).random(SHAPE, np.float32) for i in range(3)]
    with backend_on(server, protocol, client) as backend:
        backend.load()
        np.testing.assert_array_equal(run_once(backend, {"x": given[0]})["y"], given[0] * 2)
        assert registered(server)
        requests = [backend.prepare({"x": x}) for x in given]
        generator = make_generator(
            backend, requests, LoadPlan(concurrency=4, processes=processes), request_timeout=10.0,
            wire=client == "wire",
        )  # fmt: skip
        generator.start()
        end = time.monotonic() + 60
        while generator.completed() < 400 and generator.failure is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        samples = generator.stop(10.0)
        assert (samples.status == OK).all(), samples.messages
        assert generator.sampled()
        for which, outputs in generator.sampled():
            np.testing.assert_array_equal(outputs["y"], given[which] * 2)
        before = free_bytes()
        big = backend.prepare({"x": np.zeros((64, 1 << 20), np.float32)})
        assert before - free_bytes() >= 256 << 20
        del big
        backend.release()
        assert registered(server) == []
        assert abs(free_bytes() - before) < 64 << 20
