"""From telemetry to the readings of a row."""

import numpy as np
import pytest

from harness.measure.readings import gpu_readings, gpu_spreads, host_readings
from harness.results.series import Series

MIB = 2**20
S = 10**9


def series(*values, every_s=1.0):
    t_ns = (np.arange(len(values)) * every_s * S).astype(np.int64)
    return Series(t_ns, np.array(values, float))


def test_a_hosts_memory_is_its_peak_and_cpu_its_growth_over_the_window():
    found = host_readings(
        {
            "host_bytes": series(9 * MIB, 2 * MIB, 5 * MIB, 3 * MIB, 8 * MIB),
            "tree_cpu_s": series(0, 1, 1.5, 2, 9), "run_cpu_s": series(0, 1, 2, 3, 9),
            "machine_cpu_s": series(0, 4, 6, 8, 9),
        },
        1 * S + 1, 3 * S, 4,
    )  # fmt: skip
    assert found["host_memory_mib"] == 5.0
    assert found["cpu_percent"] == pytest.approx(50.0)
    assert found["foreign_share"] == pytest.approx((2 - 1) / 4)


def test_what_was_not_read_is_not_known():
    unknown = {"host_memory_mib": None, "cpu_percent": None, "foreign_share": None}
    assert host_readings({}, 0, S, 4) == unknown
    less = {"run_cpu_s": series(0, 2), "machine_cpu_s": series(0, 1)}
    assert host_readings(less, 0, S, 4)["foreign_share"] == 0.0


def test_others_on_the_servers_own_host_count_where_they_are_more():
    telemetry = {"server_foreign_s": series(0, 0.4), "run_cpu_s": series(0, 1),
                 "machine_cpu_s": series(0, 3)}  # fmt: skip
    assert host_readings(telemetry, 0, S, 4)["foreign_share"] == pytest.approx(0.5)
    assert host_readings(telemetry, 0, S, 20)["foreign_share"] == pytest.approx(0.4)


GPU = {
    "gpu0_device_bytes": series(100 * MIB, 150 * MIB, 160 * MIB),
    "gpu0_process_bytes": series(0, 0, 0),
    "gpu0_utilization_percent": series(0, 50, 70), "gpu0_power_w": series(10, 20, 30),
}  # fmt: skip


def test_gpu_memory_is_the_processes_or_what_the_device_gained():
    found = gpu_readings(GPU, S + 1, 3 * S)
    assert (found["gpu_memory_mib"], found["gpu_memory_scope"]) == (60.0, "device")
    mine = {**GPU, "gpu0_process_bytes": series(0, 30 * MIB, 40 * MIB)}
    found = gpu_readings(mine, S + 1, 3 * S)
    assert (found["gpu_memory_mib"], found["gpu_memory_scope"]) == (40.0, "process")
    assert gpu_readings({}, 0, S) == {}


def test_power_is_the_energys_growth_where_there_is_a_counter():
    polled = gpu_readings(GPU, S + 1, 3 * S)
    assert (polled["gpu_power_w"], polled["gpu_energy_j"]) == (25.0, None)
    counted = gpu_readings({**GPU, "gpu0_energy_j": series(0, 40, 100)}, S, 2 * S)
    assert counted["gpu_power_w"] == pytest.approx(60.0)
    assert counted["gpu_energy_j"] == pytest.approx(60.0)


def test_spreads_are_smallest_and_largest():
    telemetry = {"gpu0_sm_clock_mhz": series(1000, 1400, 1300), "sampler_cpu_s": series(0, 0.01)}
    found = gpu_spreads(telemetry, S + 1, 3 * S)
    assert found["gpu_sm_clock_mhz"] == [1300.0, 1400.0]
    assert "gpu_temperature_c" not in found
