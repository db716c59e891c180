"""Two readings as rates, on counters whose truth is known."""

from __future__ import annotations

import pytest
from support.intervals import SOME, ZERO, reading

from harness.monitor.rates import between


def test_the_rates_of_an_interval() -> None:
    interval = between(reading(1, a=ZERO), reading(3, a=SOME))
    rates = interval.models["a"]
    assert rates is not None
    assert interval.seconds == 2
    assert (rates.requests, rates.failures, rates.ended) == (10, 4, 14)
    assert (rates.requests_per_s, rates.failures_per_s, rates.inferences_per_s) == (5, 2, 20)
    assert (rates.mean_batch, rates.server_ms, rates.queue_ms, rates.compute_ms) == (8, 5, 2, 3)
    assert (rates.cache_hits_per_s, rates.pending) == (1, 3)


def test_nothing_happened() -> None:
    rates = between(reading(0, a=SOME), reading(1, a=SOME)).models["a"]
    assert rates is not None
    assert (rates.requests, rates.requests_per_s) == (0, 0)
    assert (rates.mean_batch, rates.server_ms, rates.queue_ms, rates.compute_ms) == (None,) * 4


def test_a_model_that_is_new_began_at_zero_and_one_that_is_gone_is_left_out() -> None:
    models = between(reading(0, old=SOME), reading(1, new=SOME)).models
    assert list(models) == ["new"]
    assert models["new"] is not None
    assert models["new"].requests == 10


@pytest.mark.parametrize("away", [True, False])
def test_what_is_not_known_is_no_zero(away: bool) -> None:
    before, after = (ZERO, SOME) if away else (SOME, ZERO)
    interval = between(reading(0, a=before), reading(1, a=after), away=away)
    assert interval.models == {"a": None}
