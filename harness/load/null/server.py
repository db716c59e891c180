"""A server that does nothing: every request is answered with a prepared response.

It finds the generator's own ceiling (`ceiling`), and as a queue with a known service time and a
known stall it shows whether an open loop reports what it must. One thread, one epoll, in a
process of its own; it prints its port::

    python -m harness.load.null.server http --response-bytes 64 --service 1ms --serial
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
SPIN_NS = 200_000
START_S = 60.0
_clock = time.monotonic_ns


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Nanoseconds. With `serial` one request is served at a time, first come first served.

    From `stall_at` after the first request on, nothing is served for `stall`.
    """

    service: int = 0
    serial: bool = False
    stall_at: int = 0
    stall: int = 0


class Queue:
    """When each answer leaves: a single server, or as many as there are requests."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.instant: bool = not behaviour.service and not behaviour.stall
        self._first = 0
        self._free = 0
        self._count = 0
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []

    def put(self, answer: Callable[[], None]) -> None:
        """A request has come; `answer` queues its response for sending."""
        if self.instant:
            answer()
            return
        self._count += 1
        heapq.heappush(self._waiting, (self.leaves(_clock()), self._count, answer))

    def leaves(self, now: int) -> int:
        """When a request that comes at `now` is answered. Call it in order of arrival."""
        behaviour = self._behaviour
        self._first = self._first or now
        stalls, resumes = self._stall()
        begins = max(now, self._free) if behaviour.serial else now
        if stalls <= begins < resumes:
            begins = resumes
        ends = begins + behaviour.service
        if begins < stalls < ends:
            ends += behaviour.stall
        self._free = ends
        return ends

    def _stall(self) -> tuple[int, int]:
        begin = self._first + self._behaviour.stall_at
        return begin, begin + self._behaviour.stall

    def release(self) -> float:
        """Answer what is due; seconds until the next is nearly due."""
        while self._waiting and self._waiting[0][0] <= _clock():
            heapq.heappop(self._waiting)[2]()
        if not self._waiting:
            return 1.0
        return max(0.0, (self._waiting[0][0] - SPIN_NS - _clock()) / 1e9)


class NullServer:
    """Accepts connections and answers what comes; `peer` makes the side of one that answers."""

    def __init__(self, peer: Callable[[Put], Peer], behaviour: Behaviour, port: int = 0) -> None:
        self._peer = peer
        self._queue = Queue(behaviour)
        self._poller = Poller()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._buffer = bytearray(BUFFER)
        self._peers: list[tuple[socket.socket, Peer]] = []
        self.port: int = self._listener.getsockname()[1]
        self._poller.add(self._listener.fileno(), self._accept)

    def _accept(self, _: int) -> None:
        sock, _address = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self._peer(self._queue.put)
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
            seconds = self._queue.release()
            if not self._queue.instant:
                for sock, peer in self._peers:
                    self._flush(sock, peer)
            self._poller.wait(seconds)


@contextlib.contextmanager
def running(
    protocol: str, response: int | Answer, behaviour: Behaviour | None = None
) -> Iterator[str]:
    """A null server in a process of its own; yields its `host:port`.

    `response` is the size of every answer's body in bytes, or what is to be answered.
    """
    answer = Answer(bytes(response)) if isinstance(response, int) else response
    behaviour = behaviour or Behaviour()
    with tempfile.NamedTemporaryFile() as file:
        with named(Path(file.name)):
            file.write(answer.body)
            file.flush()
        arguments = [
            protocol, "--body", file.name, "--service", f"{behaviour.service}ns",
            "--stall-at", f"{behaviour.stall_at}ns", "--stall", f"{behaviour.stall}ns",
            *(["--serial"] if behaviour.serial else []),
            *(["--json-bytes", str(answer.json_bytes)] if answer.json_bytes is not None else []),
        ]  # fmt: skip
        with Child("the null server", "harness.load.null.server", arguments) as child:
            port = child.line(START_S)
            if port is None:
                raise WorkerDiedError(f"the null server did not start within {START_S:g} s")
            yield f"127.0.0.1:{int(port)}"


def main() -> None:
    """Read the options, print the port, serve until killed."""
    parser = argparse.ArgumentParser(prog="nullserver", description="answers without working")
    parser.add_argument("protocol", choices=["http", "grpc"])
    parser.add_argument("--port", type=int, default=0, help="default: a free one, printed")
    parser.add_argument("--response-bytes", type=int, default=64, help="size of an answer's body")
    parser.add_argument("--body", type=Path, help="file with an answer's body")
    parser.add_argument("--json-bytes", type=int, help="how many of its bytes are JSON")
    parser.add_argument("--serial", action="store_true", help="one request at a time")
    for name in ("service", "stall-at", "stall"):
        parser.add_argument(f"--{name}", type=_duration, default=0, help="such as 10ms or 2s")
    options = parser.parse_args()
    behaviour = Behaviour(options.service, options.serial, options.stall_at, options.stall)
    body = options.body.read_bytes() if options.body else bytes(options.response_bytes)
    peer = partial(PEERS[options.protocol], answer=Answer(body, options.json_bytes))
    server = NullServer(peer, behaviour, options.port)
    print(server.port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


def _duration(text: str) -> int:
    """Nanoseconds of `10ms`, `2s` or `5us`."""
    for unit, factor in (("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)):
        if text.endswith(unit):
            return round(float(text.removesuffix(unit)) * factor)
    raise argparse.ArgumentTypeError(f"{text!r} is no time with a unit such as 10ms or 2s")


if __name__ == "__main__":
    main()
