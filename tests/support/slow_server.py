"""The null server as a queue with a known service time and a known stall: whether an open loop
reports what it must is seen by it.

    PYTHONPATH=. python tests/support/slow_server.py http --service 1ms --serial
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from harness.load.null.peers import Answer, Put
from harness.load.null.server import PEERS, NullServer, Peer
from harness.scenario.units import parse_duration

SPIN_NS = 200_000
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


class SlowServer(NullServer):
    """A null server that answers when its queue says so."""

    def __init__(self, peer: Callable[[Put], Peer], behaviour: Behaviour) -> None:
        super().__init__(peer)
        self._queue = Queue(behaviour)

    def _put(self, answer: Callable[[], None]) -> None:
        self._queue.put(answer)

    def serve(self) -> None:
        """Serve until the process is ended."""
        while True:
            seconds = self._queue.release()
            if not self._queue.instant:
                for sock, peer in self._peers:
                    self._flush(sock, peer)
            self._poller.wait(seconds)


@contextlib.contextmanager
def serving(make: Callable[[], NullServer]) -> Iterator[str]:
    """The server that `make` makes, in a process of its own; yields its `host:port`."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(make, theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield f"127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def _serve(make: Callable[[], NullServer], told: Connection) -> None:
    server = make()
    told.send(server.port)
    server.serve()


def slow(protocol: str, size: int, behaviour: Behaviour) -> SlowServer:
    """One whose answers have bodies of `size` zeros."""
    return SlowServer(partial(PEERS[protocol], answer=Answer(bytes(size))), behaviour)


def main() -> None:
    """Read the options, print the port, serve until killed."""
    parser = argparse.ArgumentParser(description="answers without working")
    parser.add_argument("protocol", choices=["http", "grpc"])
    parser.add_argument("--response-bytes", type=int, default=64, help="size of an answer's body")
    parser.add_argument("--serial", action="store_true", help="one request at a time")
    for name in ("service", "stall-at", "stall"):
        parser.add_argument(f"--{name}", type=_ns, default=0, help="such as 10ms or 2s")
    options = parser.parse_args()
    behaviour = Behaviour(options.service, options.serial, options.stall_at, options.stall)
    server = slow(options.protocol, options.response_bytes, behaviour)
    print(server.port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


def _ns(text: str) -> int:
    return round(1e9 * parse_duration(text))


if __name__ == "__main__":
    main()
