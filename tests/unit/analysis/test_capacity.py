import math

import pytest
from support.rows import capacity

from harness.analysis.capacity import summarize_capacity
from harness.results.rows import CapacityRow


def row(round_, rate, *, limit="target", knee=None, trials=(), point="fake/b1/find_capacity"):
    return capacity(
        point=point, round=round_, batch_size=2, rate=rate, goodput=rate and 2 * rate, low=rate,
        high=rate and rate * 1.05, knee_rate=knee, steps=len(trials), limit=limit,
        reason="" if limit == "target" else limit,
        details={"precision": 0.05, "trials": list(trials)},
    )  # fmt: skip


def trial(rate, within, p50, outcome):
    return {"rate": rate, "within": within, "goodput": rate, "p50_ms": p50, "outcome": outcome}


def test_the_round_is_the_unit():
    found, other = summarize_capacity(
        [row(1, 110.0, knee=80.0), row(0, 100.0), row(2, 121.0), row(0, 7.0, point="b/b1/x")]
    )
    assert found.rate.value == pytest.approx(110.0)
    assert found.rate.low < 100 < 121 < found.rate.high
    assert found.goodput.value == pytest.approx(220.0)
    assert (found.low, found.high) == (100.0, pytest.approx(127.05))
    assert found.knee.value == 80.0
    assert (other.point, other.rounds, other.rate.low) == ("b/b1/x", 1, None)


def test_a_round_without_a_capacity_leaves_the_point_without_one():
    (found,) = summarize_capacity([row(0, 100.0), row(1, None)])
    assert (found.rate, found.goodput, found.high) == (None, None, None)
    assert found.low == 100.0


def test_narrow_when_rounds_scatter_by_no_more_than_the_step():
    assert not summarize_capacity([row(0, 100.0)])[0].narrow
    assert summarize_capacity([row(0, 100.0), row(1, 100.0)])[0].narrow
    assert not summarize_capacity([row(0, 100.0), row(1, 105.0)])[0].narrow
    assert summarize_capacity([row(r, 100.0 * 1.05 ** (r % 2)) for r in range(8)])[0].narrow
    assert summarize_capacity([row(0, None), row(1, None)])[0].narrow


def test_rounds_that_end_on_the_same_step_know_no_more_than_the_step():
    (found,) = summarize_capacity([row(n, 100.0) for n in range(5)])
    assert (found.rate.low, found.rate.high) == pytest.approx((100.0, 110.25))
    assert found.narrow


def test_limit_is_what_ended_most_searches():
    limits = ["client", "target", "client"]
    (found,) = summarize_capacity([row(i, 100.0, limit=x) for i, x in enumerate(limits)])
    assert (found.limit, found.server_limited, found.reasons) == ("client", False, ("client",))


def test_rates_are_gathered_over_rounds():
    first = [trial(100.0, 1.0, 4.0, "holds"), trial(200.0, 0.5, math.inf, "fails")]
    second = [trial(100.0, 0.98, 9.0, "fails")]
    events = [row(0, 100.0, trials=first).to_event(), row(1, 90.0, trials=second).to_event()]
    (found,) = summarize_capacity(map(CapacityRow.from_event, events))
    low, high = found.rates
    assert (low.rate, low.rounds, low.within, low.p50_ms) == (100.0, 2, 0.99, pytest.approx(6.0))
    assert low.outcomes == {"holds": 1, "fails": 1}
    assert (high.rate, high.p50_ms, high.outcomes) == (200.0, None, {"fails": 1})
