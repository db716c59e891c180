"""Metrics read off rows: of a round, over the rounds, of a co-located model."""

from __future__ import annotations

import math

import pytest
from support.rows import measurement, point

from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.metrics import metric_name, metric_of, of_rounds, over_rounds, split_name
from harness.scenario.metrics import METRICS

BESIDE = {"load": {}, "throughput": 20.0, "latency_ms": {"p50": "inf", "p99": None},
          "requests": 9, "errors": 2, "flags": []}  # fmt: skip
ROW = measurement(
    throughput=100.0, latency_ms={"p50": 4.0, "p99": None}, latency_mean_ms=5.0, errors=3,
    gpu_memory_mib=700.0, cpu_percent=150.0,
    details={"joules_per_inference": 0.25, "colocated": {"det": BESIDE}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("throughput", 100.0), ("latency_p50_ms", 4.0), ("latency_p99_ms", None),
        ("latency_p90_ms", None), ("latency_mean_ms", 5.0), ("errors", 3.0),
        ("gpu_memory_mib", 700.0), ("host_memory_mib", None), ("joules_per_inference", 0.25),
        ("colocated/det/throughput", 20.0), ("colocated/det/errors", 2.0),
        ("colocated/det/latency_p50_ms", math.inf), ("colocated/det/latency_p99_ms", None),
        ("colocated/det/host_memory_mib", None), ("colocated/det/present", 1.0),
        ("colocated/other/present", 0.0), ("colocated/other/throughput", None),
    ],
)  # fmt: skip
def test_of_a_round(name: str, value: float | None) -> None:
    assert of_rounds([ROW], name) == [value]


@pytest.mark.parametrize("name", ["speed", "colocated/det/speed", "cpu_percent"])
def test_what_is_no_metric_is_an_error(name: str) -> None:
    with pytest.raises(KeyError):
        of_rounds([ROW], name)
    with pytest.raises(KeyError):
        point().value(name)


def test_over_rounds_each_as_its_row_of_the_table_says() -> None:
    rows = [
        measurement(round=n, throughput=t, host_memory_mib=m, gpu_utilization_percent=u, errors=n)
        for n, (t, m, u) in enumerate([(10.0, 5.0, 40.0), (20.0, None, 60.0), (40.0, 3.0, None)])
    ]
    assert over_rounds(rows, "throughput") == log_t_interval([10.0, 20.0, 40.0])
    assert over_rounds(rows, "host_memory_mib") == Interval(5.0)  # of those that have it
    assert over_rounds(rows, "gpu_utilization_percent") == Interval(50.0)
    assert over_rounds(rows, "errors") == Interval(3.0)
    assert over_rounds(rows, "gpu_power_w") is None
    assert over_rounds([], "errors") is None


def test_an_interval_needs_every_round() -> None:
    rows = [measurement(latency_ms={"p99": 4.0}), measurement(round=1, latency_ms={"p99": None})]
    assert over_rounds(rows, "latency_p99_ms") is None
    assert over_rounds(rows[:1], "latency_p99_ms") == Interval(4.0)


def test_a_co_located_model_must_be_there_in_every_round() -> None:
    alone = measurement(round=1)
    assert over_rounds([ROW, alone], "colocated/det/errors") is None
    assert over_rounds([ROW, alone], "colocated/det/present") == Interval(0.0)
    assert over_rounds([ROW, ROW], "colocated/det/errors") == Interval(4.0)


def test_names() -> None:
    assert split_name("throughput") == ("", "throughput")
    assert split_name(metric_name("det", "errors")) == ("det", "errors")
    assert metric_of("colocated/det/throughput") is METRICS["throughput"]


def test_a_point_has_every_metric_of_the_table() -> None:
    found = point([10.0, 40.0], host_memory_mib=7.0)
    known = [name for name in METRICS if found.metrics[name] is not None]
    assert known[0] == "throughput"
    assert "host_memory_mib" in known
    with pytest.raises(KeyError):
        found.metrics["no such"]
    assert found.per_round("throughput") == [10.0, 40.0]
    assert found.per_round("gpu_memory_mib") == []
    assert (found.host_memory_mib, found.gpu_memory_mib) == (7.0, None)
