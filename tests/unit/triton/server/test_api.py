import socket

import pytest

from harness.errors import ServerError
from harness.system.network import split_address
from harness.triton.server.api import call, error_text, is_ready


@pytest.mark.parametrize(
    ("address", "parts"),
    [("localhost:8000", ("localhost", 8000)), ("[::1]:80", ("::1", 80))],
)
def test_split_address(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["localhost", ":8000", "http://x", "h:x"])
def test_not_an_address(address):
    with pytest.raises(ServerError, match="not an address"):
        split_address(address)


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"error": "no"}', "no"), (b"plain", "plain"), (b"[1]", "[1]"), (b"\xff", "\ufffd")],
)
def test_error_text(body, text):
    assert error_text(body) == text


@pytest.fixture
def silent():
    """The address of a server that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_no_answer_is_a_timeout(silent):
    with pytest.raises(TimeoutError, match="GET /v2"):
        call(silent, "GET", "/v2", timeout=0.05)
    assert not is_ready(silent, timeout=0.05)


def test_waiting_may_give_up(silent):
    def give_up():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        call(silent, "GET", "/v2", timeout=60, waiting=give_up)


def test_nobody_there_is_not_ready():
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        assert not is_ready(f"127.0.0.1:{unbound.getsockname()[1]}")
