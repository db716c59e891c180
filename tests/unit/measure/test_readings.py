"""Readings of a window: what a row says of host and GPU, from telemetry series."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.readings import (
    MIB,
    CpuReadings,
    cpu_readings,
    gpu_readings,
    gpu_stages,
    host_readings,
    spreads,
)
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
    assert cpu_readings({}, 0, S) == CpuReadings(None, None, None)
    assert gpu_readings({}, 0, S) == {}
    assert spreads({}, 0, S) == {}


def foreign(cpus: int, **more: TelemetrySeries) -> float | None:
    known = {"machine_cpus": series((0, float(cpus))), **more}
    return cpu_readings({key(name): s for name, s in known.items()}, 0, 2 * S).foreign


def test_what_others_used_is_the_machines_less_the_runs() -> None:
    run = series((0, 0.0), (2, 3.0))
    busy, idle = series((0, 0.0), (2, 5.0)), series((0, 0.0), (2, 1.0))
    assert foreign(4, machine_cpu_s=busy, run_cpu_s=run) == pytest.approx(0.25)  # 1 of 4
    assert foreign(4, machine_cpu_s=idle, run_cpu_s=run) == 0.0  # never below nothing


def test_others_in_the_control_group_take_from_its_quota() -> None:
    """Half a CPU of 64 is nothing, of a quota of two it is a quarter."""
    known = {
        "run_cpu_s": series((0, 0.0), (2, 3.0)), "machine_cpu_s": series((0, 0.0), (2, 4.0)),
        "group_cpu_s": series((0, 0.0), (2, 4.0)),
    }  # fmt: skip
    assert foreign(64, **known) == pytest.approx(0.5 / 64)
    assert foreign(64, **known, group_cpus=series((0, 2.0))) == pytest.approx(0.25)


def test_stolen_time_is_a_share_of_what_was_wanted_and_throttling_of_the_periods() -> None:
    found = cpu_readings({
        key("machine_cpu_s"): series((0, 0.0), (2, 1.8)),
        key("machine_steal_s"): series((0, 5.0), (2, 5.2)),
        key("group_periods"): series((0, 100.0), (2, 120.0)),
        key("group_throttled"): series((0, 7.0), (2, 12.0)),
    }, 0, 2 * S)  # fmt: skip
    assert (found.stolen, found.throttled) == (pytest.approx(0.1), pytest.approx(0.25))


def test_of_two_hosts_the_busier_one_counts() -> None:
    there = {"server_foreign_s": series((0, 0.0), (2, 0.6))}
    assert foreign(4, **there) == pytest.approx(0.3)
    both = {
        **there, "machine_cpu_s": series((0, 0.0), (2, 6.0)),
        "run_cpu_s": series((0, 0.0), (2, 2.0)),
    }  # fmt: skip
    assert foreign(4, **both) == pytest.approx(0.5)
    assert foreign(20, **both) == pytest.approx(0.3)


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


def test_where_the_driver_hides_processes_the_device_stands_in_as_well() -> None:
    hidden = {
        key("gpu0_device_bytes"): series((0, 100 * MIB), (1, 150 * MIB), (2, 160 * MIB)),
        key("gpu0_process_bytes"): series((0, 0.0), (1, 0.0), (2, 0.0)),
    }
    found = gpu_readings(hidden, S + 1, 3 * S)
    assert (found["gpu_memory_mib"], found["gpu_memory_scope"]) == (60, "device")


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


def test_what_was_polled_is_averaged_where_a_gpu_counts_no_energy() -> None:
    telemetry = {
        key("gpu0_device_bytes"): series((0, 0.0)),
        key("gpu0_utilization_percent"): series((0, 0.0), (1, 50.0), (2, 70.0)),
        key("gpu0_power_w"): series((0, 10.0), (1, 20.0), (2, 30.0)),
    }
    found = gpu_readings(telemetry, S + 1, 3 * S)
    assert found["gpu_utilization_percent"] == pytest.approx(60)
    assert (found["gpu_power_w"], found["gpu_energy_j"]) == (pytest.approx(25), None)


def test_spreads_are_smallest_and_largest() -> None:
    telemetry = {
        key("gpu0_sm_clock_mhz"): series((0, 1000.0), (1, 1400.0), (2, 1300.0)),
        key("sampler_cpu_s"): series((0, 0.0), (1, 0.0), (3, 0.02)),
        key("cpu_mhz"): series((0, 2000.0), (1, 3500.0), (2, 2500.0)),
    }
    found = spreads(telemetry, S + 1, 3 * S)
    assert found["gpu_sm_clock_mhz"] == [1300, 1400]
    assert found["cpu_mhz"] == [2500, 3500]
    assert found["sampler_cpu_percent"] == pytest.approx(1)
    assert "gpu_temperature_c" not in found
