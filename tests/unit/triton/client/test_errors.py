"""Failures in words; messages that grpcio and tritonserver gave, to codes that both use."""

from __future__ import annotations

import socket

import pytest

from harness.errors import BackendError, HarnessError, OutOfMemoryError, ServerDiedError
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
    found = errors.answered(message)
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
    context = errors.Translated(target, table)
    with pytest.raises(HarnessError, match=r"no answer from Triton within 1\.5 s") as late, context:
        raise TimeoutError("slow")
    with pytest.raises(HarnessError, match="can't be reached: refused"), context:
        raise ConnectionRefusedError("refused")
    assert late.value.__suppress_context__
    with pytest.raises(ValueError, match="ours"), context:
        raise ValueError("ours")
    with context:
        pass
