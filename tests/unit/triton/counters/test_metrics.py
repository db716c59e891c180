"""Differences of real metrics pages: one of a server without a GPU, and the GPU's metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.paths import DATA

from harness.triton.counters.metrics import over_window, parse
from harness.triton.counters.scrape import Reading, only
from harness.triton.counters.statistics import counters

TRITON = DATA / "triton"
PAGES = json.loads((TRITON / "metrics.json").read_text())
BEFORE, AFTER = PAGES["before"], PAGES["after"]
GPU = """
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{{gpu_uuid="GPU-a"}} {utilization}
nv_gpu_utilization{{gpu_uuid="GPU-b"}} 0
# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{{gpu_uuid="GPU-a"}} 1073741824
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{{gpu_uuid="GPU-a"}} {used}
# HELP nv_energy_consumption GPU energy consumption in joules since the Triton Server started
# TYPE nv_energy_consumption counter
nv_energy_consumption{{gpu_uuid="GPU-a"}} {energy}
"""
"""As Triton spells them; GPU-b and the power are not told in full, as by some drivers."""


def reading(text: str, at_end: bool = True, begin: int = 0) -> Reading:
    return Reading(begin, begin + 2_000_000, at_end, text)


def pages_of(recorded: dict[str, str]) -> list[str]:
    return [recorded["before"], recorded["after"]]


def gpu(utilization: float, used: int, energy: float) -> str:
    return GPU.format(utilization=utilization, used=used, energy=energy)


def test_a_real_window_says_what_the_statistics_say() -> None:
    found = over_window([reading(BEFORE), reading(AFTER, begin=5_000_000)], "ident")
    before, after = (counters(PAGES["statistics"][end], "ident") for end in ("before", "after"))
    counted = {key: after[key] - value for key, value in before.items()}
    assert found["requests"] == counted["count"] == 3
    assert found["inferences"] == counted["inferences"] == 3
    assert found["executions"] == counted["executions"] == 3
    assert {k: v for k, v in found["failures"].items() if v} == {"BACKEND": counted["failures"]}
    assert found["cache"]["hits"] == counted["cache_hits"] == 1
    assert found["cache"]["misses"] == counted["cache_misses"]
    for phase in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert found["duration_us"][phase] == pytest.approx(counted[f"{phase}_ns"] / 1e3, abs=5)
    assert found["mean_us"]["request"] == found["duration_us"]["request"] / 3
    assert found["pending"] == {"ident": (0.0, 0.0)}
    assert found["pinned_mib"] == {"used": 0.0, "total": 256.0}


def test_other_models_are_left_out() -> None:
    both = [reading(BEFORE), reading(AFTER)]
    assert over_window(both, "other")["requests"] == 1
    nobody = over_window(both, "nobody")
    assert (nobody["requests"], nobody["failures"], nobody["duration_us"]) == (None, {}, {})


def test_without_a_gpu_nothing_is_said_of_one() -> None:
    found = over_window([reading(BEFORE), reading(AFTER)], "ident")
    assert (found["gpus"], found["joules_per_inference"]) == ({}, None)


def test_gpus_are_told_apart_and_what_is_missing_is_left_out() -> None:
    pages = [
        reading(BEFORE + gpu(0.5, 256 * 2**20, 100)),
        reading(only(gpu(1.0, 768 * 2**20, 101), ("nv_gpu_",)), at_end=False),
        reading(AFTER + gpu(0.0, 512 * 2**20, 106)),
    ]
    found = over_window(pages, "ident")
    assert found["gpus"] == {
        "GPU-a": {"utilization_percent": 50.0, "memory_used_mib": 768.0,
                  "memory_total_mib": 1024.0, "energy_j": 6.0},
        "GPU-b": {"utilization_percent": 0.0},
    }  # fmt: skip
    assert found["joules_per_inference"] == 2.0  # six joules, three inferences


def test_a_real_window_on_a_gpu() -> None:
    pages = json.loads((TRITON / "metrics_gpu.json").read_text())
    found = over_window([reading(pages["before"]), reading(pages["after"])], "mm")
    ((uuid, gpu),) = found["gpus"].items()
    assert uuid.startswith("GPU-")
    assert gpu["memory_total_mib"] == pytest.approx(143_771)  # 140.4 GiB
    assert 0 < gpu["memory_used_mib"] < gpu["memory_total_mib"]
    assert 0 < gpu["utilization_percent"] <= 100
    watts = [float(p.rpartition("nv_gpu_power_usage{")[2].split()[1]) for p in pages_of(pages)]
    assert gpu["power_w"] == pytest.approx(sum(watts) / 2)
    each = gpu["energy_j"] / (found["inferences"] or 0)
    assert found["joules_per_inference"] == pytest.approx(each)
    assert 300 < gpu["energy_j"] / 5 < 700  # five seconds below the limit of 700 W


def test_pending_requests_are_read_in_between() -> None:
    waiting = re.sub(r'(pending_request_count{model="ident".*}) 0', r"\1 7", BEFORE)
    pages = [reading(BEFORE), reading(only(waiting, ("nv_inference_pending",)), False),
             reading(AFTER)]  # fmt: skip
    assert over_window(pages, "ident")["pending"] == {"ident": (0.0, 7.0, 0.0)}
    assert over_window(pages, "other")["pending"] == {"ident": (0.0, 7.0, 0.0), "other": (0.0,) * 3}


def test_a_counter_that_went_back_is_not_known_and_named() -> None:
    found = over_window([reading(AFTER), reading(BEFORE)], "ident")
    assert found["requests"] is None
    assert found["inferences"] is None
    assert "nv_inference_request_success" in found["reset"]
    assert found["mean_us"] == {}


def test_a_counter_that_is_gone_was_reset() -> None:
    gone = "\n".join(line for line in AFTER.splitlines() if 'model="ident"' not in line)
    found = over_window([reading(BEFORE), reading(gone)], "ident")
    assert found["requests"] is None
    assert "nv_inference_count" in found["reset"]


def test_versions_of_a_model_are_summed() -> None:
    second = [line.replace('version="1"', 'version="2"') for line in AFTER.splitlines()
              if line.startswith("nv_inference_count")]  # fmt: skip
    twice = AFTER.replace(
        "# HELP nv_inference_exec", "\n".join(second) + "\n# HELP nv_inference_exec"
    )
    one = parse(AFTER).total("nv_inference_count", model="ident")
    assert parse(twice).total("nv_inference_count", model="ident") == 2 * (one or 0)


def test_a_server_that_gives_no_reason_for_failures() -> None:
    plain = 'nv_inference_request_failure{{model="m",version="1"}} {}'
    found = over_window([reading(plain.format(1)), reading(plain.format(4))], "m")
    assert found["failures"] == {"failed": 3.0}


@pytest.mark.parametrize("readings", [[], [reading(BEFORE)], [reading(BEFORE, at_end=False)] * 3])
def test_both_ends_are_needed(readings: list[Any]) -> None:
    with pytest.raises(ValueError, match="both ends"):
        over_window(readings, "ident")


def test_what_is_no_metrics_page_is_refused() -> None:
    with pytest.raises(ValueError, match="html"):
        parse("<html><body>not found</body></html>\n")
