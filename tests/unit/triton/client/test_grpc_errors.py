"""Messages that grpcio and tritonserver gave, to codes that both use."""

from __future__ import annotations

import pytest

from harness.triton.client.grpc_errors import of_transport


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
