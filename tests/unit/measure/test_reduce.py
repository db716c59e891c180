"""Windows cut out of samples: throughput by shares, failures in the denominator."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.reduce import in_window, reduce, throughput
from harness.results.samples import ERROR, OK, Samples

MS = 1_000_000


def samples(sent: list[int], done: list[int], status: list[int] | None = None) -> Samples:
    n = len(sent)
    return Samples(
        np.array(sent, np.int64), np.array(sent, np.int64), np.array(done, np.int64),
        np.array(status or [OK] * n, np.uint8), np.zeros(n, np.uint16),
    )  # fmt: skip


def steady(count: int, service: int, start: int = 0) -> Samples:
    sent = [start + i * service for i in range(count)]
    return samples(sent, [s + service for s in sent])


@given(
    service=st.integers(1_000, 50_000_000),
    begin=st.integers(0, 40_000_000),
    length=st.integers(1_000_000, 90_000_000),
    batch=st.integers(1, 64),
)
def test_back_to_back_requests_give_the_exact_rate_wherever_the_window_lies(
    service: int, begin: int, length: int, batch: int
) -> None:
    count = (begin + length) // service + 2
    if count > 20_000:
        return
    found = throughput(steady(count, service), begin, begin + length, batch)
    assert found == pytest.approx(batch * 1e9 / service, rel=1e-9)


def test_failed_requests_give_no_throughput_and_stand_in_the_percentiles() -> None:
    sent = [i * MS for i in range(20)]
    status = [OK] * 19 + [ERROR]
    row = reduce(samples(sent, [s + MS for s in sent], status), 0, 20 * MS, 1)
    assert (row.requests, row.errors) == (20, 1)
    assert row.throughput == pytest.approx(950.0)
    assert row.latency_ms["p50"] == 1.0
    assert row.latency_ms["p90"] is None  # 20 requests are below the floor of 64


def test_a_percentile_among_the_failures_is_infinite() -> None:
    sent = [i * MS for i in range(20)]
    row = reduce(samples(sent, [s + MS for s in sent], [OK] * 5 + [ERROR] * 15), 0, 20 * MS, 1)
    assert row.latency_ms["p50"] == math.inf
    assert row.latency_mean_ms == 1.0


def test_only_requests_that_finish_in_the_window_count() -> None:
    row = steady(10, MS)
    assert in_window(row, 2 * MS, 5 * MS).sum() == 3
    assert reduce(row, 2 * MS, 5 * MS, 4).requests == 3


def test_an_empty_window_has_no_numbers() -> None:
    row = reduce(steady(3, MS), 100 * MS, 200 * MS, 1)
    assert (row.requests, row.throughput, row.latency_mean_ms) == (0, 0.0, None)
    assert set(row.latency_ms.values()) == {None}
