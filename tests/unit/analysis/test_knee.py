"""What needs clearly more for the last percent is not recommended; what gains more than that is."""

from __future__ import annotations

import random

import pytest
from support.rows import point

from harness.analysis.best import Choice, choose
from harness.analysis.differences import Differences
from harness.analysis.knee import cost_metrics, knees, needs_more
from harness.analysis.objective import THROUGHPUT, single
from harness.analysis.summary import SummaryRow

LATENCY = {"p50": 10.0, "p90": None, "p95": None, "p99": None, "p999": None}


def at(name: str, rates: list[float], *, ms: float = 10.0, mib: float = 1000.0,
       cores: float = 4.0) -> SummaryRow:  # fmt: skip
    return point(rates, backend=name, latency_ms={**LATENCY, "p50": ms}, gpu_memory_mib=mib,
                 host_memory_mib=500.0, cpu_cores=cores, latency_mean_ms=ms)  # fmt: skip


def chosen(*rows: SummaryRow, margin: float = 0.05) -> str:
    found: Choice = choose(rows, THROUGHPUT, {}, margin)
    assert found.recommended is not None
    return found.recommended.backend


def near(rate: float) -> list[float]:
    return [rate * f for f in (0.999, 1.0, 1.001)]


@pytest.mark.parametrize("dearer", [{"ms": 43.0}, {"mib": 2900.0}, {"cores": 14.0}])
def test_the_last_percent_is_not_worth_clearly_more_of_anything(dearer: dict[str, float]) -> None:
    best, knee = at("best", near(103.8), **dearer), at("knee", near(100))
    found = choose([best, knee], THROUGHPUT, {})
    assert found.winner is best  # a winner by its interval, and yet
    assert found.recommended is knee


def test_a_gain_beyond_the_margin_is_worth_it_and_the_margin_is_a_key() -> None:
    best, knee = at("best", near(108), ms=43.0), at("knee", near(100))
    assert chosen(best, knee) == "best"
    assert chosen(best, knee, margin=0.10) == "knee"


def test_what_is_only_a_little_dearer_stays() -> None:
    assert chosen(at("best", near(103.8), ms=11.5), at("other", near(100))) == "best"


def test_a_trade_off_of_costs_leaves_it_to_the_value() -> None:
    """Less memory at clearly more latency undercuts nothing."""
    assert chosen(at("best", near(103.8), mib=1300.0), at("slow", near(100), ms=50.0)) == "best"


def test_what_the_objective_names_is_no_cost() -> None:
    rows = [at("a", near(100))]
    assert cost_metrics(rows, THROUGHPUT) == ("latency_p50_ms", "gpu_memory_mib", "cpu_cores")
    assert cost_metrics(rows, single("latency_p50_ms")) == ("gpu_memory_mib", "cpu_cores")
    assert cost_metrics(rows, single("cpu_cores")) == ("latency_p50_ms", "gpu_memory_mib")


def test_a_cost_whose_ratio_is_noise_is_not_clearly_more() -> None:
    low, high = [4.0, 9.0, 14.0], [14.0, 4.0, 12.0]

    def noisy(name: str, values: list[float]) -> SummaryRow:
        from support.rows import measurement

        from harness.analysis.summary import summarize

        (row,) = summarize(
            measurement(point=f"{name}/b1/c1", backend=name, round=n, latency_mean_ms=v,
                        latency_ms=dict.fromkeys(LATENCY), throughput=100.0, host_memory_mib=None)
            for n, v in enumerate(values)
        )  # fmt: skip
        return row

    a, b = noisy("a", high), noisy("b", [v / 1.3 for v in low])
    run = Differences([a, b])
    assert not needs_more(a, b, "latency_mean_ms", run)
    assert knees([a, b], THROUGHPUT, run) == [a, b]


@pytest.mark.parametrize(("gain", "wanted"), [(1.02, "knee"), (1.10, "best")])
def test_error_rates_with_known_truth(gain: float, wanted: str) -> None:
    """Five rounds with 2 % of noise: the right one of both in 95 of 100 runs or more."""
    right, luck = 0, random.Random(7)
    for _ in range(100):

        def rates(true: float) -> list[float]:
            return [true * luck.lognormvariate(0, 0.02) for _ in range(5)]

        right += chosen(at("best", rates(100 * gain), ms=40.0), at("knee", rates(100))) == wanted
    assert right >= 95
