"""What a row keeps of its latencies is enough for the percentiles of several rounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.simulated_queue import samples_of

from harness.measure.distribution import Pooled, counts_of, latency_counts, stretch_means_ns
from harness.results.details import LatencyCounts
from harness.results.samples import ERROR, OK

RNG = np.random.default_rng(1)


def pooled(*rounds: LatencyCounts | None) -> Pooled:
    known = [json.loads(json.dumps(c)) for c in rounds if c is not None]
    return Pooled.of(tuple((c["first"], c["counts"], tuple(c["failed"])) for c in known))


def series(size: int, scale: float = 1e6) -> np.ndarray:
    return (scale * RNG.lognormal(0, 0.5, size)).astype(np.int64)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.999])
def test_the_quantile_of_all_requests_is_right_to_half_a_thousandth(q: float) -> None:
    rounds = [series(3001), series(977, 3e6), series(12, 1e8)]
    found = pooled(*(counts_of(r, np.zeros(len(r), bool)) for r in rounds))
    every = np.sort(np.concatenate(rounds))
    assert found.quantiles_ns(q)[0] == pytest.approx(
        every[int(np.ceil(q * len(every))) - 1], rel=5e-4
    )
    blocks = np.concatenate([np.arange(len(r)) * 5 // len(r) + 5 * i for i, r in enumerate(rounds)])
    latency = np.concatenate(rounds)
    for block, value in enumerate(found.quantiles_ns(q)[1:]):
        left = np.sort(latency[blocks != block])
        assert value == pytest.approx(left[int(np.ceil(q * len(left) - 1e-9)) - 1], rel=5e-4)


def test_failures_are_slower_than_everything() -> None:
    latency, failed = series(1000), np.arange(1000) < 20
    found = pooled(counts_of(latency, failed))
    assert np.isinf(found.quantiles_ns(0.99)[0])
    assert np.isfinite(found.quantiles_ns(0.98)[0])
    assert found.failed.tolist() == [20, 0, 0, 0, 0]
    sure, maybe, total = found.beyond(1e9)
    assert (sure.sum(), maybe.sum(), total.sum()) == (20, 20, 1000)
    assert counts_of(latency, np.ones(1000, bool)) is None


def test_of_a_limit_within_a_bin_both_counts_are_told() -> None:
    found = pooled(counts_of(np.full(100, 10_000_000), np.zeros(100, bool)))
    sure, maybe, _ = found.beyond(10.0)
    assert (sure.sum(), maybe.sum()) == (0, 100)
    assert [found.beyond(ms)[1].sum() for ms in (9.9, 10.02)] == [100, 0]


def test_it_is_the_windows_requests_in_order_of_time() -> None:
    scheduled = np.arange(100, dtype=np.int64) * 1000
    status = np.where(np.arange(100) == 60, ERROR, OK)
    samples = samples_of(scheduled, scheduled + np.arange(100) + 1, status=status)
    found = latency_counts(samples, 49_000, 10**9, open_loop=True)["latency_counts"]
    assert sum(found["failed"]) == 1
    assert found["failed"][1] == 1
    assert pooled(found).counts.sum() == 49


def test_a_journal_line_stays_small() -> None:
    found = counts_of(series(20_000), np.zeros(20_000, bool))
    assert len(json.dumps(found)) < 12_000


def test_the_mean_of_each_stretch_is_right_to_half_a_thousandth() -> None:
    latency = np.repeat([1e6, 2e6, 3e6, 2e6, 5e6], 100).astype(np.int64)
    found = counts_of(latency, np.zeros(500, bool))
    assert found is not None
    assert stretch_means_ns(found) == pytest.approx([1e6, 2e6, 3e6, 2e6, 5e6], rel=1e-3)
    none = counts_of(latency, np.arange(500) < 100)  # all of the first failed
    assert none is not None
    assert stretch_means_ns(none)[0] == 0
