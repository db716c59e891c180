"""A real Triton, watched: its rates, its going away, its traffic recorded and replayed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import watched_triton
from support.ports import free_port
from support.watched_triton import send, served

from harness.errors import HarnessError, ServerError, UsageError
from harness.monitor.command import command
from harness.monitor.rates import Interval, between
from harness.monitor.reading import Reader, Reading
from harness.monitor.record import Recorder
from harness.monitor.watch import Watch
from harness.results.samples import read_samples
from harness.results.store import read_run
from harness.triton.client.url import ServerUrl, parse_url
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
RATES = (60, 180, 20, 120)
"""Requests a second, each for half a second."""
DUE = [i / 2 + k / rate for i, rate in enumerate(RATES) for k in range(rate // 2)]
NEAR_NS = 60_000_000
"""So long after a request's end the server may count it."""
Traffic = tuple[Path, list[int], list[Interval], dict[int, tuple[int, int]]]
SCENARIO = """
scenario: replay
model: {{name: echo, source: {{triton: echo}}}}
backends: [{{kind: triton, protocol: grpc, name: there, server: {{url: "{url}"}}}}]
load: {{trace: trace.txt}}
measurement: {{profile: quick, rounds: 1, rounds_max: 1}}
"""


class Noted(Reader):
    """It keeps from when until when each reading took, by the moment that the reading has."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.spans: dict[int, tuple[int, int]] = {}

    def read(self) -> Reading:
        begin, found = time.monotonic_ns(), super().read()
        self.spans[found.t_ns] = begin, time.monotonic_ns()
        return found


class Kept:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []

    def interval(self, interval: Interval, note: str = "") -> None:
        self.intervals.append(interval)

    def away(self, error: HarnessError, since: float) -> None:
        raise error


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return watched_triton.write(tmp_path_factory.mktemp("monitor") / "repository")


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with served(repository) as found:
        yield found


def urls(server: TritonServer) -> list[ServerUrl]:
    return [parse_url(f"http://{server.http}"), parse_url(f"grpc://{server.grpc}")]


def test_both_protocols_read_the_same(server: TritonServer) -> None:
    with Reader(urls(server)[0]) as reader:
        before = reader.read().counters["echo"]["count"]
        send(server.grpc, [0.0] * 3, batch=2)
        for _ in range(100):  # Triton counts a request a moment after it is answered
            if reader.read().counters["echo"]["count"] == before + 3:
                break
            time.sleep(0.05)
    found = []
    for url in urls(server):
        with Reader(url, metrics=server.metrics) as reader:
            found.append(reader.read())
    assert found[0].counters == found[1].counters
    assert set(found[0].counters) == {"echo", "quiet"}
    assert found[0].counters["echo"]["count"] >= 3
    assert found[0].pending == {"echo": 0.0, "quiet": 0.0}
    assert found[0].metrics_problem == ""
    assert found[0].t_ns < found[1].t_ns


def test_rates_are_those_of_what_was_sent(server: TritonServer) -> None:
    with Reader(urls(server)[1], ["echo"]) as reader:
        first = reader.read()
        send(server.grpc, [0.0] * 6, batch=3)
        send(server.grpc, [0.0] * 2, value=-99.0)
        for _ in range(100):
            interval = between(first, reader.read())
            rates = interval.models["echo"]
            assert rates is not None
            if (rates.requests, rates.failures) == (6, 2):
                break
            time.sleep(0.05)
    assert (rates.requests, rates.failures) == (6, 2)
    assert rates.requests_per_s == pytest.approx(6 / interval.seconds)
    assert rates.inferences_per_s == pytest.approx(18 / interval.seconds)
    assert rates.server_ms is not None
    assert rates.queue_ms is not None
    assert rates.compute_ms is not None
    assert 0 < rates.queue_ms + rates.compute_ms <= rates.server_ms


def test_a_model_that_is_not_there_is_named_with_those_that_are(server: TritonServer) -> None:
    with pytest.raises(UsageError, match="no model eco; it has echo, quiet"):
        Reader(urls(server)[0], ["eco"]).read()


def test_a_metrics_page_that_was_asked_for_is_missed_aloud(server: TritonServer) -> None:
    url = urls(server)[0]
    assert "can't be read" in Reader(url, metrics="127.0.0.1:1").read().metrics_problem
    assert Reader(url).read().metrics_problem == ""
    assert "page is empty" in Reader(url, metrics=f"{server.metrics}/no").read().metrics_problem


def test_a_server_that_goes_away_is_waited_for(repository: Path, tmp_path: Path) -> None:
    """Killed and started again on the same ports, with traffic before, and after its return."""
    ports = {name: free_port() for name in ("http", "grpc", "metrics")}
    url = parse_url(f"http://127.0.0.1:{ports['http']}")
    said: list[str] = []

    class Display:
        def interval(self, interval: object, note: str = "") -> None:
            said.append(note)

        def away(self, error: Exception, since: float) -> None:
            said.append(f"away: {error}")

    with Reader(url, ["echo"]) as reader, Recorder(tmp_path / "t", "echo", url.text) as recorder:
        watch = Watch(reader, Display(), 0.05, recorder, duration=0.05)
        with served(repository, ports) as server:
            first = reader.read()
            send(server.grpc, [0.0] * 5)
            deadline = time.monotonic() + 10
            while counted(reader.read()) < counted(first) + 5 and time.monotonic() < deadline:
                time.sleep(0.02)  # the server counts a request after it has answered
            watch.run(first)
        with pytest.raises(ServerError):
            watch.run(first)
        assert said[-1].startswith("away: ")
        with served(repository, ports) as server:
            send(server.grpc, [0.0] * 9)
            watch.run(reader.read())
    text = (tmp_path / "t").read_text()
    assert recorder.requests == 5
    assert recorder.unknown_s > 0
    assert "not known" in text


def counted(reading: Reading) -> float:
    return reading.counters["echo"]["count"]


def run(*args: object) -> Result:
    return CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )


def test_once_is_one_interval(server: TritonServer) -> None:
    args = (server.http, "--interval", "100ms", "--metrics", server.metrics)
    assert "without a request: echo, quiet" in run(*args, "--once").output
    (line,) = run(*args, "--once", "--json").output.splitlines()
    found = json.loads(line)
    assert found["models"]["echo"]["requests"] == 0
    assert found["models"]["echo"]["pending"] == 0
    lines = run(*args, "--json", "--duration", "300ms", "--model", "echo").output.splitlines()
    assert 1 <= len(lines) <= 3  # an interval that was missed is not made up for
    assert {tuple(json.loads(line)["models"]) for line in lines} == {("echo",)}


def test_a_trace_is_of_one_model(server: TritonServer, tmp_path: Path) -> None:
    path = tmp_path / "t"
    args = (f"grpc://{server.grpc}", "--interval", "50ms", "--once", "--record", path)
    with pytest.raises(UsageError, match="of one model; there is echo, quiet"):
        run(*args)
    assert not path.exists()
    assert "0 requests" in run(*args, "--model", "echo").output
    assert "'echo'" in path.read_text()


def test_the_wrong_protocol_is_an_error_that_says_so(server: TritonServer) -> None:
    for url in (f"http://{server.grpc}", f"grpc://{server.http}"):
        with pytest.raises(ServerError, match=r"Triton at 127\.0\.0\.1"):
            run(url, "--once")


@pytest.fixture(scope="module")
def recorded(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    """The trace of traffic at `RATES`, when each of its requests ended, and the intervals with how
    long each of their readings took.
    """
    path = tmp_path_factory.mktemp("trace") / "trace.txt"
    ended: list[int] = []
    sender = threading.Thread(target=lambda: ended.extend(send(server.grpc, DUE)))
    display = Kept()
    with Noted(parse_url(f"grpc://{server.grpc}"), ["echo"]) as reader, \
            Recorder(path, "echo", "there") as recorder:  # fmt: skip
        first = reader.read()
        all_ = counted(first) + len(DUE)
        sender.start()
        while sender.is_alive():
            watch = Watch(reader, display, 0.25, recorder, duration=0.25)
            watch.run(first)
            first = display.intervals[-1].end
        sender.join()
        until = time.monotonic() + 20
        while counted(reader.read()) < all_ and time.monotonic() < until:
            time.sleep(0.02)
        Watch(reader, display, 0.05, recorder).run(first, once=True)
    return path, ended, display.intervals, reader.spans


def test_what_is_recorded_is_what_was_sent(recorded: Traffic) -> None:
    """What was with the server in a reading may be counted on either side of it."""
    path, ended, intervals, spans = recorded
    rates = [interval.models["echo"] for interval in intervals]
    counts = [r.ended if r is not None else -1 for r in rates]
    assert sum(counts) == len(DUE)
    times, begun = np.array(ended), np.array([0, *ended[:-1]])
    for interval, count in zip(intervals, counts, strict=True):
        begin, end = interval.begin.t_ns, interval.end.t_ns
        near = sum(((begun < after) & (times > before - NEAR_NS)).sum()
                   for before, after in (spans[begin], spans[end]))  # fmt: skip
        assert abs(((begin < times) & (times <= end)).sum() - count) <= near
    written = [float(x) for x in path.read_text().splitlines() if x[0] != "#"]
    edges = [(i.t_ns - intervals[0].begin.t_ns) / 1e9 for i in
             (intervals[0].begin, *(interval.end for interval in intervals))]  # fmt: skip
    assert list(np.histogram(written, edges)[0]) == counts
    assert max(counts) > 3 * min(c for c in counts if c)


def test_a_replay_offers_in_each_interval_what_was_counted(
    server: TritonServer, recorded: Traffic
) -> None:
    path, _, intervals, _ = recorded
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
         "--model", "echo", "--record", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    with Reader(urls(server)[1], ["echo"]) as reader:
        before = counted(reader.read())
        send(server.grpc, [0.0] * 12)
        while counted(reader.read()) < before + 12 and time.monotonic() < until:
            time.sleep(0.02)  # the server counts a request after it has answered
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "12 requests" in out
    assert "12 requests" in path.read_text()
