"""The backend over gRPC against a real server that answers with its input, without a Triton."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.errors import DeadlineError, ServerError
from harness.load.wire.generator import plan_for
from harness.models.tensors import PreparedModel, TensorSpec
from harness.triton.client.backend import TritonBackend
from harness.triton.client.settings import TritonSettings

X = TensorSpec("x", "float32", ("batch", 3))


class Echo(service_pb2_grpc.GRPCInferenceServiceServicer):
    """One model, `m`: y [batch] has the first column of x [batch, 3] at most 4 of a batch."""

    ready = True
    seconds = 0.0
    """What it takes over what is asked, and over an inference."""
    asked: ClassVar[set[str]] = set()
    """The versions that requests were for."""

    def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        there = request.name == "m" and request.version in ("", "1", "2")
        return service_pb2.ModelReadyResponse(ready=self.ready and there)

    def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="echo", version="2.0")

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        time.sleep(self.seconds)
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=["1", "2"])
        answer.inputs.add(name="x", datatype="FP32", shape=[-1, 3])
        answer.outputs.add(name="y", datatype="FP32", shape=[-1, 1])
        return answer

    def ModelConfig(self, request: Any, context: Any) -> Any:
        answer = service_pb2.ModelConfigResponse()
        answer.config.name, answer.config.max_batch_size = request.name, 4
        return answer

    def ModelStatistics(self, request: Any, context: Any) -> Any:
        answer = service_pb2.ModelStatisticsResponse()
        found = answer.model_stats.add(name="m", version="1", inference_count=7, execution_count=3)
        found.inference_stats.success.count = 7
        answer.model_stats.add(name="m", version="2", inference_count=5)
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.asked.add(request.model_version)
        time.sleep(self.seconds)
        x = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(-1, 3)
        answer = service_pb2.ModelInferResponse(model_name="m")
        answer.outputs.add(name="y", datatype="FP32", shape=[len(x), 1])
        answer.raw_output_contents.append(np.ascontiguousarray(x[:, 0]).tobytes())
        return answer


@pytest.fixture
def echo() -> Iterator[tuple[Echo, str]]:
    servicer, server = Echo(), grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(0)


def backend(
    address: str, inputs: tuple[TensorSpec, ...] = (X,), name: str = "m",
    request_timeout: float = 30.0, **keys: Any
) -> TritonBackend:  # fmt: skip
    spec = TritonSettings.model_validate(
        {"kind": "triton", "protocol": "grpc", "name": "t", **keys}
    )
    model = PreparedModel(name, {}, "", inputs, (TensorSpec("y", "float32", ("batch",)),))
    where = ServerAddress(grpc=address)
    return TritonBackend(spec, BackendContext(model, request_timeout, where))


def test_what_loading_tells(echo: tuple[Echo, str]) -> None:
    with backend(echo[1]) as opened:
        cost = opened.load()
        assert opened.signature.inputs == (X,)
    assert cost.bytes_on_disk is None
    assert {k: v for k, v in cost.details.items() if k != "config"} == {
        "server": "echo", "server_version": "2.0", "model_version": "2", "max_batch_size": 4,
        "model_versions": "1, 2",
        "protocol": "grpc", "client": "wire",
    }  # fmt: skip
    assert "max_batch_size: 4" in str(cost.details["config"])


def test_a_request_there_and_back(echo: tuple[Echo, str]) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with backend(echo[1]) as opened:
        opened.load()
        outputs = run_once(opened, {"x": x})
        assert opened.statistics()["inferences"] == 12
        with pytest.raises(ServerError, match="batch 5 is more than the max_batch_size 4"):
            opened.prepare({"x": np.zeros((5, 3), np.float32)})
    assert outputs["y"].tolist() == [0.0, 3.0]


def test_the_limit_of_a_request_is_not_that_of_asking_about_the_model(
    echo: tuple[Echo, str],
) -> None:
    echo[0].seconds = 0.5
    with backend(echo[1], request_timeout=0.2) as opened:
        opened.load()
        with pytest.raises(DeadlineError, match=r"within 0\.2 s"):
            run_once(opened, {"x": np.zeros((1, 3), np.float32)})


def test_the_version_that_is_asked_for_is_the_one_that_answers(echo: tuple[Echo, str]) -> None:
    """triton-inference-server/server#3485: which one was measured?"""
    x = {"x": np.zeros((1, 3), np.float32)}
    echo[0].asked.clear()
    with backend(echo[1], version=1) as opened:
        assert opened.load().details["model_version"] == "1"
        run_once(opened, x)
        assert opened.statistics()["inferences"] == 7
        (wire,) = plan_for(opened, [opened.prepare(x)], 1, 1.0).requests
    assert echo[0].asked == {"1"}
    assert service_pb2.ModelInferRequest.FromString(wire).model_version == "1"
    with (
        backend(echo[1], version=3) as opened,
        pytest.raises(ServerError, match="no version 3 of model 'm' ready"),
    ):
        opened.load()


def test_a_model_that_is_not_ready_or_does_not_fit(echo: tuple[Echo, str]) -> None:
    wide = (TensorSpec("x", "float32", ("batch", 4)),)
    with backend(echo[1], wide) as opened, pytest.raises(ServerError, match="does not fit"):
        opened.load()
    with backend(echo[1], name="n") as opened, pytest.raises(ServerError, match="no model 'n'"):
        opened.load()
