"""Readings of a real Triton: over both protocols, of some models, when it goes away and is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import watched_triton
from support.watched_triton import send, served

from harness.errors import ServerError, UsageError
from harness.monitor.rates import between
from harness.monitor.reading import Reader
from harness.monitor.record import Recorder
from harness.monitor.watch import Watch
from harness.triton.client.url import ServerUrl, parse_url
from harness.triton.server.ports import choose
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return watched_triton.write(tmp_path_factory.mktemp("reading") / "repository")


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with served(repository) as found:
        yield found


def urls(server: TritonServer) -> list[ServerUrl]:
    return [parse_url(f"http://{server.http}"), parse_url(f"grpc://{server.grpc}")]


def test_both_protocols_read_the_same(server: TritonServer) -> None:
    send(server.grpc, [0.0] * 3, batch=2)
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
        send(server.grpc, [0.0] * 2, value=-1.0)
        interval = between(first, reader.read())
    rates = interval.models["echo"]
    assert rates is not None
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
    ports = choose({})
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
