import math
import urllib.error
import urllib.request

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.ports import free_port
from support.rows import capacity, measurement

from harness.errors import UsageError
from harness.monitor.prometheus import RunMetrics, exposed, parse_address
from harness.results.events import Event, Note, Plan, PointStarted, Progress, SessionStarted
from harness.results.rows import FailureRow, MeasurementRow

PLAN = Plan(("a/b1/c1", "a/b4/c1"), 3, measured=1)


def measured(point: str, **latency: float | None) -> MeasurementRow:
    return measurement(point=point, latency_ms=latency)


def read(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names …) → value."""
    return {
        (s.name, *s.labels.values()): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def after(*events: Event) -> dict[tuple[str, ...], float]:
    metrics = RunMetrics()
    for event in events:
        metrics.take(event)
    return read(generate_latest(metrics.registry).decode())


def test_done_counts_what_was_planned_and_what_a_resumed_run_had() -> None:
    found = after(
        PLAN, measured("a/b1/c1", p50=2.0, p99=None), measured("a/b1/r77", p50=2.0),
        capacity(point="a/b4/c1", goodput=90.0),
    )  # fmt: skip
    assert found["harness_measurements_planned",] == 6
    assert found["harness_measurements_done",] == 3
    assert found["harness_inferences_per_second", "a/b1/c1"] == 250
    assert found["harness_inferences_per_second", "a/b4/c1"] == 90
    assert found["harness_latency_seconds", "p50", "a/b1/c1"] == 0.002
    assert ("harness_latency_seconds", "p99", "a/b1/c1") not in found


def test_only_what_goes_on_now_is_running() -> None:
    found = after(
        PLAN, SessionStarted("a", "default", 0), PointStarted("a/b4/c1", 0),
        Progress("window", 30, 2.0, 8.0),
    )  # fmt: skip
    assert [k[1:] for k in found if k[0] == "harness_point_running"] == [("window", "a/b4/c1")]
    assert found["harness_requests_per_second",] == 15
    assert found["harness_running_latency_p99_seconds",] == 0.008
    went_on = (PLAN, Progress("window", 30, 2.0, 8.0), Progress("warmup", 3, 0.1))
    assert math.isnan(after(*went_on)["harness_running_latency_p99_seconds",])  # not the last one's


def test_a_percentile_that_the_last_round_has_not_is_gone() -> None:
    found = after(
        PLAN, measured("a/b1/c1", p50=2.0, p99=5.0), measured("a/b1/c1", p50=3.0, p99=None)
    )
    assert found["harness_latency_seconds", "p50", "a/b1/c1"] == 0.003
    assert ("harness_latency_seconds", "p99", "a/b1/c1") not in found


def test_a_percentile_among_the_failures_is_infinite() -> None:
    assert after(PLAN, measured("a/b1/c1", p99=float("inf")))[
        "harness_latency_seconds", "p99", "a/b1/c1"
    ] == float("inf")


def test_failures_are_counted_by_backend_and_reason() -> None:
    failure = FailureRow("a/b1/c1", 0, "a", "hung", "no answer")
    assert after(failure, failure, Note("?"))[
        "harness_failures_total", "a", "hung"
    ] == 2  # fmt: skip


class Watcher:
    def __init__(self) -> None:
        self.events: list[object] = []

    def __call__(self, event: object) -> None:
        self.events.append(event)


def test_scraped_while_the_run_goes_on_and_gone_afterwards() -> None:
    port = free_port()
    shown = Watcher()
    url = f"http://127.0.0.1:{port}/metrics"
    with exposed(shown, str(port)) as both:
        both(PLAN)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert read(answer.read().decode())["harness_measurements_planned",] == 6
        with pytest.raises(UsageError, match="can't listen"), exposed(shown, str(port)):
            pass
    assert shown.events == [PLAN]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)


def test_without_a_port_nothing_is_added() -> None:
    shown = Watcher()
    with exposed(shown, None) as same:
        assert same is shown


@pytest.mark.parametrize(
    ("text", "address"),
    [("9108", ("127.0.0.1", 9108)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:80", ("::1", 80))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "70000", "-1"])
def test_what_is_no_port_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="--metrics-port"):
        parse_address(text)
