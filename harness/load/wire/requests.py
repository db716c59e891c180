"""Requests as the official client writes them, and responses as it reads them.

The bodies come from tritonclient's own serialisers, so they are its bytes; what differs is that
this happens once, before the load, and not in every request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from harness.models.strings import as_text
from harness.models.tensors import Tensors
from harness.triton.client.common import output_array

Outputs = Sequence[object] | None
Message = tuple[Sequence[object], Outputs]
"""Filled inputs and wanted outputs: `InferInput` and `InferRequestedOutput` of tritonclient."""


def http_request(
    address: str, model: str, inputs: Sequence[object], outputs: Outputs = None,
    headers: Sequence[tuple[str, str]] = (), version: str = "",
) -> bytes:  # fmt: skip
    """A whole HTTP/1.1 request; `inputs` are filled `tritonclient.http.InferInput` objects.

    `headers` are the scenario's own, beside those that the protocol needs. Without a `version` the
    server chooses.
    """
    from tritonclient.http import InferenceServerClient

    body, header_length = InferenceServerClient.generate_request_body(
        list(inputs), outputs=None if outputs is None else list(outputs)
    )
    lines = [
        f"POST /v2/models/{quote(model)}{version and f'/versions/{version}'}/infer HTTP/1.1",
        f"Host: {address}",
        "User-Agent: harness-wire",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if header_length is not None:
        lines.append(f"Inference-Header-Content-Length: {header_length}")
    return "\r\n".join([*lines, "", ""]).encode() + bytes(body)


def grpc_request(
    model: str, inputs: Sequence[object], outputs: Outputs = None, version: str = ""
) -> bytes:
    """A serialised ModelInferRequest; `inputs` are `tritonclient.grpc.InferInput` objects."""
    from tritonclient.grpc._utils import _get_inference_request  # what its `infer` itself calls

    request = _get_inference_request(
        model_name=model, inputs=list(inputs), model_version=version, request_id="",
        outputs=None if outputs is None else list(outputs), sequence_id=0, sequence_start=False,
        sequence_end=False, priority=0, timeout=None, parameters=None,
    )  # fmt: skip
    return bytes(request.SerializeToString())


def decode_http(raw: bytes) -> Tensors:
    """Output name to array, from a kept response (head and body)."""
    from tritonclient.http import InferResult

    head, _, body = raw.partition(b"\r\n\r\n")
    length = None
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"inference-header-content-length:"):
            length = int(line.partition(b":")[2])
    result = InferResult.from_response_body(body, header_length=length)
    return _arrays(result, [output["name"] for output in result.get_response()["outputs"]])


def decode_grpc(raw: bytes) -> Tensors:
    """Output name to array, from a kept response (a serialised ModelInferResponse)."""
    from tritonclient.grpc import InferResult, service_pb2

    result = InferResult(service_pb2.ModelInferResponse.FromString(raw))
    return _arrays(result, [output.name for output in result.get_response().outputs])


def _arrays(result: Any, names: Sequence[str]) -> Tensors:
    return {name: as_text(np.asarray(output_array(result, name))) for name in names}


DECODE = {"http": decode_http, "grpc": decode_grpc}
"""Protocol → how a kept response becomes tensors."""
