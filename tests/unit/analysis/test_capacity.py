import math
from dataclasses import replace

import numpy as np
import pytest
from support.rows import capacity, measurement

from harness.analysis.capacity import summarize_capacity
from harness.results.rows import CapacityRow
from harness.run.capacity import Grid, search


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
    assert summarize_capacity([row(0, 100.0)])[0].width.worst > 1
    assert summarize_capacity([row(0, 100.0), row(1, 100.0)])[0].width.worst <= 1
    assert summarize_capacity([row(0, 100.0), row(1, 105.0)])[0].width.worst > 1
    assert (
        summarize_capacity([row(r, 100.0 * 1.05 ** (r % 2)) for r in range(8)])[0].width.worst <= 1
    )
    assert summarize_capacity([row(0, None), row(1, None)])[0].width.worst <= 1


def test_rounds_that_end_on_the_same_step_know_no_more_than_the_step():
    (found,) = summarize_capacity([row(n, 100.0) for n in range(5)])
    assert (found.rate.low, found.rate.high) == pytest.approx((100.0, 110.25))
    assert found.width.worst <= 1


def test_neither_the_capacity_nor_an_end_is_above_max_rate():
    """Of the lesser of two things both ends are the lesser, too."""
    rows = [searched(n, late) for n in range(3)]
    (free,) = summarize_capacity(rows)
    (found,) = summarize_capacity(
        [replace(r, details={**r.details, "max_rate": 101.0}) for r in rows]
    )
    assert free.rate.value < 101 < free.rate.high == pytest.approx(102.53, rel=1e-3)
    assert found.rate == replace(free.rate, high=101.0)
    assert found.goodput == replace(free.goodput, high=101.0)
    few = [row(n, 100.0 + 9 * n) for n in range(3)]
    few = [replace(r, details={**r.details, "max_rate": 105.0}) for r in few]
    (found,) = summarize_capacity(few)
    assert (found.rate.value, found.rate.high) == (105.0, 105.0)
    assert (found.goodput.value, found.goodput.high) == (210.0, 210.0)
    assert found.rate.low < 100


def late(rate):
    """Share of requests that come late, 1 % at 100 requests a second."""
    return 1 / (1 + 99 * (rate / 100) ** -12)


def searched(round_, share_late):
    """What a search finds where a rate's share of late requests is as given."""
    grid, tried = Grid(0.05), {}

    def holds(k):
        tried[k] = share_late(grid.rate(k))
        return tried[k] <= 0.01

    low, high = search(holds, 60, grid.octave, 0, 300)
    trials = [trial(grid.rate(k), 1 - found, 5.0, "holds" if found <= 0.01 else "fails")
              for k, found in tried.items()]  # fmt: skip
    return capacity(
        point="q/b1/find_capacity", round=round_, rate=grid.rate(low), low=grid.rate(low),
        high=grid.rate(high), details={"precision": 0.05, "trials": trials},
    )  # fmt: skip


def test_the_capacity_is_where_the_curve_of_all_rates_passes_the_target():
    (found,) = summarize_capacity([searched(n, late) for n in range(3)])
    assert found.rate.value == pytest.approx(100, rel=1e-3)
    assert (found.rate.low, found.rate.high) == pytest.approx((100 / 1.0253, 102.53), rel=1e-3)
    assert found.goodput.value == pytest.approx(99, rel=1e-3)
    assert found.width.worst <= 1


def test_the_interval_of_a_capacity_holds_the_truth():
    """Windows of 400 requests, of which four may be late: the highest that held is luck."""
    rng, held, value = np.random.default_rng(1), 0, 0.0
    for _ in range(40):
        (found,) = summarize_capacity([
            searched(n, lambda rate: rng.binomial(400, late(rate)) / 400) for n in range(5)
        ])  # fmt: skip
        held += found.rate.low <= 100 <= found.rate.high
        value += math.log(found.rate.value / 100) / 40
        assert found.rate.high / found.rate.low < 1.4
    assert held >= 36
    assert abs(value) < 0.015


@pytest.mark.parametrize(
    "change", [{"limit": "client"}, {"limit": "max_rate"}, {"rate": None, "low": None}]
)
def test_a_search_that_the_target_did_not_end_has_no_curve(change):
    rows = [searched(n, late) for n in range(3)]
    (found,) = summarize_capacity([replace(r, **change) for r in rows])
    assert found.rate is None or found.rate.value == pytest.approx(rows[0].rate)


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


def rates_of(round_, *, backend="fake", flags=()):
    """A rate that the search of `row` tried."""
    return measurement(
        point=f"{backend}/b1/r100", backend=backend, round=round_, concurrency=None,
        request_rate=100.0, flags=flags, details={"search": f"{backend}/b1/find_capacity"},
    )  # fmt: skip


def test_a_round_that_was_disturbed_is_left_out_unless_all_were():
    rows = [row(0, 100.0), row(1, 40.0), row(2, 102.0)]
    flags = [(), ("foreign_load",), ()]
    (found,) = summarize_capacity(rows, [rates_of(n, flags=f) for n, f in enumerate(flags)])
    assert (found.rounds, found.every, found.rounds_disturbed) == (2, 3, 1)
    assert found.rate.value == pytest.approx(math.sqrt(100 * 102))
    (found,) = summarize_capacity(rows, [rates_of(n, flags=("cpu_steal",)) for n in range(3)])
    assert (found.rounds, found.every, found.rounds_disturbed) == (3, 3, 3)


def test_what_answers_wrongly_has_no_capacity():
    rows = [row(n, 100.0) for n in range(2)]
    (found,) = summarize_capacity(rows, [rates_of(0), rates_of(1, backend="other")])
    assert found.rate is not None
    wrong = rates_of(1, flags=("wrong_outputs",))
    (found,) = summarize_capacity([replace(r, backend="fake") for r in rows], [rates_of(0), wrong])
    assert (found.rate, found.goodput, found.limit) == (None, None, "wrong")
    assert not found.server_limited


@pytest.mark.parametrize("tried", [
    [{60.2: 1.0, 119.3: 1.0, 145.0: 1.0, 152.2: 0.0},
     {60.2: 1.0, 119.3: 1.0, 167.8: 1.0, 194.3: 0.9995, 204.0: 0.983, 214.2: 0.0}],
    [{60.2: 1.0, 119.3: 1.0, 167.8: 0.9964, 176.2: 0.9942, 185.0: 0.9941, 194.3: 0.971, 236.2: 0},
     {60.2: 1.0, 119.3: 1.0, 167.8: 1.0, 176.2: 1.0, 185.0: 0.9922, 194.3: 0.0, 236.2: 0.34},
     {60.2: 1.0, 119.3: 1.0, 125.2: 0.91, 138.1: 0.0, 167.8: 0.0, 236.2: 0.13}],
])  # fmt: skip
def test_a_curve_that_one_round_alone_makes_is_none(tried):
    """Without the second round no request near the target is late at any rate: the interval was
    one of 80 digits. In the other case no number was large enough, and an OverflowError ended the
    run.
    """
    found, = summarize_capacity([
        row(n, max(r for r, within in rates.items() if within > 0.99), trials=[
            trial(r, within, 5.0, "holds" if within > 0.99 else "fails")
            for r, within in rates.items()
        ]) for n, rates in enumerate(tried)
    ])  # fmt: skip
    assert 119 < found.rate.value < 195
    assert found.rate.high / found.rate.low < 50
