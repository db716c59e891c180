"""What no client can beat: large HTTP requests by the wire client, perf_analyzer and a bare socket.

    .venv/bin/python benchmarks/large_floor.py --rounds 5 --output docs/benchmarks

One caller, requests and answers of 9.6 MB, the identity model of perf_analyzer.py on the same
embedded Triton. The bare client is a blocking socket: it sends a request that was made before and
reads the answer into one buffer, and does nothing else, so what it takes is the server's way and
the kernel's copies. In each round all three are measured, one after the other, in turning order;
ratios are within a round, with 95 % t-intervals on their logs. The latency is that of a request;
answers a second also hold what a client does between two requests.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import socket
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import perf_analyzer as pa

from harness.triton.server.install import find

SIDES = ("wire client", "perf_analyzer", "bare socket")


class Measured(NamedTuple):
    """A client in one round: median µs from first byte sent to last byte read, answers a second."""

    latency: float
    rate: float


def bare(where: str, floats: int, seconds: float) -> Measured:
    """The bare socket; its first fifth of requests is left out."""
    request = memoryview(pa.random_request(where, floats))
    host, _, port = where.partition(":")
    buffer, times = memoryview(bytearray(len(request) + 4096)), []
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic_ns()
            connection.sendall(request)
            got, whole = connection.recv_into(buffer), 0
            while not whole or got < whole:
                if not whole and (at := bytes(buffer[:2048]).find(b"\r\n\r\n")) >= 0:
                    length = re.search(rb"\r\ncontent-length: (\d+)", bytes(buffer[:at]).lower())
                    assert length is not None
                    whole = at + 4 + int(length[1])
                    continue
                read = connection.recv_into(buffer[got:])
                assert read, "the server closed the connection"
                got += read
            times.append(time.monotonic_ns() - begin)
    kept = np.array(times[len(times) // 5 :])
    return Measured(float(np.median(kept)) / 1e3, 1e9 / float(kept.mean()))


def seen(measured: pa.Measured) -> Measured:
    """Of what perf_analyzer.py measured, the two that count here."""
    return Measured(measured.p50, measured.throughput)


def of(found: dict[str, list[Measured]], side: str, field: str, other: str) -> str:
    """A side's values as a ratio to another's within each round: the mean and its interval."""
    if side == other:
        return "1"
    pairs = zip(found[side], found[other], strict=True)
    ratio = pa.interval([getattr(a, field) / getattr(b, field) for a, b in pairs])
    return f"{ratio['ratio']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"


def page(found: dict[str, list[Measured]], size: int, rounds: int) -> str:
    """The table, and what no client can pass."""
    lines = [
        "# Large HTTP requests: what no client can beat", "",
        f"{size:,} bytes each way, one caller, {rounds} rounds, "
        f"{len(os.sched_getaffinity(0))} cores ({pa.cpu_name()}). The bare socket sends what was "
        "made before and reads into one buffer. Ratios within a round, with 95 % intervals.", "",
        "| client | median latency, ms | times the bare socket's | answers a second "
        "| times perf_analyzer's |",
        "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for side, values in found.items():
        latency, rate = (float(np.median(column)) for column in zip(*values, strict=True))
        lines.append(
            f"| {side} | {latency / 1e3:.1f} | {of(found, side, 'latency', 'bare socket')} "
            f"| {rate:.1f} | {of(found, side, 'rate', 'perf_analyzer')} |"
        )
    most = of(found, "bare socket", "rate", "perf_analyzer")
    text = f"At one caller a client that costs nothing gets {most} times perf_analyzer's answers."
    return "\n".join([*lines, "", text, "", f"Reproduce: `{pa.command_line()}`", ""])


def main() -> None:
    """Measure, and write large-floor.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--bytes", type=int, default=9_600_000)
    pa.page_options(parser, "large-floor")
    asked = parser.parse_args()
    pa.SHAPE.floats, pa.SHAPE.processes, pa.SHAPE.instances = asked.bytes // 4, 1, 1
    pa.perf_analyzer(find(), asked.binary)
    found: dict[str, list[Measured]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
        meter = pa.Meter(server)
        measures = {
            "wire client": lambda: seen(pa.ours(meter, "http", 1, asked.seconds)),
            "perf_analyzer": lambda: seen(pa.theirs(meter, "http", 1, asked.seconds)),
            "bare socket": lambda: bare(server.http, pa.SHAPE.floats, 2 * asked.seconds),
        }
        orders = itertools.cycle(itertools.permutations(SIDES))
        for _, order in zip(range(asked.rounds), orders, strict=False):
            for side in order:
                found[side].append(measures[side]())
            print(*(f"{side} {v[-1].latency:.0f} µs" for side, v in found.items()), flush=True)
    raw = {side: [value._asdict() for value in values] for side, values in found.items()}
    pa.write_page(asked, page(found, asked.bytes, asked.rounds), raw)


if __name__ == "__main__":
    main()
