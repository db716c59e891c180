"""Objectives, constraints, composing models and perf_analyzer's flags."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.analyzed import START, drafts, scenario
from support.paths import ROOT

from harness.migrate.analyzer_rules import METRICS
from harness.scenario.metrics import CONSTRAINTS, OBJECTIVES

LISTED = (ROOT / "tests" / "data" / "model_analyzer_options.txt").read_text()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_metric_is_known() -> None:
    for section in ("metrics", "constraints"):
        part = re.split(r"\n\[", LISTED.partition(f"[{section}]\n")[2])[0]
        assert set(part.split()) <= set(METRICS)
    assert {here for here, _ in METRICS.values() if here} <= {*OBJECTIVES} & {*CONSTRAINTS}


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("[perf_latency_p99]", "latency_p99_ms"),
        ("perf_throughput", "throughput"),
        ("{perf_throughput: 10}", "throughput"),
        ("[gpu_utilization]", "throughput"),
    ],
)
def test_one_objective(here: Path, written: str, means: str) -> None:
    found, _ = scenario(here, f"objectives: {written}\nprofile_models: net")
    assert found.objective == means


def test_weighted_objectives(here: Path) -> None:
    (draft,) = drafts(here, START + "objectives: [perf_throughput, gpu_free_memory, cpu_used_ram]\n"
                                    "profile_models: net")  # fmt: skip
    weights = {"throughput": 1, "gpu_memory_mib": 1, "host_memory_mib": 1}
    assert draft.get("objective") == weights


def test_constraints_change_their_unit(here: Path) -> None:
    found, _ = scenario(here, """
        constraints: {perf_throughput: {min: 5}, gpu_used_memory: {max: 8000}}
        min_throughput: 6
        latency_budget: 20
        profile_models: net
        """)  # fmt: skip
    limits = {name: bound.max or bound.min for name, bound in found.constraints.items()}
    assert limits == {"throughput": 6, "gpu_memory_mib": 7629, "latency_p99_ms": 20}


def test_composing_models(here: Path) -> None:
    found, backend = scenario(here, """
        bls_composing_models: [a, {b: {model_config_parameters: {max_batch_size: [1, 2]}}}]
        cpu_only_composing_models: [a]
        profile_models: net
        """)  # fmt: skip
    assert backend.composing == ("a", "b")
    assert found.search.method == "quick"


def test_flags_of_perf_analyzer(here: Path) -> None:
    found, _ = scenario(here, """
        perf_analyzer_flags:
          percentile: 95
          latency-threshold: 9
          shape: [a:3, b:4]
          measurement-request-count: 99
          sync: false
          extra-verbose: true
        profile_models: {net: {perf_analyzer_flags: {stability-percentage: 5}}}
        """)  # fmt: skip
    assert found.model.dynamic == {"a_1": 3, "b_1": 4}
    assert (found.measurement.window_requests, found.measurement.targets.throughput) == (99, 0.05)
    assert [name for name, _ in found.constraints.items()] == ["latency_p95_ms"]
