"""Each part of a request made the bound in turn, by a real load on stages of set lengths; and how
often a part is named that is none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from harness.analysis.point_detail import Explanation
from harness.analysis.summary import SummaryRow, summarize
from harness.explain.terminal import render
from harness.gap.bound import PARTS, bound_of
from harness.load.closed import ClosedLoop
from harness.load.plan import WindowSettings
from harness.measure.window import measure
from harness.results.rows import MeasurementRow
from harness.run.point_row import Conditions, measurement_row
from harness.scenario.points import Point
from tests.support.rows import measurement, point
from tests.support.staged import STAGES, Staged, spin

CALLERS = 4
TIMES = {"h2d_us": 100.0, "compute_us": 600.0, "d2h_us": 50.0, "enqueue_us": 90.0, "count": 20}


class Slow(threading.Event):
    """A client that has 4 ms to do before each request; asked whether it is to stop, it does it."""

    def is_set(self) -> bool:
        import time

        spin(time.monotonic_ns() + 4_000_000)
        return super().is_set()


@pytest.fixture(autouse=True)
def every_request_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.backends.timing.TIMED_EVERY_NS", 0)


def measured(slowest: str) -> SummaryRow:
    """Three rounds of a real closed loop in which one part takes 4 ms, and every stage 0.5 ms."""
    rows = []
    for round_ in range(3):
        backend = Staged({s: 4.0 if s == slowest else 0.5 for s in STAGES})
        load = ClosedLoop(backend, [{}], CALLERS, 5.0)
        if slowest == "client":
            load._stopping = Slow()
        window, samples = measure(
            backend, load, WindowSettings(0.03, 0, 0.12, 0, 0.5, 5.0), lambda *_: None
        )
        place = Point("staged", "default", 1, CALLERS)
        rows.append(measurement_row(place, round_, "", window, samples, {}, "", Conditions(False)))
    (row,) = summarize(rows)
    return row


@pytest.mark.parametrize("slowest", PARTS)
def test_the_part_that_is_made_the_slowest_is_the_largest_and_no_other_is_named(
    slowest: str,
) -> None:
    row = measured(slowest)
    found = bound_of(row)
    assert found is not None
    assert next(iter(found.shares)) == slowest, found
    assert found.name in (slowest, "")
    assert sum(s.value for s in found.shares.values()) == pytest.approx(1)
    assert found.callers == CALLERS
    assert found.timed > 3


def timed(times: Mapping[str, float] = TIMES, **changes: Any) -> MeasurementRow:
    """One caller, 1000 requests a second: 1 ms each."""
    fields = {"throughput": 1000.0, "latency_mean_ms": 0.9, "details": {"gpu_time": times}}
    return measurement(**{**fields, **changes})


def summary(*times: Mapping[str, float], **changes: Any) -> SummaryRow:
    (row,) = summarize(timed(t, round=n, **changes) for n, t in enumerate(times))
    return row


def test_words_name_the_bound_and_every_part_with_its_interval() -> None:
    found = bound_of(summary(TIMES, {**TIMES, "compute_us": 610.0}, {**TIMES, "compute_us": 590.0}))
    assert found is not None
    assert found.words == (
        "Throughput is bound by computing. Of the 1 ms from a caller's request to its next: "
        "computing 60% [58%, 62%], the client between requests 25% [23%, 27%], "
        "input copies 10% [10%, 10%], output copies 5% [5%, 5%], "
        "enqueueing on the host 0% [0%, 0%] (CUDA events, 60 requests). One caller: the parts "
        "follow one another."
    )


def test_a_share_that_rounds_to_nothing_has_no_sign() -> None:
    found = bound_of(summary(*({**TIMES, "compute_us": 850.0 + d} for d in (-1.0, 2.0, 1.0))))
    assert found is not None and found.shares["client"].value < 0
    assert "the client between requests 0% [0%, 0%]" in found.words


def test_one_round_names_nothing() -> None:
    found = bound_of(summary(TIMES))
    assert found is not None
    assert found.name == ""
    assert found.words.startswith(
        "What bounds throughput can't be told: computing or the client between requests. Of the "
    )


def test_computing_that_waits_for_the_host_is_enqueueing() -> None:
    held = {**TIMES, "enqueue_us": 590.0}
    found = bound_of(summary(held, held, held))
    assert found is not None
    assert found.name == "enqueue"
    assert found.shares["compute"].value == 0


def test_what_callers_wait_for_the_one_thread_that_launches_is_enqueueing() -> None:
    """Eight callers, 90 % of whose cycle no part of theirs runs: the thread begins others'."""
    busy = {**TIMES, "launching": 0.9}
    found = bound_of(summary(busy, busy, busy, concurrency=8))
    assert found is not None
    assert found.name == "enqueue"
    assert found.shares["enqueue"].value == pytest.approx(0.9 * (1 - 0.75 / 8))


@pytest.mark.parametrize(
    "row",
    [
        point(),
        summary(TIMES, concurrency=None, request_rate=100.0),
        summarize([timed(), measurement(round=1)])[0],
        summary(TIMES, throughput=0.0),
    ],
    ids=["not timed", "open loop", "a round without", "nothing answered"],
)  # fmt: skip
def test_nothing_is_said_where_it_is_not_known(row: SummaryRow) -> None:
    assert bound_of(row) is None


def ties(count: int) -> Iterator[str]:
    """What is named where computing and the client take as long on average, over five rounds."""
    noise = np.random.default_rng(7).normal(0, 15, (count, 5))
    for each in noise:
        rows = [{**TIMES, "h2d_us": 100.0, "d2h_us": 50.0, "compute_us": 425.0 + x} for x in each]
        found = bound_of(summary(*rows))
        assert found is not None
        yield found.name


def test_of_two_parts_that_are_as_long_one_is_rarely_named() -> None:
    names = list(ties(400))
    assert sum(name != "" for name in names) / len(names) < 0.05


def test_explain_says_it_in_the_terminal() -> None:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=120)
    console.print(render(Explanation(summary(TIMES, TIMES, TIMES), ())))
    assert "Throughput is bound by computing." in console.file.getvalue()
