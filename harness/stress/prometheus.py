"""A stress run while it goes on, for Prometheus: what the live table shows, in base units.

Served as the metrics of `harness run` are, by `harness.monitor.prometheus`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.measure.quantiles import FLOORS
from harness.system.packages import require


class StressMetrics:
    """Takes the run's events."""

    def __init__(self) -> None:
        require("prometheus_client")
        from prometheus_client import CollectorRegistry, Counter, Gauge

        self.registry = registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"harness_stress_{name}", text, registry=registry)

        self._gauges = {
            "t": gauge("seconds", "Since the load began"),
            "users": gauge("users", "Locust's users now"),
            "requests": gauge("requests", "Over since the load began, failures too"),
            "failures": gauge("failures", "Of them, those that failed, were shed or never sent"),
            "open": gauge("open", "Requests that are with the server"),
            "waiting": gauge("waiting", "Requests that are due and found every user busy"),
        }
        latency = Gauge("harness_stress_latency_seconds", "p50 of what was over in the last half "
                        "second, p99 of the latest 1,024 requests, NaN while they are too few for "
                        "it", ("percentile",), registry=registry)  # fmt: skip
        self._latency = {key: latency.labels(key[:3]) for key in ("p50_ms", "p99_ms")}
        self._faults = Counter("harness_stress_faults", "Done and undone", ("kind",),
                               registry=registry)  # fmt: skip
        self._lost = gauge("workers_lost", "Workers that went missing")

    def take(self, event: Mapping[str, Any]) -> None:
        """One event of the run."""
        match event.get("event"):
            case "progress":
                for key, metric in self._gauges.items():
                    metric.set(event[key])
                for key, metric in self._latency.items():
                    value = event[key]
                    few = key == "p99_ms" and event["latest"] < FLOORS["p99"]
                    none = math.nan if few else math.inf
                    metric.set(none if value is None else value / 1e3)
            case "fault":
                self._faults.labels(event["kind"]).inc()
            case "worker_lost":
                self._lost.inc()
