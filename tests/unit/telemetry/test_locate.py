"""Finding the server behind an address of this machine."""

import socket

import pytest

from harness.telemetry.locate import is_here, server_pid


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", socket.gethostname()])
def test_this_machine(host):
    assert is_here(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_another_machine(host):
    assert not is_here(host)


def test_a_listener_that_is_no_triton():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert server_pid(f"127.0.0.1:{listener.getsockname()[1]}") is None
