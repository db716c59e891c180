"""A server that somebody else runs and that never answers; a real gRPC server, with no model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness.errors import ModelRefusedError
from harness.triton.client import control
from harness.triton.client.settings import TritonSettings

STUCK_S = 5.0
"""Longer than any time limit of a test."""


class Stuck(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Does what it is asked, but for the call `stuck_at`, which waits until the test is over."""

    def __init__(self, stuck_at: str) -> None:
        self.stuck_at, self.over = stuck_at, threading.Event()

    def _wait(self, call: str) -> None:
        if call == self.stuck_at:
            self.over.wait(STUCK_S)

    def ModelReady(self, request: Any, context: Any) -> Any:
        self._wait("ready")
        return service_pb2.ModelReadyResponse(ready=False)

    def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        self._wait("load")
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        self._wait("unload")
        return service_pb2.RepositoryModelUnloadResponse()


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[TritonSettings]:
    servicer = Stuck(request.param)
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield TritonSettings.model_validate({
        "kind": "triton", "protocol": "grpc", "name": "t",
        "server": {"url": f"127.0.0.1:{port}", "load": True},
    })  # fmt: skip
    servicer.over.set()
    server.stop(0)


@pytest.mark.parametrize("backend", ["ready", "load"], indirect=True)
def test_load_timeout_ends_loading_and_the_question_before_it(backend: TritonSettings) -> None:
    with pytest.raises(ModelRefusedError, match=r"did not load 'm' in 0\.3 s") as refused:
        control.load_remote(backend, "m", 0.3)
    assert "load_timeout" in str(refused.value.fix)


@pytest.mark.parametrize("backend", ["unload"], indirect=True)
def test_unloading_has_a_time_limit(backend: TritonSettings) -> None:
    unload = control.load_remote(backend, "m", 0.3)
    done = threading.Thread(target=unload, daemon=True)
    done.start()
    done.join(STUCK_S / 2)
    assert not done.is_alive()
