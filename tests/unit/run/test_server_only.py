"""A server before it loads a model, from telemetry."""

from __future__ import annotations

import numpy as np
import pytest

from harness.results.rows import ServerOnlyRow
from harness.results.series import SeriesKey, TelemetrySeries
from harness.run.session.loading import server_only_row

key = SeriesKey.parse

MIB = 2**20
S = 1_000_000_000


def series(*pairs: tuple[float, float]) -> TelemetrySeries:
    seconds, values = zip(*pairs, strict=True)
    return TelemetrySeries((np.array(seconds) * S).astype(np.int64), np.array(values, float))


HOST = {
    key("host_bytes"): series((0, 0.0), (1, 30 * MIB), (1.5, 40 * MIB), (3, 900 * MIB)),
    key("tree_cpu_s"): series((0, 0.0), (1, 2.0), (2, 2.1), (3, 9.0)),
}


def test_only_its_own_second_counts() -> None:
    row = server_only_row("t", 0, HOST, (1 * S, 2 * S))
    assert (row.host_memory_mib, row.seconds) == (40, 1)
    assert row.cpu_percent == pytest.approx(10)
    assert (row.gpu_memory_mib, row.gpu_memory_scope) == (None, "")
    assert ServerOnlyRow.from_event(row.to_event()) == row


def test_on_a_gpu_the_device_before_the_server_is_the_baseline() -> None:
    gpu = {
        key("gpu0_device_bytes"): series((0, 100 * MIB), (1, 600 * MIB), (3, 9000 * MIB)),
        key("gpu0_process_bytes"): series((0, 0.0), (3, 8000 * MIB)),
        key("gpu0_utilization_percent"): series((0, 0.0), (1.2, 3.0), (3, 90.0)),
        key("gpu0_energy_j"): series((0, 0.0), (1, 100.0), (2, 180.0), (3, 900.0)),
    }
    row = server_only_row("t", 0, {**HOST, **gpu}, (1 * S, 2 * S))
    assert (row.gpu_memory_mib, row.gpu_memory_scope) == (500, "device")
    assert row.gpu_power_w == pytest.approx(80)
    assert row.gpu_utilization_percent == pytest.approx(1.5)
