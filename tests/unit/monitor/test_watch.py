"""Real traffic on a real Triton, recorded, replayed by a real run, and recorded again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import watched_triton
from support.watched_triton import send, served

from harness.errors import HarnessError
from harness.monitor.rates import Interval
from harness.monitor.reading import Reader
from harness.monitor.record import Recorder
from harness.monitor.watch import Watch
from harness.results.samples import read_samples
from harness.results.store import read_run
from harness.triton.client.url import parse_url
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
RATES = (60, 180, 20, 120)
"""Requests a second, each for half a second."""
DUE = [i / 2 + k / rate for i, rate in enumerate(RATES) for k in range(rate // 2)]
NEAR_NS = 60_000_000
"""What ended this near to a reading may be counted on its other side: the server's end of a
request is not the client's, and a reading takes a while."""
SCENARIO = """
scenario: replay
model:
  {{name: echo, source: {{triton: echo}}, inputs: [{{name: x, shape: [batch, 2], range: [0, 1]}}]}}
backends: [{{kind: triton, protocol: grpc, name: there, server: {{url: "{url}"}}}}]
load: {{trace: trace.txt}}
measurement: {{profile: quick, rounds: 1, rounds_max: 1}}
"""


class Kept:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []

    def interval(self, interval: Interval, note: str = "") -> None:
        self.intervals.append(interval)

    def away(self, error: HarnessError, since: float) -> None:
        raise error


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("watch") / "repository"
    with served(watched_triton.write(repository, ["echo"])) as found:
        yield found


@pytest.fixture(scope="module")
def recorded(
    server: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[int], list[Interval]]:
    """The trace of traffic at `RATES`, when each of its requests ended, and the intervals."""
    path = tmp_path_factory.mktemp("trace") / "trace.txt"
    ended: list[int] = []
    sender = threading.Thread(target=lambda: ended.extend(send(server.grpc, DUE)))
    display = Kept()
    with Reader(parse_url(f"grpc://{server.grpc}")) as reader, \
            Recorder(path, "echo", "there") as recorder:  # fmt: skip
        first = reader.read()
        sender.start()
        while sender.is_alive():
            watch = Watch(reader, display, 0.25, recorder, duration=0.25)
            watch.run(first)
            first = display.intervals[-1].end
        sender.join()
        Watch(reader, display, 0.05, recorder).run(first, once=True)
    return path, ended, display.intervals


def test_what_is_recorded_is_what_was_sent(
    recorded: tuple[Path, list[int], list[Interval]],
) -> None:
    path, ended, intervals = recorded
    rates = [interval.models["echo"] for interval in intervals]
    counts = [r.ended if r is not None else -1 for r in rates]
    assert sum(counts) == len(DUE)
    times = np.array(ended)
    for interval, count in zip(intervals, counts, strict=True):
        begin, end = interval.begin.t_ns, interval.end.t_ns
        near = sum(np.abs(times - edge) < NEAR_NS for edge in (begin, end)).sum()
        assert abs(((begin < times) & (times <= end)).sum() - count) <= near
    written = [float(x) for x in path.read_text().splitlines() if x[0] != "#"]
    edges = [(i.t_ns - intervals[0].begin.t_ns) / 1e9 for i in
             (intervals[0].begin, *(interval.end for interval in intervals))]  # fmt: skip
    assert list(np.histogram(written, edges)[0]) == counts
    assert max(counts) > 3 * min(c for c in counts if c)


def test_a_replay_offers_in_each_interval_what_was_counted(
    server: TritonServer, recorded: tuple[Path, list[int], list[Interval]]
) -> None:
    path, _, intervals = recorded
    folder = path.parent
    (folder / "s.yaml").write_text(SCENARIO.format(url=server.grpc))
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "s.yaml", "--output", "run", "-q", "--no-report"],
        cwd=folder, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    data = read_run(folder / "run")
    assert not data.failures, done.stderr
    (row,) = data.measurements
    samples = read_samples(folder / "run" / row.samples)
    written = [float(x) for x in path.read_text().splitlines() if x[0] != "#"]
    offered = (samples.scheduled - samples.scheduled[0]) / 1e9 + written[0]
    edges = [(i.t_ns - intervals[0].begin.t_ns) / 1e9 for i in
             (intervals[0].begin, *(interval.end for interval in intervals))]  # fmt: skip
    edges[-1] += 1e-3
    counts = np.histogram(written, edges)[0]
    # the schedule is in whole nanoseconds, the file in microseconds: an arrival at an edge may move
    assert np.abs(np.histogram(offered, edges)[0] - counts).max() <= 1
    assert len(offered) == len(DUE)


def test_ctrl_c_ends_well_and_records_what_was_counted_since(
    server: TritonServer, tmp_path: Path
) -> None:
    path = tmp_path / "t"
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "monitor", f"grpc://{server.grpc}", "--interval", "60s",
         "--record", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    send(server.grpc, [0.0] * 12)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "12 requests" in out
    assert "12 requests" in path.read_text()
