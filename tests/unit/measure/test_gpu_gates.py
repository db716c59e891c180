from __future__ import annotations

import numpy as np
import pytest

from harness.measure.gpu_gates import (
    check_gpu,
    check_host,
    event_names,
    joules_per_inference,
)
from harness.measure.gpu_time import HOST_BOUND_SHARE
from harness.measure.validity import FLAGS, INVALIDATES, OUTSIDE
from harness.results.details import GpuTimes
from harness.results.series import SeriesKey, TelemetrySeries

key = SeriesKey.parse


def readings(values: list[float]) -> TelemetrySeries:
    return TelemetrySeries(np.arange(len(values), dtype=np.int64) * 10, np.array(values, float))


def flags(**series: list[float]) -> dict[str, str]:
    telemetry = {key(f"gpu0_{name}"): readings(values) for name, values in series.items()}
    longest = max(len(values) for values in series.values())
    return {f.flag: f.seen for f in check_gpu(telemetry, 0, longest * 10)}


def test_a_steady_gpu_of_our_own_passes() -> None:
    assert flags(
        clock_events=[0.0] * 99 + [1.0], sm_clock_mhz=[1980.0, 1965.0] * 50,
        foreign_processes=[0.0] * 100,
    ) == {}  # fmt: skip


def test_more_than_one_percent_throttled_readings() -> None:
    assert flags(clock_events=[8.0] + [0.0] * 99) == {}
    seen = flags(clock_events=[8.0, 0x48] + [0.0] * 98)
    assert seen == {"throttled": "2 % of readings: hardware slowdown, hardware thermal limit"}


def test_a_steady_full_load_is_at_the_power_cap_and_valid() -> None:
    seen = flags(clock_events=[4.0] * 90 + [0.0] * 10, power_cap_w=[700.0] * 100)
    assert seen == {"power_cap": "90 % of readings: power cap of 700 W"}
    assert set(seen).isdisjoint({*INVALIDATES, *OUTSIDE})
    hot = flags(clock_events=[4.0] * 50 + [0x44] * 50)
    assert hot == {
        "throttled": "50 % of readings: hardware thermal limit",
        "power_cap": "100 % of readings: power cap",
    }


@pytest.mark.parametrize("bits", [0x0, 0x1, 0x2, 0x10, 0x100])
def test_what_does_not_hold_the_clocks_back_is_no_throttling(bits: int) -> None:
    assert flags(clock_events=[float(bits)] * 50) == {}


def test_a_wandering_clock() -> None:
    assert "1200 to 1980 MHz" in flags(sm_clock_mhz=[1980.0] * 50 + [1200.0] * 50)["clock_spread"]
    assert flags(sm_clock_mhz=[345.0] + [1980.0] * 99) == {}  # one reading from before the load


def test_a_foreign_process() -> None:
    assert flags(foreign_processes=[0.0] * 99 + [1.0]) == {}
    assert "foreign_gpu_process" in flags(foreign_processes=[0.0] * 90 + [2.0] * 10)


def test_the_window_alone_counts() -> None:
    telemetry = {key("gpu0_clock_events"): readings([8.0] * 50 + [0.0] * 50)}
    assert list(check_gpu(telemetry, 505, 1000)) == []


def test_every_flag_is_explained() -> None:
    found = flags(
        clock_events=[12.0] * 50, sm_clock_mhz=[1980.0, 900.0] * 25, foreign_processes=[1.0] * 50
    )
    found |= {f.flag: f.seen for f in check_host(times(100, 95))}
    assert set(found) == {
        "throttled",
        "power_cap",
        "clock_spread",
        "foreign_gpu_process",
        "host_bound",
    }
    assert set(found) <= set(FLAGS)


def times(compute_us: float, enqueue_us: float) -> GpuTimes:
    return GpuTimes(h2d_us=1, compute_us=compute_us, d2h_us=1, enqueue_us=enqueue_us, count=7)


@pytest.mark.parametrize(("enqueue", "bound"), [
    (HOST_BOUND_SHARE * 100, False), (HOST_BOUND_SHARE * 100 + 0.1, True), (0.0, False),
])  # fmt: skip
def test_the_host_is_the_bound_from_four_fifths_on(enqueue: float, bound: bool) -> None:
    """Enqueueing then takes as long as computing."""
    assert bool(list(check_host(times(100.0, enqueue)))) is bound


def test_host_bound_needs_gpu_times() -> None:
    assert list(check_host(None)) == []
    assert list(check_host(times(100, 20))) == []


def test_event_bits_in_words() -> None:
    assert event_names(0x84) == ["power cap", "power brake"]
    assert event_names(0x1000) == ["unknown event 0x1000"]


def test_energy_by_inference() -> None:
    assert joules_per_inference(300.0, 1000.0, 2.0) == pytest.approx(0.15)
    assert joules_per_inference(None, 1000.0, 2.0) is None
    assert joules_per_inference(300.0, 0.0, 2.0) is None


def test_what_holds_the_gpu_back_comes_with_what_helps() -> None:
    slow, fast = times(100, 95), times(100, 20)
    (found,) = check_host(slow, None, "cuda_graphs: true")
    assert found.seen == (
        "enqueueing 95 µs, computing 100 µs (limit 80 %); `cuda_graphs: true` would help"
    )
    (found,) = check_host(fast, 0.93)
    assert found.flag == "host_bound"
    assert found.seen == (
        "93 % of the callers' one thread went into beginning requests; a larger batch would help"
    )
    assert list(check_host(fast, 0.79)) == []
