"""Dominance by intervals, on rows whose truth is known."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from support.rows import measurement, with_metrics

from harness.analysis import pareto
from harness.analysis.differences import Differences
from harness.analysis.objective import single
from harness.analysis.pareto import Dominance, dominates, front, margin, trade_off_metrics
from harness.analysis.summary import SummaryRow, summarize
from harness.results.rows import PERCENTILES

METRICS = ("throughput", "latency_p99_ms", "gpu_memory_mib")


def row(
    name: str, throughput: float, p99: float, memory: float | None, *, noise: float = 0.002,
    rounds: int = 4, seed: int = 0,
) -> SummaryRow:  # fmt: skip
    rng = random.Random(f"{name}{seed}")
    found = []
    for number in range(rounds):

        def shaken(value: float, rng: random.Random = rng) -> float:
            return value * math.exp(rng.gauss(0, noise))

        found.append(measurement(
            point=f"{name}/b1/c1", round=number, backend=name, throughput=shaken(throughput),
            latency_mean_ms=p99 / 2, latency_ms=dict.fromkeys(PERCENTILES) | {"p99": shaken(p99)},
            gpu_memory_mib=None if memory is None else shaken(memory),
        ))  # fmt: skip
    (summary,) = summarize(found)
    return summary


def test_a_point_that_is_worse_in_all_is_dominated() -> None:
    good, bad = row("good", 200, 10, 500), row("bad", 100, 20, 900)
    found = front([good, bad], METRICS)
    assert found.rows == (good,)
    assert found.dominated == {"bad/b1/c1": "good/b1/c1"}
    assert found.judged == 2
    run = Differences([good, bad])
    assert dominates(good, bad, METRICS, run) and not dominates(bad, good, METRICS, run)


def test_trade_offs_are_all_on_the_front() -> None:
    rows = [row("fast", 200, 20, 900), row("quick", 100, 5, 900), row("small", 90, 20, 200)]
    assert front(rows, METRICS).rows == tuple(rows)


def test_the_same_in_two_and_better_in_one_dominates() -> None:
    rows = [row("more", 200, 10, 500), row("less", 150, 10, 500)]
    assert front(rows, METRICS).dominated == {"less/b1/c1": "more/b1/c1"}


def test_noise_hides_what_is_not_shown() -> None:
    rows = [row("a", 105, 10, 500, noise=0.2), row("b", 100, 11, 510, noise=0.2)]
    assert front(rows, METRICS).rows == tuple(rows)


def test_a_loss_beyond_the_margin_keeps_a_point() -> None:
    """20 % more throughput for 10 % more tail latency is a trade-off, and so is 1 % that is
    shown; 1 % that noise hides is none.
    """
    assert margin("latency_p99_ms") == 0.05 and margin("latency_p50_ms") == margin("throughput")
    trade = [row("a", 120, 11, 500), row("b", 100, 10, 500)]
    assert len(front(trade, METRICS).rows) == 2
    shown = [row("a", 120, 10.1, 500, noise=1e-4), row("b", 100, 10, 500, noise=1e-4)]
    assert len(front(shown, METRICS).rows) == 2
    hidden = [
        row("a", 120, 10.02, 500, noise=0.004, rounds=6),
        row("b", 100, 10, 500, noise=0.004, rounds=6),
    ]
    assert front(hidden, METRICS).dominated == {"b/b1/c1": "a/b1/c1"}


def test_better_by_less_than_the_margin_each_beats_nobody() -> None:
    """Each is shown better in one, by less than the margin: neither may dominate the other."""
    a, b = row("a", 101, 10.1, 500, noise=1e-4), row("b", 100, 10, 500, noise=1e-4)
    assert front([a, b], METRICS).rows == (a, b)


def test_one_round_shows_nothing() -> None:
    rows = [row("good", 200, 10, 500, rounds=1), row("bad", 100, 20, 900, rounds=1)]
    found = front(rows, METRICS)
    assert found.rows == tuple(rows)
    assert not found.decidable


def test_points_without_a_metric_are_not_judged() -> None:
    known, unknown = row("a", 100, 10, 500), row("b", 200, 10, None)
    found = front([known, unknown], METRICS)
    assert found.rows == (known,) and found.judged == 1
    beyond = replace(known, measurements=tuple(
        replace(m, latency_ms={"p99": math.inf}) for m in known.measurements
    ))  # fmt: skip
    assert front([beyond], METRICS).judged == 0
    run = Differences([known, unknown])
    assert run.advantage(known, unknown, single("gpu_memory_mib")) is None


def test_equal_points_are_rarely_dropped() -> None:
    """Of two points with the same truth one is dropped only by a false difference, and then
    one that costs less than the margin elsewhere: at most about one time in five (three metrics).
    """
    dropped = 0
    for seed in range(200):
        rows = [row(n, 100, 10, 500, noise=0.01, rounds=5, seed=seed) for n in "ab"]
        dropped += len(front(rows, METRICS).dominated)
    assert dropped <= 40


def test_metrics_follow_what_was_measured() -> None:
    gpu, host = row("a", 1, 1, 5), row("b", 1, 1, None)
    assert trade_off_metrics([gpu, host], "p99") == METRICS
    assert trade_off_metrics([host], "mean") == ("throughput", "latency_mean_ms")
    with_host = with_metrics(host, host_memory_mib=7.0)
    assert trade_off_metrics([with_host], "p50")[1:] == ("latency_p50_ms", "host_memory_mib")


def test_energy_is_a_metric_with_the_margin_of_memory() -> None:
    def with_energy(found: SummaryRow, joules: float) -> SummaryRow:
        return replace(found, measurements=tuple(
            replace(m, details={"joules_per_inference": joules * (1 + 1e-4 * m.round)})
            for m in found.measurements
        ))  # fmt: skip

    metrics = ("throughput", "joules_per_inference")
    assert margin("joules_per_inference") == margin("gpu_memory_mib")
    frugal, wasteful = with_energy(row("a", 100, 1, 1), 0.1), with_energy(row("b", 90, 1, 1), 0.2)
    assert front([frugal, wasteful], metrics).dominated == {"b/b1/c1": "a/b1/c1"}
    assert front([row("a", 100, 1, 1)], metrics).judged == 0


def test_unknown_metric_is_an_error() -> None:
    with pytest.raises(KeyError):
        front([row("a", 1, 1, 1)], ("speed",))


def cloud(number: int, noise: float = 0.05) -> list[SummaryRow]:
    """Points at random, of which many are near one another."""
    rng = random.Random(number)
    return [
        row(f"p{i}", *(100 * 4 ** rng.random() for _ in METRICS), noise=noise, rounds=3, seed=i)
        for i in range(number)
    ]


def test_what_is_clear_at_once_is_what_every_pair_says() -> None:
    rows = cloud(40)
    run, found = Differences(rows), front(rows, METRICS)
    kept = list(rows)
    for one in rows:
        if any(other is not one and dominates(other, one, METRICS, run) for other in kept):
            kept.remove(one)
    assert found.rows == tuple(kept) and 1 < len(kept) < len(rows)
    for one in rows:
        if one not in kept:
            over = [o for o in rows if o is not one and dominates(o, one, METRICS, run)]
            best = [o for o in over if o in kept] or over
            assert found.dominated[one.point] in [o.point for o in best]
    pairs, every = Dominance(rows, METRICS, run), np.arange(len(rows))
    assert [pairs.under(i, every) for i in range(len(rows))] == [
        sum(o is not one and dominates(one, o, METRICS, run) for o in rows) for one in rows
    ]


def test_pairs_that_are_looked_at_by_themselves_grow_as_the_points_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = []
    monkeypatch.setattr(pareto, "dominates", lambda *a: looked.append(1) or dominates(*a))
    counts = []
    for number in (100, 400):
        looked.clear()
        front(cloud(number, noise=0.01), METRICS)
        counts.append(len(looked))
    assert counts[1] <= 6 * counts[0] < 6 * 10 * 100, "four times the points, not sixteen"
