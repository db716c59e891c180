"""The latencies of a window as its row keeps them: counted in bins, in five stretches of it.

Rounds are put together from these counts, whoever reads the run directory and whenever, without
the samples. A bin is 0.1 % wide, so what is read from it is right to 0.05 %.
"""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.measure.quantiles import NS_PER_MS, percentiles
from harness.measure.reduce import in_window
from harness.measure.tail import episodes
from harness.results.details import LatencyCounts, MeasurementDetails, unpacked
from harness.results.samples import OK, Samples

BLOCKS = 5
PER_E = 1000
"""Bins to each factor of e."""
Counts = NDArray[np.int64]


def latency_counts(
    samples: Samples, begin_ns: int, end_ns: int, open_loop: bool
) -> MeasurementDetails:
    """What a row's details keep of a window's latencies; nothing where no request succeeded."""
    mask = in_window(samples, begin_ns, end_ns, open_loop)
    order = np.argsort((samples.scheduled if open_loop else samples.done)[mask], kind="stable")
    latency = (samples.done - samples.scheduled)[mask][order]
    found = counts_of(latency, (samples.status[mask] != OK)[order])
    return {} if found is None else {"latency_counts": found}


def counts_of(latency_ns: NDArray[np.int64], failed: NDArray[np.bool_]) -> LatencyCounts | None:
    """Of latencies in order of time, both arrays of shape (requests,)."""
    block = np.arange(len(latency_ns)) * BLOCKS // max(1, len(latency_ns))
    good = ~failed
    if not good.any():
        return None
    bins = np.floor(PER_E * np.log(np.maximum(latency_ns[good], 1))).astype(int)
    first, width = int(bins.min()), int(np.ptp(bins)) + 1
    cells = np.bincount(block[good] * width + bins - first, minlength=BLOCKS * width)
    values = percentiles(latency_ns, failed)
    tails = {
        name: episodes(failed | (latency_ns >= round(ms * NS_PER_MS)))
        for name, ms in values.items()
        if ms is not None and math.isfinite(ms)
    }
    return {
        "first": first, "episodes": tails,
        "counts": base64.b64encode(zlib.compress(cells.astype("<i4").tobytes(), 4)).decode(),
        "failed": np.bincount(block[failed], minlength=BLOCKS).tolist(),
    }  # fmt: skip


def stretch_means_ns(found: LatencyCounts) -> NDArray[np.float64]:
    """Mean latency of the successful requests of each of the window's stretches, in order; 0 where
    there is none.
    """
    cells = unpacked(found["counts"], len(found["failed"]))
    latency_ns = np.exp((found["first"] + np.arange(cells.shape[1]) + 0.5) / PER_E)
    return np.asarray(cells @ latency_ns / np.maximum(cells.sum(axis=1), 1))


@dataclass(frozen=True)
class Pooled:
    """The windows of some rounds put together."""

    first: int
    counts: Counts
    """Shape (blocks, bins): the stretches of all rounds."""
    failed: Counts
    """Shape (blocks,)."""

    @classmethod
    @lru_cache(maxsize=512)
    def of(cls, rounds: tuple[tuple[int, str, tuple[int, ...]], ...]) -> Pooled:
        """From (first, counts, failed) of each round's `LatencyCounts`."""
        parts = [(first, unpacked(text, len(failed))) for first, text, failed in rounds]
        low = min(first for first, _ in parts)
        width = max(first + cells.shape[1] for first, cells in parts) - low
        counts = [np.zeros((len(cells), width), np.int64) for _, cells in parts]
        for (first, cells), wide in zip(parts, counts, strict=True):
            wide[:, first - low : first - low + cells.shape[1]] = cells
        return cls(low, np.concatenate(counts), np.concatenate([failed for *_, failed in rounds]))

    @cached_property
    def _cumulative(self) -> tuple[Counts, Counts, Counts]:
        """Of all requests, then without each block: how many there are with the failed ones, shape
        (1 + blocks,); those up to each bin, a row after the other and so shifted that they ascend
        all along, shape ((1 + blocks) · bins,); and by how much, shape (1 + blocks,).
        """
        every, failed = self.counts.sum(0, keepdims=True), self.failed.sum(keepdims=True)
        up_to = np.concatenate([every, every - self.counts]).cumsum(axis=1)
        requests = up_to[:, -1] + np.concatenate([failed, failed - self.failed])
        shift = np.arange(len(up_to)) * (requests[0] + 1)
        return requests, (up_to + shift[:, None]).ravel(), shift

    def quantiles_ns(self, q: float) -> NDArray[np.float64]:
        """Nearest rank over all requests, then with each of the blocks left out, shape
        (1 + blocks,); `inf` where it falls among the failures.
        """
        (requests, ascending, shift), bins = self._cumulative, self.counts.shape[1]
        rank = np.ceil(q * requests - 1e-9).astype(np.int64)
        place = np.searchsorted(ascending, rank + shift) - np.arange(len(requests)) * bins
        return np.where(place < bins, np.exp((self.first + place + 0.5) / PER_E), np.inf)

    def beyond(self, limit_ms: float) -> tuple[Counts, Counts, Counts]:
        """Of each block: requests that were surely slower or failed, those that may have been
        (their bin holds the limit), and all.
        """
        place = PER_E * math.log(max(limit_ms * NS_PER_MS, 1e-9)) - self.first
        surely = max(0, math.ceil(place))
        total = self.counts.sum(axis=1) + self.failed
        sure = self.counts[:, surely:].sum(axis=1) + self.failed
        maybe = self.counts[:, max(0, math.floor(place)) :].sum(axis=1) + self.failed
        return sure, maybe, total
