"""Readings of a window: what a row says of host and GPU."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.readings import MIB, foreign_share, gpu_readings, gpu_spreads, host_readings
from harness.results.series import SeriesKey, TelemetrySeries

key = SeriesKey.parse
S = 1_000_000_000


def series(*pairs: tuple[float, float]) -> TelemetrySeries:
    seconds, values = zip(*pairs, strict=True)
    return TelemetrySeries((np.array(seconds) * S).astype(np.int64), np.array(values, float))


def test_the_host_in_the_window_alone() -> None:
    telemetry = {
        key("host_bytes"): series((0, 90 * MIB), (0.5, 30 * MIB), (2, 40 * MIB), (5, 99 * MIB)),
        key("tree_cpu_s"): series((0, 0.0), (1, 10.0), (3, 15.0), (5, 90.0)),
    }
    found = host_readings(telemetry, 1 * S, 3 * S)
    assert found["host_memory_mib"] == 40
    assert found["cpu_percent"] == pytest.approx(250)  # 5 s of CPU in 2 s
    assert found["cpu_cores"] == pytest.approx(2.5)


def test_what_was_not_read_is_not_known() -> None:
    assert set(host_readings({}, 0, S).values()) == {None}
    assert foreign_share({}, 0, S, 4) is None
    assert gpu_readings({}, 0, S) == {}
    assert gpu_spreads({}, 0, S) == {}


def test_what_others_used_is_the_machines_less_the_runs() -> None:
    telemetry = {
        key("machine_cpu_s"): series((0, 0.0), (2, 5.0)),
        key("run_cpu_s"): series((0, 0.0), (2, 3.0)),
    }
    assert foreign_share(telemetry, 0, 2 * S, 4) == pytest.approx(0.25)  # 1 s a second of 4
    more = {key("machine_cpu_s"): series((0, 0.0), (2, 1.0)), key("run_cpu_s"): telemetry[
        key("run_cpu_s")]}  # fmt: skip
    assert foreign_share(more, 0, 2 * S, 4) == 0.0  # never below nothing


def test_of_two_hosts_the_busier_one_counts() -> None:
    there = {key("server_foreign_s"): series((0, 0.0), (2, 0.6))}
    assert foreign_share(there, 0, 2 * S, 4) == pytest.approx(0.3)


def test_power_is_the_energy_over_the_window() -> None:
    telemetry = {
        key("gpu0_device_bytes"): series((0, 100 * MIB), (1, 600 * MIB)),
        key("gpu0_process_bytes"): series((0, 0.0), (1, 400 * MIB)),
        key("gpu0_energy_j"): series((0, 0.0), (1, 100.0), (3, 300.0), (4, 900.0)),
        key("gpu0_power_w"): series((0, 1.0), (4, 1.0)),
    }
    found = gpu_readings(telemetry, 1 * S, 3 * S)
    assert (found["gpu_memory_mib"], found["gpu_memory_scope"]) == (400, "process")
    assert found["gpu_power_w"] == pytest.approx(100)
    assert found["gpu_energy_j"] == pytest.approx(200)
