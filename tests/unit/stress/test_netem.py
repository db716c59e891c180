"""A network namespace of the harness's own, for real; netem itself where this kernel has it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from harness.errors import SetupError
from harness.stress.netem import Lane, namespace


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    try:
        found = Lane()
    except SetupError as error:
        pytest.skip(f"no network namespace may be made here: {error.message}")
    with found:
        yield found


def connected_here() -> set[tuple[tuple[str, int], ...]]:
    """The ends of every connection of this network namespace, as each of both sees them."""
    found = psutil.net_connections("tcp4")
    return {(tuple(c.laddr), tuple(c.raddr)) for c in found if c.laddr and c.raddr}


def test_a_connection_crosses_it_and_ends_with_it(lane: Lane) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far,
    ):  # fmt: skip
        assert (near.getsockname(), far.getsockname()) in connected_here()
    a, b = lane.pair()
    with a, b:
        a.sendall(b"there")
        assert b.recv(16) == b"there"
        b.sendall(b"back")
        assert a.recv(16) == b"back"
        assert (a.getsockname(), b.getsockname()) not in connected_here()
        a.close()
        assert b.recv(16) == b""


def test_netem_delays_each_way_or_the_kernel_has_none_and_that_is_said(lane: Lane) -> None:
    try:
        lane.set(0.15, 0.0)
    except SetupError as error:
        assert error.message.startswith("tc: ")
        assert "qdisc" in error.message or "No such file" in error.message
        return
    a, b = lane.pair()
    with a, b:
        began = time.monotonic()
        a.sendall(b"x")
        b.sendall(b.recv(1))
        assert a.recv(1) == b"x"
        assert time.monotonic() - began >= 0.3
    lane.set(0.0, 0.0)


def test_it_refuses_to_touch_the_network_that_it_was_started_from() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "harness.stress.netem", str(theirs.fileno()), namespace()]
    with ours, theirs:
        done = subprocess.run(command, pass_fds=[theirs.fileno()], timeout=60, check=False)
        assert done.returncode == 0
        assert ours.recv(99) == b"this is no namespace of its own"
