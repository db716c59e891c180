"""A proxy that is a delay line: `python delay_line.py HOST:PORT MS`, for gap_parts.py.

In a process of its own, and of the standard library alone, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import select
import socket
import statistics
import sys
import time
from collections.abc import Mapping

Pairs = dict[socket.socket, tuple[socket.socket, int]]
"""Where what comes on a socket goes, and by how many ns later."""


def proxy(target: str, delay_ns: int) -> None:
    """Pass connections on, each piece of a request `delay_ns` after it came; prints its port first.

    A delay line: pieces that come close to each other don't wait for one another. A line on stdin
    asks for how many ms requests were held since the last one.
    """
    pairs: Pairs = {}
    held: dict[int, list[int]] = {}
    due: list[tuple[int, int, socket.socket, bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            left = due[0][0] - time.perf_counter_ns() if due else 10**9
            wait = max(0.0, (left - 200_000) / 1e9)
            ready, _, _ = select.select([listener, sys.stdin, *pairs], (), (), wait)
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                print(json.dumps(_held(held, delay_ns)), flush=True)
                held.clear()
            for sock in ready:
                if sock is listener:
                    _accept(listener, target, pairs, delay_ns)
                elif isinstance(sock, socket.socket) and sock in pairs:
                    _take(pairs, sock, due)
            while due and due[0][0] <= time.perf_counter_ns():
                _, came, to, data = heapq.heappop(due)
                held.setdefault(len(data), []).append(time.perf_counter_ns() - came)
                with contextlib.suppress(OSError):
                    to.sendall(data)


def _held(held: Mapping[int, list[int]], delay_ns: int) -> float:
    """For how many ms a request was held in the mean: a piece of the commonest length."""
    delayed = [each for each in held.values() if statistics.median(each) >= delay_ns]
    commonest: list[int] = max(delayed, key=len, default=[0])
    return statistics.fmean(commonest) / 1e6


def _accept(listener: socket.socket, target: str, pairs: Pairs, delay_ns: int) -> None:
    host, _, port = target.rpartition(":")
    client, server = listener.accept()[0], socket.create_connection((host, int(port)))
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pairs |= {client: (server, delay_ns), server: (client, 0)}


def _take(
    pairs: Pairs, sock: socket.socket, due: list[tuple[int, int, socket.socket, bytes]]
) -> None:
    to, delay = pairs[sock]
    data = b""
    with contextlib.suppress(OSError):
        data = sock.recv(1 << 20)
    now = time.perf_counter_ns()
    if data:
        heapq.heappush(due, (now + delay, now, to, data))
        return
    for each in (sock, to):
        pairs.pop(each, None)
        each.close()


if __name__ == "__main__":
    proxy(sys.argv[1], int(float(sys.argv[2]) * 1e6))
