"""What the null server must answer so that perf_analyzer takes it for a Triton with one model."""

from __future__ import annotations

import json

from harness.load.null.peers import Answers

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


def answers(protocol: str) -> Answers:
    """Answers of one identity model FP32[16] with batching, for `http` or `grpc`."""
    return _http() if protocol == "http" else _grpc()


def _http() -> Answers:
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
    return Answers(
        head + bytes(4 * SIZE), len(head), routes | {f"/v2{path}": b"" for path in ready}
    )


def _grpc() -> Answers:
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
    return Answers(
        usual.SerializeToString(), None, {SERVICE + name: body for name, body in known.items()}
    )
