"""The live run for Prometheus: `harness run --metrics-port`, an observer that can be scraped.

Served by the orchestrator's process, which never measures, from a registry of its own.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.results import events
from harness.results.events import Event, Observer
from harness.results.rows import CapacityRow, FailureRow, MeasurementRow
from harness.system.packages import require

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LOOPBACK = "127.0.0.1"


class RunMetrics:
    """Takes the run's events; every metric is in base units (seconds, inferences a second)."""

    def __init__(self) -> None:
        require("prometheus_client")
        from prometheus_client import CollectorRegistry, Counter, Gauge

        self.registry = CollectorRegistry()
        self._points: frozenset[str] = frozenset()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"harness_{name}", text, labels, registry=self.registry)

        self._planned = gauge("measurements_planned", "Points times rounds; and what was added")
        self._done = gauge("measurements_done", "Measured so far, earlier parts of the run too")
        self._failed = Counter(
            "harness_failures", "Points that could not be measured in a round",
            ("backend", "reason"), registry=self.registry,
        )  # fmt: skip
        self._running = gauge("point_running", "1 for what goes on now", "point", "phase")
        self._rate = gauge("requests_per_second", "Of the point that is running, so far")
        self._p99 = gauge("running_latency_p99_seconds", "Of the latest requests of the "
                          "point that is running; NaN while they are too few for it")  # fmt: skip
        self._throughput = gauge("inferences_per_second", "Of a point, in its last round", "point")
        self._latency = gauge(
            "latency_seconds", "Of a point, in its last round", "point", "percentile"
        )
        self._point = ""

    def take(self, event: Event) -> None:
        """Take one event; those that say nothing for a dashboard are passed over."""
        match event:
            case events.Plan(points, rounds, measured):
                self._points = frozenset(points)
                self._planned.set(len(self._points) * rounds)
                self._done.set(measured)
            case events.RoundAdded():
                self._planned.inc(event.points)
            case events.SessionStarted():
                self._go_on(event.backend, "loading")
            case events.PointStarted():
                self._point = event.point
                self._go_on(self._point, "starting")
            case events.Progress():
                self._go_on(self._point, event.phase)
                self._rate.set(event.rate)
                self._p99.set(math.nan if event.p99_ms is None else event.p99_ms / 1e3)
            case MeasurementRow():
                self._measured(event)
            case CapacityRow():
                self._done.inc()
                if event.goodput is not None:
                    self._throughput.labels(event.point).set(event.goodput)
            case FailureRow():
                self._failed.labels(event.backend, event.reason).inc()

    def _go_on(self, point: str, phase: str) -> None:
        self._running.clear()
        self._running.labels(point, phase).set(1)

    def _measured(self, row: MeasurementRow) -> None:
        if row.point in self._points:  # a search's rates are not counted
            self._done.inc()
        self._throughput.labels(row.point).set(row.throughput)
        for percentile, value in row.latency_ms.items():
            if value is not None:  # infinite where the percentile is among the failures
                self._latency.labels(row.point, percentile).set(value / 1e3)
            else:  # of too few requests; that of an earlier round is none of this one's
                with contextlib.suppress(KeyError):
                    self._latency.remove(row.point, percentile)


def parse_address(text: str) -> tuple[str, int]:
    """`PORT`, on loopback, or `ADDRESS:PORT`. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) < 65536:
        raise UsageError(f"--metrics-port: '{text}' is no port, and no ADDRESS:PORT")
    return host.strip("[]") or LOOPBACK, int(port)


@contextlib.contextmanager
def exposed(observer: Observer, where: str | None) -> Iterator[Observer]:
    """`observer`, and beside it the metrics at `where` (see `parse_address`) until the end.

    Raises UsageError when the port can't be had, MissingPackageError without prometheus_client.
    """
    if where is None:
        yield observer
        return
    metrics = RunMetrics()

    def both(event: Event) -> None:
        observer(event)
        metrics.take(event)

    with served(metrics.registry, where):
        yield both


@contextlib.contextmanager
def served(registry: CollectorRegistry, where: str) -> Iterator[None]:
    """The metrics of `registry` at `where` (see `parse_address`) until the end.

    Raises UsageError when the port can't be had.
    """
    from prometheus_client import start_http_server

    host, port = parse_address(where)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise UsageError(
            f"--metrics-port: can't listen on {host}:{port}: {error.strerror or error}",
            fix="choose another port",
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
