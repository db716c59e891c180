"""The table of metrics, and what is made of it."""

from __future__ import annotations

import dataclasses

import pytest

from harness.results.rows import PERCENTILES, MeasurementRow
from harness.scenario.metrics import (
    CONSTRAINTS,
    METRICS,
    OBJECTIVES,
    PERCENTILE_NAMES,
    PLOTTED,
    PRIMARY,
)
from harness.scenario.spec.constraints import Constraints, Weights
from harness.scenario.spec.scenario import Scenario


def scenario(**more: object) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"fake": {}}},
        "backends": [{"kind": "fake"}], **more,
    })  # fmt: skip


def test_every_metric_is_on_the_row_of_a_round() -> None:
    fields = {f.name for f in dataclasses.fields(MeasurementRow)}
    for name, metric in METRICS.items():
        assert metric.percentile or name in fields or hasattr(MeasurementRow, name), name
    assert tuple(PERCENTILE_NAMES) == PERCENTILES


def test_the_schema_takes_from_it() -> None:
    assert tuple(Constraints.model_fields) == CONSTRAINTS
    assert tuple(Weights.model_fields) == OBJECTIVES
    assert "latency_p999_ms" in CONSTRAINTS
    assert not {"latency_p999_ms", "latency_mean_ms", "errors", "gpu_power_w"} & set(OBJECTIVES)


def test_throughput_alone_is_better_when_larger() -> None:
    assert [name for name, metric in METRICS.items() if metric.sign > 0] == ["throughput"]
    assert list(PRIMARY) == ["throughput", "p50", "p99"]
    assert [m.margin for m in PRIMARY.values()] == [0.02, 0.02, 0.05]


def test_words() -> None:
    assert METRICS["latency_p999_ms"].heading == "p99.9 latency (ms)"
    assert METRICS["host_memory_mib"].heading == "Host memory (MiB)"
    assert METRICS["host_memory_mib"].columns == ("host_memory_mib", "host_memory_mib_least")
    assert METRICS["gpu_utilization_percent"].columns == ("gpu_utilization_percent",)
    assert METRICS["throughput"].columns[1:] == ("throughput_low", "throughput_high")
    assert METRICS["errors"].heading == "Errors"


def test_model_analyzers_plots_come_first() -> None:
    names = [metric.name for metric in PLOTTED]
    assert names[:4] == [
        "gpu_memory_mib", "gpu_utilization_percent", "host_memory_mib", "gpu_power_w",
    ]  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_may_be_the_objective_and_bounded(name: str) -> None:
    limit = {"min": 1} if name == "throughput" else {"max": 1}
    found = scenario(objective={name: 2}, constraints={name: limit})
    assert found.model_dump()["objective"][name] == 2
    assert [metric for metric, _ in found.constraints.items()] == [name]
    assert scenario(objective=[name]).objective == name
