"""The proxy in a real process, before an echo server."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.stress.proxy import NETEM, PROXY, STALL_S, Proxy
from harness.system.network import split_address


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        while data := connection.recv(1 << 16):
            connection.sendall(data)
        connection.close()


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def proxy(echo: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(echo, tmp_path_factory.mktemp("proxy") / "log") as found:
        yield found


def ask(address: str, data: bytes) -> float:
    """Seconds of a round trip that brings back what was sent."""
    with socket.create_connection(split_address(address), 20) as connection:
        began, back = time.monotonic(), b""
        connection.sendall(data)
        while len(back) < len(data):
            back += connection.recv(1 << 16)
    assert back == data
    return time.monotonic() - began


def test_what_goes_through_is_as_it_was(proxy: Proxy) -> None:
    ask(proxy.address, bytes(range(256)) * 2000)


def test_a_delay_holds_each_way_and_goes_again(proxy: Proxy) -> None:
    proxy.set(0.15, 0.0)
    assert ask(proxy.address, b"x") >= 0.3
    proxy.set(0.0, 0.0)
    assert min(ask(proxy.address, b"x") for _ in range(5)) < 0.3


def test_a_stall_is_that_of_a_lost_packet(proxy: Proxy) -> None:
    proxy.set(0.0, 1.0)
    assert ask(proxy.address, b"x") >= 2 * STALL_S
    proxy.set(0.0, 0.0)


THROUGH = """
import asyncio, sys
from harness.stress.netem import Lane
from harness.stress.proxy import serve
with Lane() as lane:
    asyncio.run(serve(sys.argv[1], "127.0.0.1", lane, ""))
"""


def test_it_says_which_way_it_slows_and_passes_on_through_a_network_of_its_own(
    proxy: Proxy, echo: str
) -> None:
    assert proxy.how == NETEM or proxy.how.startswith(f"{PROXY}: ")
    if "tc: " not in proxy.how:
        pytest.skip("a namespace can't be had, or all of the above went through one")
    command = [sys.executable, "-c", THROUGH, echo]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as through:
        assert through.stdin and through.stdout
        port = json.loads(through.stdout.readline())["port"]
        ask(f"127.0.0.1:{port}", bytes(range(256)) * 2000)
        through.stdin.close()


def test_nobody_behind_it_is_a_broken_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
    with (
        Proxy(target, tmp_path / "log") as found,
        socket.create_connection(split_address(found.address), 20) as connection,
        contextlib.suppress(ConnectionResetError),
    ):
        assert connection.recv(1) == b""
