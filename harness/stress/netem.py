"""The kernel's own slow network (netem), in a network namespace that the harness makes for it.

`python -m harness.stress.netem FD NAMESPACE`, started by `unshare -rn`, is a process with a network
of its own: a loopback that nobody else sees. On the socket FD it answers `pair` with the two ends
of a TCP connection over that loopback, and a line of `tc`'s with what `tc` said. The proxy puts
such a connection between a client and the server, so the kernel delays and loses real packets, and
no device of the host's is touched: it refuses to work in NAMESPACE, the one it was started from.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.errors import SetupError

ANSWER_S = 20.0
LIMIT = 100_000
"""Packets that netem may hold; what is beyond is lost."""


def namespace() -> str:
    """The network namespace of this process."""
    return str(Path("/proc/self/ns/net").readlink())


class Lane:
    """The parent's end, for several threads; a context manager.

    Raises SetupError where no namespace may be made, or a tool is missing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(ANSWER_S)
        command = ["unshare", "-rn", sys.executable, "-m", "harness.stress.netem",
                   str(theirs.fileno()), namespace()]  # fmt: skip
        try:
            self._child = subprocess.Popen(command, pass_fds=[theirs.fileno()],
                                           stdin=subprocess.DEVNULL)  # fmt: skip
        except OSError as error:
            self._socket.close()
            raise SetupError(f"unshare: {error.strerror}") from None
        finally:
            theirs.close()
        try:
            self._said()  # its loopback is up
        except SetupError:
            self.close()
            raise

    def _said(self) -> None:
        try:
            answer = self._socket.recv(4096).decode()
        except OSError as error:
            answer = str(error)
        if answer != "done":
            raise SetupError(answer or "no network namespace may be made here")

    def set(self, delay_s: float, loss: float) -> None:
        """Every packet waits for `delay_s`, each way, and a share `loss` of them is lost.

        Raises SetupError where the kernel has no netem.
        """
        with self._lock:
            self._socket.send(f"delay {delay_s * 1e3:g}ms loss {loss:%} limit {LIMIT}".encode())
            self._said()

    def pair(self) -> list[socket.socket]:
        """The two ends of a new connection. Raises OSError."""
        with self._lock:
            self._socket.send(b"pair")
            _, numbers, _, _ = socket.recv_fds(self._socket, 16, 2)
        if not numbers:
            raise ConnectionError("the network namespace is gone")
        return [socket.socket(fileno=number) for number in numbers]

    def close(self) -> None:
        """End the process, and with it the namespace."""
        self._socket.close()
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, text=True, capture_output=True, check=False, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{command[0]}: {error}"
    return "done" if done.returncode == 0 else f"{command[0]}: {done.stderr.strip()}"


def serve(number: int, outside: str) -> None:
    """Answer until the other end is closed."""
    channel = socket.socket(fileno=number)
    if namespace() == outside:
        channel.send(b"this is no namespace of its own")
        return
    channel.send(_run("ip", "link", "set", "lo", "up").encode())
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        while asked := channel.recv(4096).decode():
            if asked != "pair":
                qdisc = ("tc", "qdisc", "replace", "dev", "lo", "root", "netem", *asked.split())
                channel.send(_run(*qdisc).encode())
                continue
            with socket.create_connection(listener.getsockname()) as a, listener.accept()[0] as b:
                for end in (a, b):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                socket.send_fds(channel, [b"pair"], [a.fileno(), b.fileno()])


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve(int(sys.argv[1]), sys.argv[2])
    os._exit(0)
