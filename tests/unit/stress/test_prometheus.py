"""A stress run's metrics, scraped over HTTP."""

from __future__ import annotations

import math
import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from support.ports import free_port

from harness.monitor.prometheus import served
from harness.stress.prometheus import StressMetrics

PROGRESS = {
    "event": "progress", "t": 1.5, "users": 4, "open": 3, "waiting": 2, "requests": 60,
    "failures": 1, "new": 10, "new_failures": 0, "p50_ms": 5.0, "p99_ms": None,
    "latest": 1024,
}  # fmt: skip


def scraped(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def test_the_live_run_is_scraped_in_base_units() -> None:
    port = free_port()
    metrics = StressMetrics()
    with served(metrics.registry, str(port)):
        metrics.take({"event": "listening", "address": "x"})
        metrics.take(PROGRESS)
        metrics.take({"event": "fault", "kind": "kill"})
        metrics.take({"event": "worker_lost", "worker": 1})
        found = scraped(port)
        metrics.take({**PROGRESS, "latest": 90})
        few = scraped(port)
    assert found["harness_stress_requests",] == 60
    assert found["harness_stress_waiting",] == 2
    assert found["harness_stress_latency_seconds", "p50"] == 0.005
    assert found["harness_stress_latency_seconds", "p99"] == float("inf")
    assert math.isnan(few["harness_stress_latency_seconds", "p99"])
    assert found["harness_stress_faults_total", "kill"] == 1
    assert found["harness_stress_workers_lost",] == 1
