"""The sockets of a load, against a listener."""

import select
import socket

import pytest

from harness.errors import ServerDiedError, ServerError
from harness.load.wire.sockets import connect, connect_at_once


@pytest.mark.parametrize("address", ["host", ":80", "host:http"])
def test_what_is_no_address(address):
    with pytest.raises(ServerError, match="not an address"):
        connect(address)


def test_a_connection_does_not_wait_to_fill_a_packet():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with connect(address) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            with pytest.raises(BlockingIOError):  # after a tick, not for ever
                sock.recv(1)
    with pytest.raises(ServerDiedError, match=address):
        connect(address)


def test_all_are_connected_before_the_server_takes_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = connect_at_once(socket.AF_INET, listener.getsockname(), 3)
        for sock in made:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert select.select([], [sock], [], 5)[1]
            with pytest.raises(BlockingIOError):
                sock.recv(1)
        for sock in made:
            with sock, listener.accept()[0] as peer:
                sock.send(b"x", socket.MSG_DONTWAIT)
                assert peer.recv(9) == b"x"


def test_a_refusal_comes_with_the_first_read():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = listener.getsockname()
    (sock,) = connect_at_once(socket.AF_INET, peer, 1)
    with sock, pytest.raises(ConnectionRefusedError):
        sock.recv(1)
