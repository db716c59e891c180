"""Intervals of a monitor whose truth is known."""

from __future__ import annotations

from harness.monitor.rates import Interval, between
from harness.monitor.reading import Reading

ZERO = dict.fromkeys(
    ("count", "success_ns", "failures", "inferences", "executions", "queue_ns", "compute_input_ns",
     "compute_infer_ns", "compute_output_ns", "cache_hits", "cache_hit_ns", "cache_misses",
     "cache_miss_ns"), 0.0,
)  # fmt: skip
SOME = {
    **ZERO, "count": 10.0, "success_ns": 50e6, "failures": 4.0, "inferences": 40.0,
    "executions": 5.0, "queue_ns": 20e6, "compute_input_ns": 5e6, "compute_infer_ns": 20e6,
    "compute_output_ns": 5e6, "cache_hits": 2.0,
}  # fmt: skip


def reading(t: float, **models: dict[str, float]) -> Reading:
    """At `t` seconds, with these counters and three requests of `a` waiting."""
    return Reading(int(t * 1e9), 1e9 + t, models, pending={"a": 3.0})


def counted(begin: float, end: float, requests: int, failures: int = 0, batch: int = 1) -> Interval:
    """An interval in which the model `a` ended so many requests."""
    after = {
        **ZERO, "count": float(requests), "failures": float(failures),
        "inferences": float(requests * batch), "executions": float(requests),
    }  # fmt: skip
    return between(reading(begin, a=ZERO), reading(end, a=after))
