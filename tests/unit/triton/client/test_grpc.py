"""Failed calls, against a real gRPC server that has no model."""

from __future__ import annotations

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


@pytest.fixture
def server() -> Iterator[tuple[Any, ServerTarget]]:
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Full(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield server, ServerTarget(f"127.0.0.1:{port}", "m", 10.0)
    server.stop(0)


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
