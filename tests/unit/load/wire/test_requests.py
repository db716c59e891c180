"""The body is what the official client sends, byte for byte: caught on a socket."""

import json
import socket
import threading

import numpy as np
import pytest

from harness.load.wire import http2
from harness.load.wire.requests import decode_grpc, decode_http, grpc_request, http_request

triton_http = pytest.importorskip("tritonclient.http")
triton_grpc = pytest.importorskip("tritonclient.grpc")

TENSORS = {
    "floats": np.arange(48, dtype=np.float32).reshape(3, 16),
    "ints": np.array([[1], [-2], [3]], np.int64),
    "flags": np.array([[True], [False], [True]]),
    "words": np.array([[b"a"], [b"long word"], [b""]], object),
}


def inputs_of(module):
    from tritonclient.utils import np_to_triton_dtype

    made = []
    for name, array in TENSORS.items():
        tensor = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def catch(call, enough):
    """What `call(address)` sends until `enough(bytes)`; then the connection breaks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        client = threading.Thread(target=call, args=(address,), daemon=True)
        client.start()
        data = b""
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            connection.sendall(enough.greeting)
            while not enough(data):
                data += connection.recv(1 << 16)
        client.join(10)
    return address, data


def swallow(call):
    def run(address):
        try:
            call(address)
        except Exception as error:  # the listener breaks the connection on purpose
            run.error = error

    return run


def http_parts(data):
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}, body


def whole_http(data):
    if b"\r\n\r\n" not in data:
        return False
    _, headers, body = http_parts(data)
    return len(body) == int(headers["content-length"])


whole_http.greeting = b""


def test_http_body_and_headers_are_the_official_ones():
    def call(address):
        triton_http.InferenceServerClient(address).infer("a model", inputs_of(triton_http))

    address, official = catch(swallow(call), whole_http)
    ours = http_request(address, "a model", inputs_of(triton_http))
    (first, headers, body), (our_first, our_headers, our_body) = (
        http_parts(official),
        http_parts(ours),
    )
    assert our_body == body
    assert our_first == first
    same = ("host", "content-length", "inference-header-content-length")
    assert {k: our_headers[k] for k in same} == {k: headers[k] for k in same}
    assert set(headers) - set(our_headers) <= {"user-agent"}


def streams(data):
    """Header fields and message of the first stream in an HTTP/2 client's bytes."""
    from hpack import Decoder

    at, fields, message, ended = len(http2.PREFACE), {}, b"", False
    decoder = Decoder()
    while len(data) - at >= 9:
        word, flags, _ = http2.FRAME.unpack_from(data, at)
        payload = data[at + 9 : at + 9 + (word >> 8)]
        if len(payload) < word >> 8:
            break
        if word & 0xFF == http2.HEADERS:
            fields = dict(decoder.decode(payload))
        elif word & 0xFF == http2.DATA:
            message += payload
            ended = ended or bool(flags & http2.END_STREAM)
        at += 9 + len(payload)
    return fields, message, ended


def whole_grpc(data):
    return len(data) > 24 and streams(data)[2]


whole_grpc.greeting = http2.settings({}) + http2.frame(http2.SETTINGS, http2.ACK, 0)


def test_grpc_message_and_headers_are_the_official_ones():
    from hpack import Decoder

    from harness.load.wire.grpc import request_headers

    def call(address):
        client = triton_grpc.InferenceServerClient(address)
        client.infer("a model", inputs_of(triton_grpc), client_timeout=5)

    address, official = catch(swallow(call), whole_grpc)
    fields, message, _ = streams(official)
    ours = grpc_request("a model", inputs_of(triton_grpc))
    assert message == b"\0" + len(ours).to_bytes(4, "big") + ours
    our_fields = dict(Decoder().decode(request_headers(address).plain))
    same = (":method", ":scheme", ":path", ":authority", "content-type", "te")
    assert {k: our_fields[k] for k in same} == {k: fields[k] for k in same}


@pytest.mark.parametrize("version", ["", "2"])
def test_a_version_is_asked_for_as_the_official_client_does(version):
    def call(address):
        client = triton_http.InferenceServerClient(address)
        client.infer("a model", inputs_of(triton_http), version)

    address, official = catch(swallow(call), whole_http)
    ours = http_request(address, "a model", inputs_of(triton_http), version=version)
    assert http_parts(official)[0] == http_parts(ours)[0]


def test_own_headers_travel_with_each_request():
    from hpack import Decoder

    from harness.load.wire.grpc import request_headers

    own = (("Authorization", "Bearer 1"), ("X-Tenant", "a b"))
    _, headers, _ = http_parts(http_request("h:1", "m", inputs_of(triton_http), headers=own))
    fields = Decoder().decode(request_headers("h:1", [(k.lower(), v) for k, v in own]).plain)
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer 1", "a b")
    assert fields[-2:] == [("authorization", "Bearer 1"), ("x-tenant", "a b")]


def test_outputs_can_be_asked_for():
    outputs = [triton_http.InferRequestedOutput("y", binary_data=True)]
    _, _, body = http_parts(http_request("h:1", "m", inputs_of(triton_http)[:1], outputs))
    assert b'"outputs":[{"name":"y"' in body
    message = triton_grpc.service_pb2.ModelInferRequest.FromString(
        grpc_request("m", inputs_of(triton_grpc)[:1], [triton_grpc.InferRequestedOutput("y")])
    )
    assert [output.name for output in message.outputs] == ["y"]


def test_http_responses_are_read():
    array = TENSORS["floats"]
    described = {"name": "y", "datatype": "FP32", "shape": [3, 16]}
    described["parameters"] = {"binary_data_size": array.nbytes}
    text = json.dumps({"outputs": [described]}).encode()
    head = f"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: {len(text)}\r\n\r\n".encode()
    found = decode_http(head + text + array.tobytes())
    assert list(found) == ["y"] and (found["y"] == array).all()


def test_grpc_responses_are_read():
    array = TENSORS["ints"]
    message = triton_grpc.service_pb2.ModelInferResponse()
    output = message.outputs.add(name="y", datatype="INT64")
    output.shape.extend(array.shape)
    message.raw_output_contents.append(array.tobytes())
    found = decode_grpc(message.SerializeToString())
    assert list(found) == ["y"] and (found["y"] == array).all()
