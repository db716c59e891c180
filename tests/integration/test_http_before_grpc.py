"""A proxy before a gRPC server that answers itself, in HTTP/1 and in HTTP/2: said by its status."""

import time

import pytest
from support.hostile_triton import HostileTriton
from support.http_proxy import http1, http2_page
from tritonclient import grpc, http

from harness.errors import AccessError, HarnessError, ServerError, UnreachableError
from harness.load.wire.plan import Plan, make
from harness.triton.client.backend import connect, fetch
from harness.triton.client.common import ServerTarget

TALKS = pytest.mark.parametrize("talk", [http1, http2_page])


def check_refusals(protocol, talk, asked, kind, words, fix):
    """The official client is told the same at loading and by a request."""
    with HostileTriton(talk) as server:
        with pytest.raises(HarnessError, match=words) as described:
            fetch(protocol, server.address, "m")
        with (
            connect(protocol, ServerTarget(server.address, "m", 5.0)) as connection,
            pytest.raises(HarnessError, match=words) as inferred,
        ):
            connection.infer([asked])
    for raised in (described.value, inferred.value):
        assert type(raised) is kind
        assert fix in (raised.fix or "")


STATUSES = pytest.mark.parametrize(
    ("status", "kind", "words", "fix"),
    [
        (401, AccessError, r"does not let the harness in \(401\): HTTP status 401", "headers"),
        (403, AccessError, r"does not let the harness in \(403\): HTTP status 403", "headers"),
        (404, UnreachableError, "answers gRPC with HTTP status 404.*: no gRPC", "pass gRPC on"),
        (400, UnreachableError, "answers gRPC with HTTP status 400.*: no gRPC", "HTTP 8000"),
        (502, ServerError, "HTTP status 502: the proxy there does not reach", "behind it"),
        (503, ServerError, "HTTP status 503: the proxy there does not reach", "behind it"),
        (500, ServerError, "answers gRPC with HTTP status 500$", ""),
    ],
)


@TALKS
@STATUSES
def test_the_official_client_at_load_and_under_a_request(talk, status, kind, words, fix):
    asked = grpc.InferInput("x", [1], "FP32")
    check_refusals("grpc", talk(status), asked, kind, words, fix)


@TALKS
@pytest.mark.parametrize("status", [401, 404, 502])
def test_the_wire_client_names_the_status(talk, status):
    with HostileTriton(talk(status)) as server:
        generator = make(Plan("grpc", server.address, (b"request",), 1, 5.0))
        try:
            generator.start()
            end = time.monotonic() + 10.0
            while not generator.completed() and generator.failure is None:
                assert time.monotonic() < end
                time.sleep(0.01)
            samples = generator.stop(5.0)
            said = "; ".join(samples.messages)
        except HarnessError as error:
            said = error.message
    expected = f"HTTP/1.1 {status} No" if talk is http1 else f"(HTTP {status})"
    assert expected in said


@pytest.mark.parametrize(
    ("status", "kind", "words", "fix"),
    [
        (401, AccessError, r"does not let the harness in \(401\)", "headers"),
        (404, UnreachableError, "answers with HTTP status 404: no Triton is there: <html>", "8000"),
        (400, UnreachableError, "answers with HTTP status 400: no Triton is there: <html>", "8000"),
        (502, ServerError, "HTTP status 502: the proxy there does not reach", "behind it"),
        (503, ServerError, "HTTP status 503: the proxy there does not reach", "behind it"),
        (500, ServerError, "answers with HTTP status 500$", ""),
    ],
)
def test_a_proxy_or_another_service_before_http(status, kind, words, fix):
    asked = http.InferInput("x", [1], "FP32")
    check_refusals("http", http1(status), asked, kind, words, fix)
