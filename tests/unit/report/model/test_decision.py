"""Page 1 as numbers: what to take, its rivals, the limits, the cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.synthetic_run import write_all_failed, write_bare, write_run

from harness.analysis.constraints import satisfies
from harness.analysis.summary import SummaryRow
from harness.measure.distribution import counts_of
from harness.report.model.context import Context, build_context
from harness.report.model.decision import Decision, ask_mib, cost, decide, record
from harness.results.store import read_run
from harness.scenario.metrics import METRICS, latency_name


def test_the_recommended_point_is_the_choices(gpu: Context) -> None:
    found = decide(gpu)
    assert found.take is gpu.choice.recommended and found.decided
    assert found.percentile in ("p99", "p95")
    assert [r.row.backend for r in found.rivals][-1] == gpu.reference
    assert len(found.backends) == len({r.backend for r in found.backends})


def test_the_rival_of_the_same_precision_comes_first(gpu: Context) -> None:
    take = next(r for r in gpu.rows if r.backend == "torch-cuda-fp16" and r.valid)
    choice = replace(gpu.choice, recommended=take)
    rivals = decide(replace(gpu, choice=choice)).rivals
    assert [(r.row.backend, r.same_precision) for r in rivals] == [("torch-cuda-fp32", False)]
    onnx = next(r for r in gpu.rows if r.backend == "onnxruntime-cuda-fp32" and r.valid)
    rivals = decide(replace(gpu, choice=replace(choice, recommended=onnx))).rivals
    assert [(r.row.backend, r.same_precision) for r in rivals] == [("torch-cuda-fp32", True)]


def test_limits_are_round_hold_and_rise(cpu: Context) -> None:
    found = decide(cpu)
    *limited, free = found.limits
    assert limited and free.limit_ms is None and free.row is cpu.choice.recommended
    limits = [c.limit_ms for c in limited]
    assert limits == sorted(limits, key=lambda v: v or 0)
    for choice in limited:
        assert choice.row is not None and choice.limit_ms is not None
        tail = choice.row.value(latency_name(found.percentile))
        assert tail is not None and (tail.high or tail.value) <= choice.limit_ms
        assert f"{choice.limit_ms:.0e}"[0] in "125"


def test_no_interval_crosses_the_limit_beside_which_it_stands(cpu: Context) -> None:
    """By the requests of all rounds a percentile may hold whose rounds scatter beyond the limit."""
    found = decide(cpu)
    metric, row, limit = latency_name(found.percentile), *_first(found)
    tail = row.value(metric)
    assert tail is not None
    wide = replace(tail, high=1.5 * limit)
    fast = {"latency_counts": counts_of(np.full(900, 1_000_000), np.zeros(900, bool))}
    scattered = replace(
        row, metrics={**{m: row.value(m) for m in METRICS}, metric: wide},
        measurements=tuple(replace(m, details={**m.details, **fast}) for m in row.measurements),
    )  # fmt: skip
    assert satisfies(scattered, {metric: {"max": limit}}) == "yes"
    candidates = tuple(scattered if r is row else r for r in cpu.choice.candidates)
    changed = decide.__wrapped__(replace(cpu, choice=replace(cpu.choice, candidates=candidates)))
    assert limit not in [c.limit_ms for c in changed.limits if c.row is scattered]


def _first(found: Decision) -> tuple[SummaryRow, float]:
    row, limit = found.limits[0].row, found.limits[0].limit_ms
    assert row is not None and limit is not None
    return row, limit


def test_cost_is_time_energy_and_money(gpu: Context) -> None:
    row = decide(gpu).take
    assert row is not None and row.throughput is not None and row.joules_per_inference is not None
    spent = cost(gpu, row)
    assert spent.seconds == pytest.approx(1e6 / row.throughput.value)
    assert spent.watt_hours == pytest.approx(1e6 * row.joules_per_inference.value / 3600)
    assert spent.money is None
    manifest = {**gpu.data.manifest, "scenario": {**gpu.scenario, "price_per_gpu_hour": 3.6}}
    priced = replace(gpu, data=replace(gpu.data, manifest=manifest))
    assert cost(priced, row).money == pytest.approx(3.6 / 3600 * (spent.seconds or 0))


def test_memory_to_ask_for_is_a_tenth_more_rounded_up(gpu: Context) -> None:
    row = decide(gpu).take
    assert row is not None and row.gpu_memory_mib is not None
    ask = ask_mib(row)
    assert ask is not None and ask % 256 == 0
    assert 1.1 * row.gpu_memory_mib <= ask < 1.1 * row.gpu_memory_mib + 256


def test_the_record_is_json_and_says_what_the_page_says(gpu: Context) -> None:
    said = json.loads(json.dumps(record(gpu), allow_nan=False))
    take = decide(gpu).take
    assert take is not None and said["recommended"]["point"] == take.point
    assert said["limits"][-1]["point"] == take.point if said["limits"] else True
    assert said["recommended"]["per_million"]["seconds"] > 0


def test_runs_without_a_number(tmp_path: Path) -> None:
    for write in (write_bare, write_all_failed):
        context = build_context(read_run(write(tmp_path / write.__name__)))
        found = decide(context)
        assert (found.take, found.limits, found.rivals) == (None, (), ())
        assert record(context)["recommended"] is None


def test_one_round_takes_the_best_value_and_says_so(tmp_path: Path) -> None:
    context = build_context(read_run(write_run(tmp_path / "r", rounds=1, failures=False)))
    found = decide(context)
    assert found.take is context.choice.best and not found.decided
