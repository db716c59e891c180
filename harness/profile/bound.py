"""What a profiled model waits for, decided over its requests, with the evidence in words.

The largest part of the time gives the name, if it leads the second over the requests: the interval
of the difference of both shares (Student's t over requests, 95 % together over the comparisons
with the other parts, Bonferroni) must lie above 0. Otherwise the kind is `mixed`. The requests of
one process are the replicates: the interval says nothing of other processes or machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.analysis.intervals import t_quantile
from harness.profile.result import PART_WORDS, PARTS, Bound, Gpu, Row
from harness.profile.split import Roof
from harness.scenario.wording import signed

LEVEL = 0.05
KINDS = {"launch": "launch-bound", "copies": "copy-bound", "compute": "compute-bound",
         "memory": "memory-bound", "other": "unknown"}  # fmt: skip
NEAR = 0.3
"""Below this share of its ceiling an operator does not wait for it: its kernels are the reason."""


def judge(
    parts: Mapping[str, Sequence[float]], rows: Sequence[Row], roof: Roof | None, gpu: Gpu | None
) -> Bound:
    """The kind, its lead over the second part, and the words."""
    walls = np.asarray(parts["wall"], np.float64)
    shares = {p: np.asarray(parts[p], np.float64) / walls for p in PARTS}
    means = {p: float(s.mean()) for p, s in shares.items()}
    first, second = sorted(PARTS, key=lambda p: -means[p])[:2]
    low, high = _lead(shares[first] - shares[second])
    kind = KINDS[first] if low > 0 else "mixed"
    used = utilisation(rows, roof, first)
    words = _words(kind, means, (first, second), (low, high), len(walls), used, rows, roof)
    evidence = _gpu_words(gpu) if gpu else _cpu_words(parts, rows, roof)
    return Bound(kind, means, second, low, high, used, f"{words} {evidence}".strip())


def _lead(difference: np.ndarray) -> tuple[float, float]:
    """Its interval; without end where there is one request."""
    count = len(difference)
    if count < 2:
        return -1.0, 1.0
    share = 1 - LEVEL / (2 * (len(PARTS) - 1))
    error = float(difference.std(ddof=1)) / count**0.5
    half = t_quantile(share, count - 1) * error
    mean = float(difference.mean())
    return mean - half, mean + half


def utilisation(rows: Sequence[Row], roof: Roof | None, side: str) -> float | None:
    """Of the operators on a side: their time at its ceiling over their time."""
    mine = [r for r in rows if r.side == side]
    taken = sum(r.us for r in mine)
    if roof is None or side not in ("compute", "memory") or not taken:
        return None
    return sum(roof.least_us(r.flop, r.bytes)[side == "memory"] for r in mine) / taken


# ----------------------------------------------------------------------------------------- words


def _words(
    kind: str, means: Mapping[str, float], both: tuple[str, str], lead: tuple[float, float],
    requests: int, used: float | None, rows: Sequence[Row], roof: Roof | None,
) -> str:  # fmt: skip
    first, second = both
    said = f"{PART_WORDS[first]} take {means[first]:.0%} of a request"
    if kind == "mixed":
        return (
            f"Mixed: {said}, {PART_WORDS[second]} {means[second]:.0%}; over {requests} requests "
            f"the lead is {lead_text(*lead)}, so neither is the one."
        )
    head = f"{kind[0].upper()}{kind[1:]}: {said}, {PART_WORDS[second]} {means[second]:.0%}."
    return f"{head} {_reached(first, used, rows, roof)}".strip()


def lead_text(low: float, high: float) -> str:
    """`−11.5% to +14.2%`."""
    return f"{signed(low, '.1%')} to {signed(high, '.1%')}"


def _reached(side: str, used: float | None, rows: Sequence[Row], roof: Roof | None) -> str:
    """What the operators of a side reach of their ceiling."""
    if used is None or roof is None:
        return ""
    seconds = sum(r.us for r in rows if r.side == side) / 1e6
    amount = sum((r.flop if side == "compute" else r.bytes) or 0.0 for r in rows if r.side == side)
    ceiling, unit = (roof.gemm, "FLOP/s") if side == "compute" else (roof.copy, "B/s")
    said = (
        f"They reach {scaled(amount / seconds)}{unit}, {used:.0%} of the {scaled(ceiling)}{unit} "
        "measured here"
    )
    near = used >= NEAR
    return f"{said}." if near else f"{said}: the kernels hold them back, not the ceiling."


def _gpu_words(gpu: Gpu) -> str:
    return (
        f"The GPU is busy {gpu.busy:.0%} of the time: {gpu.kernels:,.0f} kernels a request of "
        f"{gpu.kernel_us:,.1f} µs on average, against {gpu.gaps:,.0f} gaps of "
        f"{gpu.gap_us:,.1f} µs; in {gpu.waiting:.0%} of the idle time the host had not launched "
        "the next one yet."
    )


def _cpu_words(parts: Mapping[str, Sequence[float]], rows: Sequence[Row], roof: Roof | None) -> str:
    calls = sum(r.calls for r in rows)
    outside = float(np.mean(np.divide(parts["waiting"], parts["wall"])))
    floor = "" if roof is None else f"; one that does nothing takes {roof.floor_us:.1f} µs"
    return (
        f"{calls:,.0f} operators a request of {sum(r.us for r in rows) / max(1.0, calls):,.1f} µs "
        f"on average{floor}; {outside:.0%} of the time is outside of all."
    )


def scaled(value: float) -> str:
    """A rate with its prefix: `51.3 T`, ready for a unit."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "
