"""Failures in words; messages that grpcio and tritonserver gave, to codes that both use."""

from __future__ import annotations

import socket

import pytest
from tritonclient.utils import InferenceServerException

from harness.errors import (
    AccessError,
    BackendError,
    HarnessError,
    ModelRefusedError,
    OutOfMemoryError,
    ServerDiedError,
    ServerError,
    TlsError,
    UnknownModelError,
    UnreachableError,
)  # fmt: skip
from harness.system.network import Access, Tls
from harness.triton.client import errors
from harness.triton.client.common import ServerTarget
from harness.triton.client.errors import of_transport


@pytest.mark.parametrize(
    "message",
    [
        "[request id: <id_unknown>] Exceeds maximum queue size",
        "[request id: 7] Server is stopping, scheduler for model has stopped accepting new "
        "inference requests",
        "in ensemble 'both', [request id: <id_unknown>] Exceeds maximum queue size",
        "Request for unknown model: 'channels' version 1 is not at ready state",
        "the words of a model.py",
    ],
)
def test_what_was_answered(message: str) -> None:
    assert not of_transport(message)


@pytest.mark.parametrize(
    "message",
    [
        "Stream removed (Socket closed)",
        "Socket closed",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:55447: Failed to "
        "connect to remote host: Connection refused",
        "recvmsg:Connection reset by peer",
        "GOAWAY received; Error code: 0; Debug Text: ",
        "keepalive watchdog timeout",
        "ping timeout",
        "settings timeout",
        "empty address list: ",
        "DNS resolution failed for nowhere:1",
        "",
        None,
    ],
)
def test_what_did_not_get_through(message: str | None) -> None:
    assert of_transport(message)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("no such luck", BackendError),
        ("Failed to allocate memory for requested buffer of size 7", OutOfMemoryError),
        ("Stub process 'm_0_0' is not healthy.", ServerDiedError),
    ],
)
def test_what_the_server_answers(message: str, kind: type[HarnessError]) -> None:
    target = ServerTarget("127.0.0.1:1", "m", 1.0)
    found = errors.answered(target, InferenceServerException(message, status="400"))
    assert type(found) is kind
    assert message in found.message


def test_a_broken_connection_to_a_dead_server_and_to_a_living_one() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        target = ServerTarget(f"127.0.0.1:{listener.getsockname()[1]}", "m", 1.0)
        gone = errors.broken(target, ConnectionResetError("reset"))
        assert isinstance(gone, ServerDiedError)
        assert "reset" in gone.message
        listener.listen()
        assert type(errors.broken(target, ConnectionResetError("reset"))) is BackendError
        memory = errors.broken(target, RuntimeError("CUDA out of memory"))
        assert isinstance(memory, OutOfMemoryError)


def test_the_first_row_that_fits_says_what_an_error_becomes() -> None:
    target = ServerTarget("127.0.0.1:1", "m", 1.5)
    table = ((TimeoutError, errors.late), (OSError, errors.unreachable))
    late = errors.ours(target, table, TimeoutError("slow"))
    assert isinstance(late, HarnessError)
    assert late.message == "no answer from Triton within 1.5 s"
    assert "can't be reached: refused" in str(
        errors.ours(target, table, ConnectionRefusedError("refused"))
    )
    for unknown in (ValueError("ours"), BackendError("ours")):
        assert errors.ours(target, table, unknown) is unknown


TARGET = ServerTarget("127.0.0.1:1", "net", 1.5)


@pytest.mark.parametrize(
    ("words", "kind", "fix"),
    [  # as Python's ssl, gevent and gRPC's core say it
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer",
         TlsError, "tls: {ca: ca.pem}"),
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:1: Tls handshake "
         "failed (TSI_PROTOCOL_FAILURE): error:1000007d:CERTIFICATE_VERIFY_FAILED: self signed",
         TlsError, "tls: {ca: ca.pem}"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, "
         "certificate is not valid for 'other'", TlsError, "a name that the certificate has"),
        ("SSL_ERROR_SSL: error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
         TlsError, "leave `tls` out"),
        ("[Errno 111] Connection refused", UnreachableError, "check that it runs"),
        ("DNS resolution failed for nowhere:1", UnreachableError, "host's name"),
        ("errors resolving nowhere:1: [field:hostname lookup error]", UnreachableError,
         "host's name"),
        ("[Errno -2] Name or service not known", UnreachableError, "host's name"),
        ("Socket closed", UnreachableError, "gRPC 8001"),
        ("[Errno 113] No route to host", UnreachableError, "check that it runs"),
    ],
)  # fmt: skip
def test_a_connection_that_fails_is_classed_by_what_happened(
    words: str, kind: type[ServerError], fix: str
) -> None:
    found = errors.unreachable(TARGET, OSError(words))
    assert type(found) is kind
    assert words in found.message and "127.0.0.1:1" in found.message
    assert fix in str(found.fix)


@pytest.mark.parametrize(
    "status", ["401", "403", "StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED"]
)
def test_who_is_not_let_in_is_told_of_headers(status: str) -> None:
    error = InferenceServerException("no token", status=status)
    for found in (errors.setup_failed(TARGET, error), errors.answered(TARGET, error)):
        assert type(found) is AccessError
        assert "no token" in found.message and "headers" in str(found.fix)
    other = InferenceServerException("no token", status="500")
    assert type(errors.setup_failed(TARGET, other)) is ServerError


def test_an_answer_that_is_no_json_is_quoted_alone() -> None:
    words = (
        "an exception occurred in the client while decoding the response: x\nresponse: <b>Hm</b>"
    )
    assert errors.said(InferenceServerException(words, status="500")) == "<b>Hm</b>"


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        ("client received an empty response from the server.", "404", UnreachableError),
        ("client received an empty response from the server.", "504", ServerError),
        ("an exception occurred in the client while decoding the response: x\nresponse: <b>",
         "404", UnreachableError),
        ("Request for unknown model: 'net' is not found", "404", ServerError),
        ("Request for unknown model: 'net' is not found", "StatusCode.NOT_FOUND", ServerError),
    ],
)  # fmt: skip
def test_an_error_that_triton_did_not_write_is_somebody_elses(
    words: str, status: str, kind: type[ServerError]
) -> None:
    found = errors.setup_failed(TARGET, InferenceServerException(words, status=status))
    assert type(found) is kind
    assert ("HTTP status" in found.message) == ("unknown model" not in words)


def entry(name: str, state: str = "READY", version: str = "1", reason: str = "") -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def test_a_model_that_is_not_ready_by_what_the_server_has() -> None:
    unknown = errors.not_ready(TARGET, [entry("nett"), entry("other")])
    assert type(unknown) is UnknownModelError
    assert "no model 'net'; did you mean 'nett'?" in unknown.message
    assert "nett, other" in str(unknown.fix)
    assert "no model at all" in str(errors.not_ready(TARGET, []).fix)
    many = errors.not_ready(TARGET, [entry(f"m{i}") for i in range(30)])
    assert str(many.fix).endswith(", …")
    failed = errors.not_ready(TARGET, [entry("net", "UNAVAILABLE", reason="no such backend")])
    assert type(failed) is ModelRefusedError
    assert "model 'net' ready: no such backend" in failed.message
    there = errors.not_ready(TARGET, [{"name": "net"}])
    assert "load: true" in str(there.fix)
    third = ServerTarget("127.0.0.1:1", "net", 1.5, version="3")
    version = errors.not_ready(third, [entry("net", version="1"), entry("net", version="2")])
    assert "version 3 of model 'net' ready; ready are 1, 2" in version.message
    silent = errors.not_ready(TARGET, None)
    assert type(silent) is ModelRefusedError and "repository/index" in str(silent.fix)


def test_tls_that_ends_at_once_may_want_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "speaks_tls", lambda _: True)
    without = errors.unreachable(TARGET, OSError("connection closed."))
    assert type(without) is TlsError and "asked without" in without.message
    within = ServerTarget("127.0.0.1:1", "net", 1.5, access=Access(Tls()))
    closed = errors.unreachable(within, OSError("connection closed."))
    assert type(closed) is TlsError and "cert: client.pem" in str(closed.fix)
