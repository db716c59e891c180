"""Failed calls, against a real gRPC server that has no model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness.errors import BackendError, ServerDiedError, ServerError
from harness.triton.client.backend import TritonCaller, fetch
from harness.triton.client.common import ServerTarget

FULL = "[request id: <id_unknown>] Exceeds maximum queue size"


class Full(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Is live, and answers everything else as tritonserver does when a queue is full."""

    def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNAVAILABLE, FULL)

    ModelInfer = ModelReady


class Slow(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Takes most of a call's limit for the first, and does not end the second; notes how long the
    client will wait for each.
    """

    def __init__(self) -> None:
        self.left: list[float] = []
        self.over = threading.Event()

    def ModelReady(self, request: Any, context: Any) -> Any:
        self.left.append(context.time_remaining())
        time.sleep(0.8)
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        self.left.append(context.time_remaining())
        self.over.wait(60)
        return service_pb2.ModelMetadataResponse(name="m")


def served(servicer: Any) -> tuple[Any, str]:
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


@pytest.fixture
def server() -> Iterator[tuple[Any, ServerTarget]]:
    server, address = served(Full())
    yield server, ServerTarget(address, "m", 10.0)
    server.stop(0)


def test_what_is_said_of_a_server_is_of_all_its_calls() -> None:
    servicer = Slow()
    running, address = served(servicer)
    with pytest.raises(ServerError, match="no whole answer within 1 s"):
        fetch("grpc", address, "m", timeout=1.0)
    assert len(servicer.left) <= 2 and all(seconds < 1.1 for seconds in servicer.left)
    assert all(seconds < 0.3 for seconds in servicer.left[1:]), "what the first has left"
    servicer.over.set()
    running.stop(0)


def test_unavailable_may_be_an_answer(server: tuple[Any, ServerTarget]) -> None:
    _, target = server
    with TritonCaller("grpc", target) as caller, pytest.raises(BackendError) as caught:
        caller.infer([])
    assert (type(caught.value), caught.value.message) == (BackendError, FULL)
    with pytest.raises(ServerError) as setup:
        fetch("grpc", target.address, "m")
    assert setup.value.message == f"Triton at {target.address}: {FULL}"


def test_unavailable_may_be_a_server_that_is_gone(server: tuple[Any, ServerTarget]) -> None:
    running, target = server
    with TritonCaller("grpc", target) as caller:
        running.stop(0).wait()
        with pytest.raises(ServerDiedError, match="is gone"):
            caller.infer([])
    with pytest.raises(ServerError, match="can't be reached"):
        fetch("grpc", target.address, "m")
