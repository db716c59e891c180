"""Validity on a GPU: were its clocks held back, did they wander, did others use it.

Thresholds are starting values. The bits are NVML's `nvmlClocksEventReasons`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from harness.measure.gpu_time import HOST_BOUND_SHARE
from harness.measure.validity import Finding
from harness.results.details import GpuTimes
from harness.results.series import Quantity, Readings, TelemetrySeries, each

EVENTS = {
    0x1: "idle", 0x2: "clocks set by an application", 0x4: "power cap", 0x8: "hardware slowdown",
    0x10: "sync boost", 0x20: "software thermal limit", 0x40: "hardware thermal limit",
    0x80: "power brake", 0x100: "display clocks",
}  # fmt: skip
HELD_BACK = 0x8 | 0x20 | 0x40 | 0x80
"""The events that make a GPU slower than it is under a steady full load. That it is then at its
power cap is how it works."""
POWER_CAP = 0x4
THROTTLED_SHARE = 0.01
FOREIGN_SHARE = 0.01
CLOCK_SPREAD = 0.05
"""How far apart the 5th and 95th percentile of the SM clock may lie, of the median."""
BUSY_READINGS = 5


def event_names(bits: int) -> list[str]:
    """What the bits say, in words; unknown bits as a number."""
    names = [words for bit, words in EVENTS.items() if bits & bit]
    rest = bits & ~sum(EVENTS)
    return [*names, *([f"unknown event {rest:#x}"] if rest else [])]


def check_gpu(telemetry: Readings, begin_ns: int, end_ns: int) -> Iterator[Finding]:
    """The gates of one window, over the GPUs that were read."""
    caps = [float(s.value[-1]) for s in each(telemetry, Quantity.POWER_CAP_W)]
    for quantity, check in (
        (Quantity.CLOCK_EVENTS, partial(_held_back, caps)),
        (Quantity.SM_CLOCK_MHZ, _clock_spread),
        (Quantity.FOREIGN_PROCESSES, _foreign),
    ):
        for series in each(telemetry, quantity):
            yield from check(series.within(begin_ns, end_ns))


def _held_back(caps: Sequence[float], events: TelemetrySeries) -> Iterator[Finding]:
    bits = events.value.astype(np.int64)
    for flag, kinds in (("throttled", HELD_BACK), ("power_cap", POWER_CAP)):
        held = (bits & kinds) != 0
        if held.size and held.mean() > THROTTLED_SHARE:
            seen = ", ".join(event_names(int(np.bitwise_or.reduce(bits[held])) & kinds))
            if flag == "power_cap" and caps:
                seen += f" of {', '.join(f'{cap:.0f}' for cap in caps)} W"
            yield Finding(flag, f"{100 * held.mean():.0f} % of readings: {seen}")


def _clock_spread(clock: TelemetrySeries) -> Iterator[Finding]:
    """Judged by percentiles: the clock of the first reading may still be that of the warm-up."""
    if clock.value.size < BUSY_READINGS:
        return
    low, middle, high = np.percentile(clock.value, [5, 50, 95])
    if middle > 0 and (high - low) / middle > CLOCK_SPREAD:
        yield Finding("clock_spread", f"SM clock {low:.0f} to {high:.0f} MHz")


def _foreign(processes: TelemetrySeries) -> Iterator[Finding]:
    there = processes.value > 0
    if there.size and there.mean() > FOREIGN_SHARE:
        count = int(processes.value.max())
        yield Finding("foreign_gpu_process", f"{count} in {100 * there.mean():.0f} % of readings")


def check_host(
    times: GpuTimes | None, launching: float | None = None, helps: str = ""
) -> Iterator[Finding]:
    """Whether the GPU waited for the host, and what would help.

    `launching` is the share of its time that the one thread of all callers spent beginning
    requests, `helps` the setting that makes it less.
    """
    seen = ""
    if launching is not None and launching > HOST_BOUND_SHARE:
        seen = f"{100 * launching:.0f} % of the callers' one thread went into beginning requests"
    elif times is not None and times["enqueue_us"] > HOST_BOUND_SHARE * times["compute_us"]:
        enqueueing, computing = times["enqueue_us"], times["compute_us"]
        seen = f"enqueueing {enqueueing:.0f} µs, computing {computing:.0f} µs"
        seen += f" (limit {100 * HOST_BOUND_SHARE:.0f} %)"
    if seen:
        yield Finding(
            "host_bound", f"{seen}; {f'`{helps}`' if helps else 'a larger batch'} would help"
        )


def joules_per_inference(energy_j: float | None, throughput: float, seconds: float) -> float | None:
    """Energy of a window by its inferences; None without an energy counter or inferences."""
    done = throughput * seconds
    return energy_j / done if energy_j is not None and done > 0 else None
