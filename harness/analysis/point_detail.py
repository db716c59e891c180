"""Everything about one point: what its raw samples say beyond the summary, a round at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.analysis import tails
from harness.analysis.metrics import counts_of
from harness.analysis.summary import SummaryRow
from harness.errors import RunDirectoryError
from harness.measure.quantiles import percentile
from harness.measure.reduce import in_window
from harness.measure.steady import Steadiness, window_steadiness
from harness.results.rows import MeasurementRow
from harness.results.samples import OK, SHED, UNFINISHED, Samples
from harness.scenario.units import format_duration
from harness.system.files import inside

BINS = 120
"""Stretches that a timeline is cut into."""
TAIL_QUANTILES = (0.99, 0.995, 0.999, 0.9995, 0.9999)
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LatencyTimeline:
    """Latency over time, all requests from the first to the last; arrays of shape (bins,).

    A request belongs to the stretch in which it was due (open loop) or finished (closed loop). A
    stretch without a request that succeeded is nan.
    """

    seconds: Float64
    """Middle of the stretch; 0 is where the window begins, what is below is warm-up."""
    p50_ms: Float64
    worst_ms: Float64
    failed: NDArray[np.int64]
    window_s: float
    """Where the window ends."""


@dataclass(frozen=True, slots=True)
class Slip:
    """Open loop, requests due in the window that were sent: how late, and how long from then on."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    service_p50_ms: float
    service_p99_ms: float


@dataclass(frozen=True, slots=True)
class RoundDetail:
    """One round of a point; None where the samples are not there."""

    row: MeasurementRow
    timeline: LatencyTimeline | None = None
    latency_ms: Float64 | None = None
    """Of the window's requests that succeeded, ascending."""
    failed: int = 0
    steady: Steadiness | None = None
    cut_s: float | None = None
    """Where in the window MSER-5 would have begun it, in seconds; 0 is where it begins."""
    slip: Slip | None = None

    def share_below(self) -> tuple[Float64, Float64]:
        """The empirical distribution thinned to about 200 steps: (ms, share of all requests)."""
        if self.latency_ms is None or not self.latency_ms.size:
            return np.empty(0), np.empty(0)
        n = len(self.latency_ms)
        ranks = np.unique(
            np.clip(np.rint(np.r_[np.linspace(0, 1, 180), TAIL_QUANTILES] * n), 1, n).astype(int)
        )
        return self.latency_ms[ranks - 1], ranks / (n + self.failed)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A point's summary and its rounds in detail."""

    summary: SummaryRow
    rounds: tuple[RoundDetail, ...]

    @property
    def open_loop(self) -> bool:
        """Whether latency counts from the schedule."""
        return self.summary.concurrency is None

    @property
    def few_episodes(self) -> str:
        """On what p99 rests, and the window it would need; empty where that is enough."""
        rows = self.summary.measurements
        counts = [c for r in rows if (c := counts_of(r)) is not None]
        seconds = [(r.window_end_ns - r.window_begin_ns) / 1e9 for r in rows]
        window = (
            tails.window_for_p99(counts, seconds, len(rows)) if len(counts) == len(rows) else None
        )
        found = tails.episodes_over_rounds("p99", counts)
        if window is None or found is None or found >= tails.PLAIN_EPISODES:
            return ""
        only = ", a lower bound only" if len(rows) > 1 and tails.bound_only("p99", counts) else ""
        return (
            f"p99 rests on about {found:.0f} slow stretches over all rounds{only}; "
            f"{tails.PLAIN_EPISODES:.0f} take a window of {format_duration(math.ceil(window))}"
        )


def explain(summary: SummaryRow, directory: Path) -> Explanation:
    """Read a point's samples from the run directory; rounds whose file is missing stay bare."""
    rounds = [_round(row, directory) for row in summary.every]
    return Explanation(summary, tuple(rounds))


def _round(row: MeasurementRow, directory: Path) -> RoundDetail:
    from harness.results.samples import read_samples

    path = inside(directory, row.samples)
    if path is None or not path.is_file():
        return RoundDetail(row)
    try:
        samples = read_samples(path)
    except RunDirectoryError:  # damaged: `RunData.damaged_files` says so
        return RoundDetail(row)
    return detail(row, samples)


def detail(row: MeasurementRow, samples: Samples) -> RoundDetail:
    """What a round's samples say."""
    begin, end = row.window_begin_ns, row.window_end_ns
    open_loop = row.concurrency is None
    mask = in_window(samples, begin, end, open_loop)
    good = mask & (samples.status == OK)
    steady = window_steadiness(samples, begin, end)
    return RoundDetail(
        row, timeline(samples, begin, end, open_loop),
        np.sort(samples.done[good] - samples.scheduled[good]) / 1e6,
        int(mask.sum() - good.sum()), steady, _cut(samples, begin, end, steady),
        slip(samples, mask) if open_loop else None,
    )  # fmt: skip


def _cut(samples: Samples, begin: int, end: int, steady: Steadiness) -> float | None:
    if steady.shift is None:
        return None
    inside = (samples.done > begin) & (samples.done <= end) & (samples.status == OK)
    done = samples.done[inside]
    return float(done[steady.truncation - 1] - begin) / 1e9 if steady.truncation else 0.0


def timeline(samples: Samples, begin_ns: int, end_ns: int, open_loop: bool) -> LatencyTimeline:
    """Cut the time from the first request to the last into `BINS` stretches."""
    moment = samples.scheduled if open_loop else samples.done
    first = min(int(samples.scheduled.min(initial=begin_ns)), begin_ns)
    last = max(int(moment.max(initial=end_ns)), end_ns)
    edges = np.linspace(first, last, BINS + 1)
    place = np.clip(np.searchsorted(edges, moment, "right") - 1, 0, BINS - 1)
    ok = samples.status == OK
    latency = (samples.done - samples.scheduled) / 1e6
    median, worst = np.full(BINS, np.nan), np.full(BINS, np.nan)
    order = np.lexsort((latency[ok], place[ok]))
    places, sorted_ms = place[ok][order], latency[ok][order]
    bounds = np.searchsorted(places, np.arange(BINS + 1))
    filled = bounds[1:] > bounds[:-1]
    middle = bounds[:-1] + (bounds[1:] - bounds[:-1] - 1) // 2  # nearest rank, as everywhere
    median[filled] = sorted_ms[middle[filled]]
    worst[filled] = sorted_ms[bounds[1:][filled] - 1]
    return LatencyTimeline(
        ((edges[1:] + edges[:-1]) / 2 - begin_ns) / 1e9, median, worst,
        np.bincount(place[~ok], minlength=BINS).astype(np.int64), (end_ns - begin_ns) / 1e9,
    )  # fmt: skip


def slip(samples: Samples, window: NDArray[np.bool_]) -> Slip | None:
    """Slip and service times of the window's requests; None when none was sent."""
    sent = window & (samples.status != SHED) & (samples.status != UNFINISHED)
    if not sent.any():
        return None
    late = np.sort(samples.sent[sent] - samples.scheduled[sent])
    good = sent & (samples.status == OK)
    service = np.sort(samples.done[good] - samples.sent[good])
    failures = int(sent.sum() - good.sum())
    return Slip(
        percentile(late, 0, 0.5) / 1e6, percentile(late, 0, 0.99) / 1e6, float(late[-1]) / 1e6,
        percentile(service, failures, 0.5) / 1e6, percentile(service, failures, 0.99) / 1e6,
    )  # fmt: skip


def histogram(rounds: Sequence[RoundDetail], bins: int) -> tuple[Float64, NDArray[np.int64]]:
    """Counts of all rounds' latencies in `bins` equal ratios: (edges in ms, counts)."""
    found = [r.latency_ms for r in rounds if r.latency_ms is not None and r.latency_ms.size]
    if not found:
        return np.empty(0), np.empty(0, np.int64)
    values = np.maximum(np.concatenate(found), 1e-6)
    low, high = float(values.min()), float(values.max())
    edges = np.geomspace(low, max(high, low * 1.001), bins + 1)
    edges[0], edges[-1] = low, max(high, edges[-1])
    return edges, np.histogram(values, edges)[0].astype(np.int64)
