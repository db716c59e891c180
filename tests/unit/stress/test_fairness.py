"""What each model got, and how often the index's interval holds the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.stress import records, run_of, stress

from harness.stress.fairness import BLOCKS, fairness, gained, jackknife, jain, sentences
from harness.stress.store import StressRun

Floats = NDArray[np.float64]
CONSTANT = {"constant": {"rate": 50, "duration": "10s"}}


def run(load: dict[str, object], ok: object, *, shape: object = CONSTANT) -> StressRun:
    """A model at 50/s that gets all, beside one at 20/s that gets what is `ok`."""
    found = run_of(stress(shape=shape), records(np.arange(0, 10, 0.02), 5.0), 10.0, served_name="a")
    other = records(np.arange(0, 10, 0.05), 8.0, ok).samples
    backend = {"kind": "triton", "colocated": [{"name": "b", "load": load}]}
    found.manifest["scenario"].update(backends=[backend])
    return replace(found, colocated={"b": other})


def test_who_gets_all_that_it_asks_for_is_treated_fairly_however_little_that_is() -> None:
    (found,) = fairness(run({"request_rate": 20, "batch_size": 4}, True), 10.0)
    assert found.index == pytest.approx(1.0, abs=1e-3)
    a, b = found.shares
    assert (a.offered, b.offered) == (50.0, 80.0)  # inferences: four in each request
    assert (b.share, b.p50_ms, b.error_rate) == (pytest.approx(8 / 13, abs=0.01), 8.0, 0.0)


def test_one_that_gets_half_is_seen_in_the_index_and_in_the_sentence() -> None:
    (found,) = fairness(run({"request_rate": 20}, np.arange(200) % 2 == 0), 10.0)
    assert found.index == pytest.approx(jain(np.array([1.0, 0.5])), abs=1e-6)
    assert found.high < 0.95
    first, second = sentences([found, found])
    assert "b got 50% of what was asked" in first
    assert "0.5 one model alone" in first
    assert "model alone" not in second


def test_rates_and_users_are_not_weighed_against_each_other() -> None:
    (found,) = fairness(run({"concurrency": 3}, True), 10.0)
    assert found.index is None
    assert "different ways" in next(sentences([found]))
    users = run({"concurrency": 3}, True, shape={"constant": {"users": 6, "duration": "10s"}})
    (found,) = fairness(users, 10.0)
    assert [s.got for s in found.shares] == [pytest.approx(50 / 6, abs=0.1), pytest.approx(20 / 3)]
    assert found.index == pytest.approx(jain(np.array([50 / 6, 20 / 3])), abs=5e-3)


def test_alone_there_is_nothing_to_say() -> None:
    assert fairness(run_of(stress(), records([1.0], 5.0), 10.0), 10.0) == []


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.4, 0.8])
    held = 0
    for _ in range(200):
        claims: Floats = rng.poisson(25, (2, BLOCKS)).astype(float)
        answered: Floats = rng.binomial(claims.astype(int), truth[:, None]).astype(float)
        _, low, high = jackknife(answered, claims, capped=True)
        held += low <= jain(truth) <= high
    assert 180 <= held <= 200  # 95 % of 200, ± 3 standard deviations


def test_nobody_gets_more_than_it_asked_for() -> None:
    assert gained(np.array([[9.0], [2.0]]), np.array([[6.0], [4.0]]), capped=True).tolist() == [
        1,
        0.5,
    ]
