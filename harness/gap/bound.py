"""What bounds the throughput of a point on a GPU: enqueueing, copies, computing or the client.

`trtexec` warns where enqueueing or copies take longer than computing. Here the whole cycle of a
caller, from one request to its next (Little's law: callers / throughput, doi:10.1287/opre.9.3.383),
is cut into the parts that CUDA events time, each with its waiting, and what is left, the client:
in a closed loop requests wait where throughput is bound. The gaps in which the GPU waits for the
host lie between kernels, so computing counts as enqueueing where that takes most of it, as for the
flag `host_bound`; and where one thread serves all callers, what a caller waits for it is enqueueing
by the share of its time that the thread spends so. A part is named where it leads the second over
the rounds, by Student's t at 95 % for all comparisons together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.analysis.intervals import Interval, t_quantile
from harness.analysis.summary import SummaryRow
from harness.gap.parts import t_interval
from harness.measure.gpu_time import HOST_BOUND_SHARE
from harness.results.rows import MeasurementRow

PARTS = {
    "enqueue": "enqueueing on the host", "h2d": "input copies", "compute": "computing",
    "d2h": "output copies", "client": "the client between requests",
}  # fmt: skip
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Bound:
    """The parts of a caller's cycle."""

    name: str
    """Of the part that leads; empty where none is shown to."""
    cycle_ms: float
    shares: Mapping[str, Interval]
    """Of the cycle, the largest first; they add up to 1."""
    timed: int
    """Requests whose parts were timed."""
    callers: int

    @property
    def words(self) -> str:
        """What a person should read of it."""
        first, second, *_ = self.shares
        said = ", ".join(f"{PARTS[p]} {_percent(s)}" for p, s in self.shares.items())
        head = (
            f"Throughput is bound by {PARTS[self.name]}" if self.name else
            f"What bounds throughput can't be told: {PARTS[first]} or {PARTS[second]}"
        )  # fmt: skip
        alone = " One caller: the parts follow one another." if self.callers == 1 else ""
        return (
            f"{head}. Of the {self.cycle_ms:.3g} ms from a caller's request to its next: {said} "
            f"(CUDA events, {self.timed} requests).{alone}"
        )


def _percent(share: Interval) -> str:
    if share.low is None or share.high is None:
        return f"{share.value:z.0%}"
    return f"{share.value:z.0%} [{share.low:z.0%}, {share.high:z.0%}]"


def bound_of(row: SummaryRow) -> Bound | None:
    """None where no parts were timed, or the load is not a closed loop."""
    rounds = [one for m in row.measurements if (one := round_shares(m)) is not None]
    if not rounds or len(rounds) < len(row.measurements):
        return None
    found = {name: t_interval([each[name] for each in rounds]) for name in PARTS}
    shares = dict(sorted(found.items(), key=lambda item: -item[1].value))
    first, second, *_ = shares
    lead = _lowest([each[first] - each[second] for each in rounds])
    cycle = t_interval([_cycle_us(m) for m in row.measurements]).value / 1e3
    timed = sum(int(m.details["gpu_time"]["count"]) for m in row.measurements)
    return Bound(first if lead > 0 else "", cycle, shares, timed, row.concurrency or 0)


def _lowest(leads: list[float]) -> float:
    """The lower end of the mean's interval; below 0 where there is one round."""
    found = t_interval(leads)
    if found.low is None:
        return -1.0
    half = found.value - found.low
    wider = t_quantile(1 - LEVEL / 2 / (len(PARTS) - 1), len(leads) - 1)
    return found.value - half * wider / t_quantile(1 - LEVEL / 2, len(leads) - 1)


def _cycle_us(row: MeasurementRow) -> float:
    return 1e6 * (row.concurrency or 0) * row.batch_size / row.throughput


def round_shares(row: MeasurementRow) -> dict[str, float] | None:
    """Part → its share of a caller's cycle in one round."""
    times = row.details.get("gpu_time")
    if times is None or not row.concurrency or not row.throughput:
        return None
    cycle = _cycle_us(row)
    h2d, compute, d2h = (times[part] / cycle for part in ("h2d_us", "compute_us", "d2h_us"))
    client = 1 - h2d - compute - d2h
    launching = times.get("launching", 0.0) * client
    held = compute if times["enqueue_us"] > HOST_BOUND_SHARE * times["compute_us"] else 0.0
    return {"enqueue": held + launching, "h2d": h2d, "compute": compute - held, "d2h": d2h,
            "client": client - launching}  # fmt: skip
