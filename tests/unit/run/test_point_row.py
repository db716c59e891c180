"""GPU readings of a window, from telemetry series."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.readings import gpu_readings, gpu_stages
from harness.measure.window import Window
from harness.results.samples import Samples
from harness.results.series import SeriesKey, TelemetrySeries
from harness.run.point_row import _server_count
from harness.triton.counters.statistics import Split

key = SeriesKey.parse

MIB = 2**20
S = 1_000_000_000


def series(*pairs: tuple[float, float]) -> TelemetrySeries:
    seconds, values = zip(*pairs, strict=True)
    return TelemetrySeries((np.array(seconds) * S).astype(np.int64), np.array(values, float))


MEMORY = {
    key("gpu0_device_bytes"): series((0, 100 * MIB), (1, 900 * MIB), (4, 300 * MIB)),
    key("gpu0_process_bytes"): series((0, 0.0), (1, 700 * MIB), (2, 800 * MIB), (4, 200 * MIB)),
}


def test_power_is_the_energy_counters_and_not_what_nvml_averages_over_the_last_second() -> None:
    telemetry = {
        **MEMORY,
        key("gpu0_power_w"): series((0, 600.0), (4, 500.0), (5, 400.0), (6, 300.0)),
        key("gpu0_energy_j"): series((0, 0.0), (4, 2400.0), (6, 2700.0)),
    }
    found = gpu_readings(telemetry, 4 * S, 6 * S)
    assert found["gpu_energy_j"] == pytest.approx(300.0)
    assert found["gpu_power_w"] == pytest.approx(150.0)
    del telemetry[key("gpu0_energy_j")]
    found = gpu_readings(telemetry, 4 * S, 6 * S)
    assert found["gpu_energy_j"] is None
    assert 300 < found["gpu_power_w"] < 600


def test_memory_is_the_windows_own_peak() -> None:
    assert gpu_readings(MEMORY, 1 * S, 3 * S)["gpu_memory_mib"] == 800
    assert gpu_readings(MEMORY, 4 * S, 5 * S)["gpu_memory_mib"] == 800  # in force when it began
    assert gpu_readings(MEMORY, 5 * S, 6 * S)["gpu_memory_mib"] == 200
    assert gpu_readings(MEMORY, 5 * S, 6 * S)["gpu_memory_scope"] == "process"


def test_without_process_memory_the_device_less_its_baseline_stands_in() -> None:
    only = {key("gpu0_device_bytes"): MEMORY[key("gpu0_device_bytes")]}
    found = gpu_readings(only, 1 * S, 3 * S)
    assert (found["gpu_memory_mib"], found["gpu_memory_scope"]) == (800, "device")
    assert gpu_stages(only, {"baseline": S // 2, "warm": 2 * S}) == {
        "baseline": {"peak_mib": 0, "held_mib": 0}, "warm": {"peak_mib": 800, "held_mib": 800},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("counted", "agrees"),
    [(100, True), (112, True), (113, True), (114, False), (87, True), (86, False)],
)
def test_counts_may_differ_by_what_was_answered_while_they_were_read(
    counted: int, agrees: bool
) -> None:
    """An answer a millisecond; the window's ends are in the middle of reads of 24 ms and 0."""
    done = np.arange(1, 200, dtype=np.int64) * 1_000_000
    zeros = np.zeros(len(done))
    samples = Samples(
        done, done - 500_000, done, zeros.astype(np.uint8), zeros.astype(np.uint16)
    )  # fmt: skip
    begin, end = 20_250_000, 120_250_000
    window = Window(begin, end, False, {"count": 0.0}, {}, reads_ns=(
        (begin - 12_000_000, begin + 12_000_000), (end, end),
    ))  # fmt: skip
    assert (not list(_server_count(window, Split(counted), samples))) is agrees
