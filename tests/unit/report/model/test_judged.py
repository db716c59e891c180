"""Constraints at a point: sign, value, and the setting that would decide."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rows import with_metrics

from harness.analysis.summary import summarize
from harness.report.model.context import Context
from harness.report.model.judged import judged, needed

P99 = "latency_p99_ms"


def under(context: Context, **bounds: dict[str, float | None]) -> Context:
    return replace(context, bounds=bounds)


@pytest.mark.parametrize(("limit", "sign"), [(1e4, "✓"), (0.01, "✗")])
def test_a_sign_and_the_value(gpu: Context, limit: float, sign: str) -> None:
    context = under(gpu, latency_p99_ms={"max": limit}, throughput={"min": 0.1})
    tail, rate = judged(context, gpu.rows[0])
    assert tail.text == f"{sign} 7.7"
    assert rate.text.startswith("✓ ")
    assert (tail.needs, rate.needs) == ("", "")


def test_what_is_not_measured_names_what_would_measure_it(gpu: Context) -> None:
    row = with_metrics(gpu.rows[0], latency_p99_ms=None, gpu_memory_mib=None)
    context = replace(
        under(gpu, latency_p99_ms={"max": 5.0}, gpu_memory_mib={"max": 5.0}), rows=(row,)
    )
    tail, memory = judged(context, row)
    assert (tail.text, tail.needs) == ("? n/a", "measurement.window_requests: 662")
    assert (memory.text, memory.needs) == ("? n/a", "")  # nothing on this machine would
    assert needed(context, P99) == "measurement.window_requests: 662"


def test_of_a_server_elsewhere_memory_needs_its_telemetry(gpu: Context) -> None:
    scenario = {**gpu.scenario, "backends": [
        {**backend, "server": {"url": "far:8000"}} for backend in gpu.scenario["backends"]
    ]}  # fmt: skip
    data = replace(gpu.data, manifest={**gpu.manifest, "scenario": scenario})
    row = with_metrics(gpu.rows[0], gpu_memory_mib=None)
    context = replace(under(gpu, gpu_memory_mib={"max": 5.0}), data=data, rows=(row,))
    assert [c.needs for c in judged(context, row)] == ["server.telemetry"]


def test_what_failed_needs_no_setting(gpu: Context) -> None:
    row = replace(with_metrics(gpu.rows[0], latency_p99_ms=None), rounds=0, measurements=())
    context = replace(under(gpu, latency_p99_ms={"max": 5.0}), rows=(row,))
    assert [(c.text, c.needs) for c in judged(context, row)] == [("? n/a", "")]
    assert needed(context, P99) == ""


@pytest.mark.parametrize(
    ("rounds", "budget", "needs"),
    [(1, None, "measurement.rounds: 2"), (2, None, "the rounds that it lacks"),
     (2, 60.0, "a larger measurement.budget")],
)  # fmt: skip
def test_rounds_that_the_scenario_has_already_are_not_asked_for(
    gpu: Context, rounds: int, budget: float | None, needs: str
) -> None:
    measurement = {"rounds": rounds, "budget": budget}
    manifest = {**gpu.manifest, "scenario": {**gpu.scenario, "measurement": measurement}}
    row, *_ = summarize([m for m in gpu.data.measurements if m.round == 0])
    data = replace(gpu.data, manifest=manifest)
    context = replace(under(gpu, throughput={"min": 0.1}), data=data, rows=(row,))
    (rate,) = judged(context, row)
    assert rate.needs == needs
