"""Over how many of Triton's HTTP threads the connections of a load are spread, by how they open.

    .venv/bin/python benchmarks/http_threads.py --loads 5 --output docs/benchmarks

Four callers with requests and answers of 9.6 MB, on the identity model of perf_analyzer.py with
eight instances. Triton's HTTP threads (eight by default) read and write for all connections, so
what counts is how many of them have one. Each way of connecting makes a load of its own, in turn:

* at once: as the harness does, 25 ms before the load begins;
* at once, four processes: one connection each, at the same moment;
* one after the other: 20 ms apart, on a server that has nothing to do;
* perf_analyzer: each of its threads connects with its first request.

Of each load: the share of the server's busiest thread in the CPU time of its threads, and answers
a second, over a window that begins when the load has run for half a second.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import perf_analyzer as pa

from harness.load.wire import http as wire
from harness.load.wire.generator import run
from harness.load.wire.plan import Plan
from harness.load.wire.sockets import connect
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

CALLERS = 4
FLOATS = 2_400_000
SETTLE_S = 0.5
APART_S = 0.02


class Load(NamedTuple):
    """What one load showed."""

    busiest: float
    """Share of the server's busiest thread in the CPU time of its threads, 0 to 1."""
    rate: float
    """Answers a second."""


def one_after_the_other(transport: wire.WireHttp) -> None:
    """Instead of `WireHttp.connect`."""
    for slot in range(CALLERS):
        stream = connect(transport.address)
        transport._connections.append(wire._Connection(transport, slot, stream))
        time.sleep(APART_S)


def ours(server: TritonServer, request: bytes, processes: int, seconds: float) -> Load:
    """A load of the wire client."""
    generator = run(Plan("http", server.http, (request,), CALLERS, 30.0), processes)
    generator.start()
    time.sleep(SETTLE_S)
    threads, done = pa.threads_ns(server.pid), generator.completed()
    time.sleep(seconds)
    share = pa.busiest(threads, pa.threads_ns(server.pid))
    rate = (generator.completed() - done) / seconds
    generator.stop(30.0)
    return Load(share, rate)


def apart(server: TritonServer, request: bytes, seconds: float) -> Load:
    """A load of the wire client, connected slot by slot."""
    at_once = wire.WireHttp.connect
    wire.WireHttp.connect = one_after_the_other  # type: ignore[method-assign, assignment]
    try:
        return ours(server, request, 1, seconds)
    finally:
        wire.WireHttp.connect = at_once  # type: ignore[method-assign]


def theirs(meter: pa.Meter, seconds: float) -> Load:
    """A load of perf_analyzer."""
    found = pa.theirs(meter, "http", CALLERS, seconds)
    return Load(found.busiest, found.throughput)


def measure(server: TritonServer, loads: int, seconds: float) -> dict[str, list[Load]]:
    """All ways in turn, so many times."""
    request, meter = pa.random_request(server.http, FLOATS), pa.Meter(server)
    ways: dict[str, Callable[[], Load]] = {
        "at once": lambda: ours(server, request, 1, seconds),
        "at once, four processes": lambda: ours(server, request, 4, seconds),
        "one after the other": lambda: apart(server, request, seconds),
        "perf_analyzer": lambda: theirs(meter, seconds),
    }
    ways["at once"]()  # the server's first requests are slow
    found: dict[str, list[Load]] = {way: [] for way in ways}
    for number in range(loads):
        for way, load in ways.items():
            found[way].append(load())
            print(number + 1, way, *(f"{value:.3g}" for value in found[way][-1]), flush=True)
    return found


def page(found: dict[str, list[Load]], loads: int) -> str:
    """The table."""
    lines = [
        "# HTTP connections and Triton's threads", "",
        f"{CALLERS} callers with {FLOATS * 4:,} bytes each way, {pa.SHAPE.instances} instances of "
        f"the model, {loads} loads each, {len(os.sched_getaffinity(0))} cores ({pa.cpu_name()}). "
        "The busiest of the server's threads, of the CPU time of its threads: near 100 % where one "
        "has all connections. Medians, and the least and the most.", "",
        "| connections | busiest thread | answers a second |", "|---|---:|---:|",
    ]  # fmt: skip
    for way, values in found.items():
        shares, rates = (sorted(column) for column in zip(*values, strict=True))
        lines.append(
            f"| {way} | {np.median(shares):.0%} ({shares[0]:.0%}–{shares[-1]:.0%}) "
            f"| {np.median(rates):.0f} ({rates[0]:.0f}–{rates[-1]:.0f}) |"
        )
    return "\n".join([*lines, "", f"Reproduce: `{pa.command_line()}`", ""])


def main() -> None:
    """Measure, and write http-threads.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--loads", type=int, default=5, help="of each way")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a window, 0.5 at least")
    pa.page_options(parser, "http-threads")
    asked = parser.parse_args()
    pa.SHAPE.floats, pa.SHAPE.instances = FLOATS, 8
    pa.perf_analyzer(find(), asked.binary)
    with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
        found = measure(server, asked.loads, asked.seconds)
    raw = {side: [value._asdict() for value in values] for side, values in found.items()}
    pa.write_page(asked, page(found, asked.loads), raw)


if __name__ == "__main__":
    main()
