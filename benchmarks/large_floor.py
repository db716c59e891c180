"""What no client can beat: large HTTP requests by the wire client, perf_analyzer and a bare socket.

    .venv/bin/python benchmarks/large_floor.py --rounds 5 --output docs/benchmarks

One caller, requests and answers of 9.6 MB, the identity model of perf_analyzer.py on the same
embedded Triton. The bare client is a blocking socket: it sends a request that was made before and
reads the answer into one buffer, and does nothing else, so what it takes is the server's way and
the kernel's copies. In each round all three are measured, one after the other, in turning order;
ratios are within a round, with 95 % t-intervals on their logs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import perf_analyzer as pa

from harness.load.wire.requests import http_request
from harness.triton.server.install import find

SIDES = ("wire client", "perf_analyzer", "bare socket")


def bare(where: str, floats: int, seconds: float) -> float:
    """Median µs from the first byte sent to the last byte read."""
    from tritonclient.http import InferInput

    tensor = InferInput("INPUT0", [1, floats], "FP32")
    tensor.set_data_from_numpy(np.random.default_rng(0).random((1, floats), np.float32))
    request = memoryview(http_request(where, pa.MODEL, [tensor]))
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
    return float(np.median(times[len(times) // 5 :])) / 1e3


def against(values: Sequence[float], found: Mapping[str, Sequence[float]]) -> str:
    """Ratio to the bare socket and its interval, as two columns."""
    if values is found["bare socket"]:
        return "1 | –"
    of = pa.interval([a / b for a, b in zip(values, found["bare socket"], strict=True)])
    return f"{of['ratio']:.2f} | {of['low']:.2f}–{of['high']:.2f}"


def main() -> None:
    """Measure, and write large-floor.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--bytes", type=int, default=9_600_000)
    parser.add_argument("--binary", type=Path, help="perf_analyzer, where it can't be downloaded")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    asked = parser.parse_args()
    pa.SHAPE.floats, pa.SHAPE.processes, pa.SHAPE.instances = asked.bytes // 4, 1, 1
    pa.perf_analyzer(find(), asked.binary)
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
        meter = pa.Meter(server)
        measures = {
            "wire client": lambda: pa.ours(meter, "http", 1, asked.seconds).p50,
            "perf_analyzer": lambda: pa.theirs(meter, "http", 1, asked.seconds).p50,
            "bare socket": lambda: bare(server.http, pa.SHAPE.floats, 2 * asked.seconds),
        }
        orders = itertools.cycle(itertools.permutations(SIDES))
        for _, order in zip(range(asked.rounds), orders, strict=False):
            for side in order:
                found[side].append(measures[side]())
            print(*(f"{side} {values[-1]:.0f} µs" for side, values in found.items()), flush=True)
    lines = [
        "# Large HTTP requests: what no client can beat", "",
        f"{asked.bytes:,} bytes each way, one caller, {asked.rounds} rounds, "
        f"{len(os.sched_getaffinity(0))} cores ({pa.cpu_name()}). The bare socket sends what was "
        "made before and reads into one buffer.", "",
        "| client | median latency, ms | times the bare socket's | 95 % interval |",
        "|---|---:|---:|---:|",
    ]  # fmt: skip
    for side, values in found.items():
        lines.append(f"| {side} | {np.median(values) / 1e3:.1f} | {against(values, found)} |")
    most = np.median(found["perf_analyzer"]) / np.median(found["bare socket"])
    lines += [
        "", f"At one caller no client gets more than {most:.2f} times as many answers as "
        "perf_analyzer.", "", f"Reproduce: `{pa.command_line()}`", "",
    ]  # fmt: skip
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "large-floor.md").write_text("\n".join(lines))
    (asked.output / "large-floor.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
