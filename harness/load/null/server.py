"""A server that does nothing: every request is answered with a prepared response, at once.

It finds the generator's own ceiling (`ceiling`). One thread, one epoll, in a process of its own,
which prints its port.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from harness.errors import WorkerDiedError
from harness.load.null.peers import Answer, GrpcPeer, HttpPeer, Put
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.poller import BUFFER, Poller
from harness.system.child import Child
from harness.system.files import named

Peer = HttpPeer | GrpcPeer
PEERS: dict[str, type[Peer]] = {"http": HttpPeer, "grpc": GrpcPeer}
START_S = 60.0


class NullServer:
    """Accepts connections and answers what comes; `peer` makes the side of one that answers."""

    def __init__(self, peer: Callable[[Put], Peer]) -> None:
        self._peer = peer
        self._poller = Poller()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._buffer = bytearray(BUFFER)
        self._peers: list[tuple[socket.socket, Peer]] = []
        self.port: int = self._listener.getsockname()[1]
        self._poller.add(self._listener.fileno(), self._accept)

    def _put(self, answer: Callable[[], None]) -> None:
        """A request has come; `answer` queues its response for sending."""
        answer()

    def _accept(self, _: int) -> None:
        sock, _address = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self._peer(self._put)
        self._poller.add(sock.fileno(), lambda _: self._ready(sock, peer))
        self._peers.append((sock, peer))

    def _ready(self, sock: socket.socket, peer: Peer) -> None:
        with contextlib.suppress(OSError, ProtocolError):
            count = sock.recv_into(self._buffer)
            if count:
                peer.feed(memoryview(self._buffer)[:count])
                self._flush(sock, peer)
                return
        self._poller.remove(sock.fileno())
        self._peers.remove((sock, peer))
        sock.close()

    @staticmethod
    def _flush(sock: socket.socket, peer: Peer) -> None:
        if peer.out:
            data = b"".join(peer.out)
            peer.out.clear()
            with contextlib.suppress(OSError):  # a client that left is fine
                sock.sendall(data)

    def serve(self) -> None:
        """Serve until the process is ended."""
        while True:
            self._poller.wait(1.0)


@contextlib.contextmanager
def running(protocol: str, response: int | Answer) -> Iterator[str]:
    """A null server in a process of its own; yields its `host:port`.

    `response` is the size of every answer's body in bytes, or what is to be answered.
    """
    answer = Answer(bytes(response)) if isinstance(response, int) else response
    with tempfile.NamedTemporaryFile() as file:
        with named(Path(file.name)):
            file.write(answer.body)
            file.flush()
        arguments = [protocol, file.name]
        arguments += [] if answer.json_bytes is None else [str(answer.json_bytes)]
        with Child("the null server", "harness.load.null.server", arguments) as child:
            port = child.line(START_S)
            if port is None:
                raise WorkerDiedError(f"the null server did not start within {START_S:g} s")
            yield f"127.0.0.1:{int(port)}"


def main(protocol: str, body: str, json_bytes: str | None = None) -> None:
    """Print the port, answer with the file `body` until killed; `json_bytes` as in `Answer`."""
    answer = Answer(Path(body).read_bytes(), None if json_bytes is None else int(json_bytes))
    server = NullServer(partial(PEERS[protocol], answer=answer))
    print(server.port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
