import math
from dataclasses import replace

import numpy as np
import pytest
from support import simulated_queue
from support.simulated_queue import samples_of

from harness.analysis.capacity import summarize_capacity
from harness.errors import BackendError, ServerDiedError
from harness.results.rows import CapacityRow
from harness.results.samples import ERROR, OK, SHED, UNFINISHED
from harness.run.capacity import (
    Grid,
    LatencyTarget,
    answered_within,
    backlog_growth,
    find_capacity,
    knee,
    search,
)
from harness.scenario.points import Point
from harness.scenario.spec.load import FindCapacity

MS = 1_000_000
POINT = Point("fake", "default", 2, shape="find_capacity")


# ------------------------------------------------------------------------------------- the search


def drive(answers, *args):
    """Run a search in which step k holds when `answers(k)`; (result, steps asked for)."""
    asked = []

    def holds(k):
        asked.append(k)
        return answers(k)

    return search(holds, *args), asked


@pytest.mark.parametrize("limit", range(-40, 90))
def test_search_finds_the_last_step_that_holds(limit):
    result, asked = drive(lambda k: k <= limit, 10, 14, -100, 1000)
    assert result == (limit, limit + 1)
    assert len(asked) == len(set(asked))
    assert len(asked) <= 18


def test_search_stays_between_floor_and_top():
    assert drive(lambda _: True, 10, 14, -5, 40) == ((40, None), [10, 24, 38, 40])
    assert drive(lambda _: False, 10, 14, -5, 40) == ((None, -5), [10, -4, -5])
    assert drive(lambda k: k <= 3, 10, 14, 3, 3)[0] == (3, None)


@pytest.mark.parametrize("precision", [1e-5, 0.003, 0.05, 0.1, 0.5])
def test_grid_is_geometric_and_reads_back(precision):
    grid = Grid(precision)
    for k in (-200, -3, 0, 1, 7, 250):
        rate = grid.rate(k)
        assert grid.at_most(rate) == k
        assert Grid(precision, rate).top == k
        assert rate < grid.rate(k + 1)
        assert Point.parse(Point("b", "default", 1, request_rate=rate).id).request_rate == rate
    assert grid.rate(10) / grid.rate(9) == pytest.approx(1 + precision, rel=precision / 50)
    assert grid.rate(grid.octave) == pytest.approx(2, rel=precision)


# -------------------------------------------------------------------------------------- judgement


def test_everything_due_stays_in_the_count_but_what_nobody_can_know():
    scheduled = np.arange(1, 8) * 10 * MS
    latency = np.array([5, 50, 5, 5, 60, 5, 5]) * MS
    status = np.array([OK, OK, ERROR, SHED, UNFINISHED, UNFINISHED, OK])
    samples = samples_of(scheduled, scheduled + latency, status=status)
    # in time: the first; late: the second; failed, shed, too old already; the sixth is unknown
    assert answered_within(samples, 0, 60 * MS, 20.0) == (1, 5)
    assert answered_within(samples, 0, 70 * MS, 20.0) == (2, 6)


def test_backlog_growth_counts_what_is_due_and_open():
    scheduled = np.arange(10, dtype=np.int64) * MS
    samples = samples_of(scheduled, np.arange(1, 11, dtype=np.int64) * 2 * MS)
    assert backlog_growth(samples, 0, 9 * MS) == 6 - 1


@pytest.mark.parametrize(
    ("flags", "rate", "outcome"),
    [
        ((), 100.0, "holds"),
        (("client_late",), 100.0, "holds"),  # its own delay is in what held
        (("client_busy",), 100.0, "client"),
        (("client_not_sending", "client_late"), 100.0, "holds"),
        ((), 260.0, "fails"),
        (("client_busy", "client_late"), 260.0, "client"),
    ],
)
def test_outcome_of_a_rate(flags, rate, outcome):
    row, samples = simulated_queue.measure(
        Point("fake", "default", 2, request_rate=rate), 0, 4.0, 20.0, seed=1
    )
    trial = LatencyTarget("p99", 50.0, 0.05).judge(replace(row, flags=flags), samples)
    assert trial["outcome"] == outcome
    assert (trial["within"] > 0.99) == (rate == 100.0)
    assert trial["goodput"] == pytest.approx(2 * rate * trial["within"], rel=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_goodput_is_never_more_than_was_offered(seed):
    """A window of 2 s at 100 requests/s has 200 arrivals give or take 14."""
    row, samples = simulated_queue.measure(
        Point("fake", "default", 2, request_rate=100.0), 0, 4.0, 2.0, seed=seed
    )
    trial = LatencyTarget("p99", 1000.0, 0.05).judge(replace(row, flags=()), samples)
    due = (samples.scheduled > row.window_begin_ns) & (samples.scheduled <= row.window_end_ns)
    seconds = (row.window_end_ns - row.window_begin_ns) / 1e9
    assert trial["offered"] == pytest.approx(due.sum() / seconds)
    open_at_the_end = 2 / seconds  # the last may not be answered when the load ends
    assert trial["within"] == 1
    assert 2 * trial["offered"] - open_at_the_end <= trial["goodput"] <= 2 * trial["offered"]


@pytest.mark.parametrize("round_", range(4))
def test_capacity_is_the_rate_that_was_offered(round_):
    row, _ = capacity(Server(seconds=2.0, round_=round_), latency_p90_ms=30.0, latency_p99_ms=None)
    trials = {t["rate"]: t for t in row.details["trials"]}
    assert row.rate == trials[row.low]["offered"] != row.low
    assert 0 < row.goodput <= 2 * row.rate


def test_a_queue_that_grows_within_the_target_does_not_hold():
    row, samples = simulated_queue.measure(
        Point("fake", "default", 1, request_rate=275.0), 0, 4.0, 5.0, seed=1
    )
    trial = LatencyTarget("p99", 10_000.0, 0.05).judge(replace(row, flags=()), samples)
    assert (trial["within"], trial["outcome"]) == (1.0, "growing")


def test_one_request_that_is_open_at_the_end_is_no_growing_queue():
    """At 20 requests/s and 4 ms each, one in thirteen windows ends so."""
    ends = (np.arange(1, 21) * 50 - 46) * MS
    samples = samples_of(ends - 4 * MS, ends)
    row, _ = simulated_queue.measure(
        Point("fake", "default", 1, request_rate=20.0), 0, 4.0, 1.0, seed=1
    )
    for open_, end in ((0, 999 * MS), (1, 952 * MS)):
        one = replace(row, flags=(), window_begin_ns=5 * MS, window_end_ns=end)
        assert backlog_growth(samples, 5 * MS, end) == open_
        assert LatencyTarget("p99", 50.0, 0.05).judge(one, samples)["outcome"] == "holds"


def test_knee_is_where_the_median_has_risen_by_half():
    rates = {200.0: 6.1, 50.0: 4.0, 100.0: 4.2, 150.0: 5.9, 250.0: math.inf, 10.0: None}
    trials = [{"rate": rate, "p50_ms": p50} for rate, p50 in rates.items()]
    assert knee(trials) == 200.0
    assert knee(trials[1:4]) is None
    assert knee([]) is None


# ---------------------------------------------------------------------------------- the procedure


class Server:
    """Measures points against a simulated M/D/1 server with 4 ms a request."""

    def __init__(self, seconds=40.0, round_=0, break_at=math.inf, error=BackendError, spoil=None):
        self.seconds, self.round, self.points = seconds, round_, []
        self.break_at, self.error, self.spoil = break_at, error, spoil or (lambda row, _: row)
        self.repeated = []

    def __call__(self, point, doubtful):
        if point.request_rate is not None and point.request_rate > self.break_at:
            raise self.error("broke")
        self.points.append(point.id)
        for attempt in range(2):
            row, samples = simulated_queue.measure(
                point, self.round, 4.0, self.seconds, seed=1000 * self.round + attempt
            )
            row = self.spoil(row, attempt)
            if not doubtful(row, samples):
                break
            self.repeated.append(point.id)
        return row, samples


def capacity(server=None, **settings):
    server = server or Server()
    wanted = FindCapacity.model_validate({"latency_p99_ms": 30.0, **settings})
    return find_capacity(POINT, wanted, server.round, server), server


def true_share(rate, target_ms=30.0):
    """Long-run share of an M/D/1 queue's responses within the target."""
    _, samples = simulated_queue.measure(
        Point("fake", "default", 1, request_rate=rate), 0, 4.0, 4000.0, seed=99
    )
    return float((samples.done - samples.scheduled <= target_ms * MS).mean())


def test_capacity_of_a_simulated_queue():
    row, server = capacity()
    assert row.limit == "target"
    assert row.low < row.high <= row.low * 1.0501
    assert row.rate == pytest.approx(row.low, rel=0.05)  # a few thousand Poisson arrivals
    # two steps below what was found it truly holds, two steps above it truly doesn't
    assert true_share(row.rate / 1.05**2) >= 0.99
    assert true_share(row.high * 1.05**2) < 0.99
    assert row.goodput == pytest.approx(2 * row.rate, rel=0.05)
    # M/D/1 has its median at 1.5 services for a load of about 0.65
    assert 0.5 * 250 <= row.knee_rate <= 0.85 * 250
    assert row.steps == len(server.points) - 1 == len(row.details["trials"])
    assert server.points[0] == "fake/b2/c1"


def test_a_later_round_starts_afresh_and_shares_its_rates():
    first, server = capacity()
    again, later = capacity(Server(round_=1))
    assert later.points[0] == server.points[0] == "fake/b2/c1"
    assert set(server.points[1:]) & set(later.points)
    assert again.rate == pytest.approx(first.rate, rel=0.11)


def test_max_rate_that_holds():
    row, _ = capacity(max_rate=100.0)
    assert (row.limit, row.high, row.low) == ("max_rate", None, 100.0)
    assert row.rate == pytest.approx(row.low, rel=0.05)
    assert row.reason == "100 requests/s, the most that may be asked for, still holds"


@pytest.mark.parametrize("precision", [0.05, 0.5])
@pytest.mark.parametrize("most", [3.0, 100.0, 199.99, 1 / 3 * 400])
def test_the_last_rate_is_max_rate(most, precision):
    row, server = capacity(Server(seconds=5.0), max_rate=most, precision=precision)
    tried = [t["rate"] for t in row.details["trials"]]
    assert max(tried) == pytest.approx(most, rel=1e-9)
    assert [Point.parse(p).request_rate for p in server.points[1:]].count(max(tried)) == 1


def test_what_came_by_chance_above_max_rate_is_not_in_the_answer():
    """Short windows: Poisson arrivals are now more, now fewer than were asked for."""
    rows = [capacity(Server(seconds=2.0, round_=n), max_rate=100.0)[0] for n in range(12)]
    offered = [row.details["trials"][-1]["offered"] for row in rows]
    assert max(offered) > 104 > 96 > min(offered)
    for row, came in zip(rows, offered, strict=True):
        assert row.limit == "max_rate"
        assert row.rate == pytest.approx(min(came, 100.0))
        held = row.details["trials"][-1]["goodput"] / came
        assert row.goodput == pytest.approx(held * row.rate)
        assert row.goodput <= 200
    (found,) = summarize_capacity(rows)
    for interval, most in ((found.rate, 100.0), (found.goodput, 200.0)):
        assert 0.9 * most < interval.low < interval.value < interval.high <= most


def test_a_target_below_the_service_time_is_held_by_no_rate():
    row, _ = capacity(Server(seconds=5.0), latency_p99_ms=3.0)
    assert (row.rate, row.goodput, row.low, row.limit) == (None, None, None, "target")
    assert "only 0 % of the requests" in row.reason


def test_a_busy_generator_is_named_as_the_limit():
    def spoil(row, _):
        busy = (row.request_rate or 0) > 120
        return replace(row, flags=("client_busy",)) if busy else row

    row, server = capacity(Server(spoil=spoil))
    assert row.limit == "client"
    assert row.rate <= 120 < row.high
    assert "the load generator, not the server" in row.reason
    assert server.repeated  # not believed at first sight


def test_a_doubtful_rate_is_measured_once_more():
    def spoil(row, attempt):
        return replace(row, flags=("client_busy",)) if attempt == 0 else row

    row, server = capacity(Server(spoil=spoil))
    assert row.limit == "target"
    assert set(server.repeated) == set(server.points[1:])


def test_a_rate_at_which_every_request_fails_is_above_the_capacity():
    row, _ = capacity(Server(break_at=130.0))
    assert row.rate <= 130.0 < row.high
    assert row.limit == "target"


@pytest.mark.parametrize(("break_at", "error"), [(0.0, BackendError), (130.0, ServerDiedError)])
def test_what_is_no_question_of_rate_is_raised(break_at, error):
    with pytest.raises(error):
        capacity(Server(break_at=break_at, error=error))


def test_row_survives_the_journal():
    row, _ = capacity(Server(seconds=5.0))
    assert CapacityRow.from_event(row.to_event()) == row
