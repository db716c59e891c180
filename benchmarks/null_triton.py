"""A null server that perf_analyzer takes for a Triton with one model.

What the clients ask before their load has answers by path, at once; only inference waits.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from harness.load.null.peers import Answer, GrpcPeer, HttpPeer, Put, grpc_message, http_response
from harness.load.wire import http2

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support import slow_server
from support.slow_server import Behaviour, SlowServer

MODEL = "identity"
SIZE = 16
SERVICE = "/inference.GRPCInferenceService/"
METADATA = {
    "name": MODEL, "versions": ["1"], "platform": "python",
    "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [-1, SIZE]}],
    "outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": [-1, SIZE]}],
}  # fmt: skip
CONFIG = {
    "name": MODEL, "platform": "", "backend": "python", "max_batch_size": 8,
    "version_policy": {"latest": {"num_versions": 1}},
    "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [SIZE]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [SIZE]}],
}  # fmt: skip
ZERO = {"count": 0, "ns": 0}
PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
STATISTICS = {"model_stats": [{
    "name": MODEL, "version": "1", "last_inference": 0, "inference_count": 0,
    "execution_count": 0, "inference_stats": dict.fromkeys(PARTS, ZERO), "batch_stats": [],
}]}  # fmt: skip
SERVER = {
    "name": "triton", "version": "2.0",
    "extensions": ["model_configuration", "statistics", "binary_tensor_data"],
}  # fmt: skip


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
UNIMPLEMENTED = b"12"
Routes = Mapping[str, bytes]
"""Path → body of the answer."""


class RoutedHttp(HttpPeer):
    """Requests for other paths than `/infer`, which have no body, are answered by their path."""

    def __init__(self, put: Put, answer: Answer, routes: Routes) -> None:
        super().__init__(put, answer)
        self._routes = {path: http_response(body) for path, body in routes.items()}

    def _request(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        path = bytes(self._data[:end]).split(b" ", 2)[1].decode() if end >= 0 else "/infer"
        if path.endswith("/infer"):
            return super()._request()
        del self._data[: end + 4]
        self.out.append(self._routes.get(path, NOT_FOUND))
        return True


class RoutedGrpc(GrpcPeer):
    """Calls of other methods than `ModelInfer` are answered by their path."""

    def __init__(self, put: Put, answer: Answer, routes: Routes) -> None:
        super().__init__(put, answer)
        self._routes = {path: grpc_message(body) for path, body in routes.items()}
        self._decoder = http2.HeaderDecoder()
        self._paths: dict[int, str] = {}

    def _frame(self, kind: int, flags: int, stream: int, payload: bytearray) -> None:
        if kind == http2.HEADERS:
            block = http2.strip(flags, kind, bytes(payload))
            self._paths[stream] = self._decoder.decode(block).get(":path", "")
        super()._frame(kind, flags, stream, payload)

    def _request(self, stream: int) -> None:
        path = self._paths.pop(stream, "")
        if path.endswith("/ModelInfer"):
            super()._request(stream)
        elif path in self._routes:
            self._answer(stream, self._routes[path])
        else:
            block = self._head + http2.literal(b"grpc-status", UNIMPLEMENTED)
            end = http2.END_HEADERS | http2.END_STREAM
            self.out.append(http2.frame(http2.HEADERS, end, stream, block))


def serving(
    protocol: str, behaviour: Behaviour | None = None
) -> contextlib.AbstractContextManager[str]:
    """The server of one identity model FP32[16] with batching, over `http` or `grpc`, in a process
    of its own; yields its `host:port`.
    """
    kind, (answer, routes) = (RoutedHttp, _http()) if protocol == "http" else (RoutedGrpc, _grpc())
    peer = partial(kind, answer=answer, routes=routes)
    return slow_server.serving(partial(SlowServer, peer, behaviour or Behaviour()))


def _http() -> tuple[Answer, Routes]:
    output = {
        "name": "OUTPUT0", "datatype": "FP32", "shape": [1, SIZE],
        "parameters": {"binary_data_size": 4 * SIZE},
    }  # fmt: skip
    body = {"model_name": MODEL, "model_version": "1", "outputs": [output]}
    head = json.dumps(body).encode()
    known: dict[str, object] = {"": SERVER, "/models/stats": STATISTICS}
    ready = ["/health/live", "/health/ready"]
    for model in (f"/models/{MODEL}", f"/models/{MODEL}/versions/1"):
        known |= {model: METADATA, f"{model}/config": CONFIG, f"{model}/stats": STATISTICS}
        ready.append(f"{model}/ready")
    routes = {f"/v2{path}": json.dumps(answer).encode() for path, answer in known.items()}
    routes |= {f"/v2{path}": b"" for path in ready}
    return Answer(head + bytes(4 * SIZE), len(head)), routes


def _grpc() -> tuple[Answer, Routes]:
    from google.protobuf.json_format import ParseDict
    from tritonclient.grpc import service_pb2

    def message(kind: str, value: object) -> bytes:
        made = ParseDict(value, getattr(service_pb2, kind)(), ignore_unknown_fields=True)
        return bytes(made.SerializeToString())

    output = {"name": "OUTPUT0", "datatype": "FP32", "shape": [1, SIZE]}
    usual = service_pb2.ModelInferResponse()
    ParseDict({"model_name": MODEL, "model_version": "1", "outputs": [output]}, usual)
    usual.raw_output_contents.append(bytes(4 * SIZE))
    known = {
        "ServerLive": message("ServerLiveResponse", {"live": True}),
        "ServerReady": message("ServerReadyResponse", {"ready": True}),
        "ModelReady": message("ModelReadyResponse", {"ready": True}),
        "ServerMetadata": message("ServerMetadataResponse", SERVER),
        "ModelMetadata": message("ModelMetadataResponse", METADATA),
        "ModelConfig": message("ModelConfigResponse", {"config": CONFIG}),
        "ModelStatistics": message("ModelStatisticsResponse", STATISTICS),
    }  # fmt: skip
    return Answer(usual.SerializeToString()), {SERVICE + n: body for n, body in known.items()}
