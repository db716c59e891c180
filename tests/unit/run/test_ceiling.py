"""When a ceiling of the generator is measured, and which one a point is judged by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.rows import measurement

from harness.backends.registry import parse_spec
from harness.errors import WorkerDiedError
from harness.results.rows import CeilingRow
from harness.run import ceiling
from harness.run.ceiling import OPEN_LOOP_SLOTS, TRIES, Ceilings, Kind, measure, wanted
from harness.run.worker.messages import CeilingMeasured
from harness.scenario.points import Point

TRITON: Any = parse_spec({"kind": "triton", "protocol": "http", "name": "t"})
POINT = Point("t", "default", 2, concurrency=4)
ROW = CeilingRow("http", "wire", 1, "host", 2, 4, 600, 1000.0)
KIND = Kind.of(ROW)


class Session:
    """Answers with one rate after another; counts how often it was asked."""

    def __init__(self, *rates: float) -> None:
        self.rates, self.asked = list(rates), 0

    def ceiling(self, slots: int) -> CeilingMeasured:
        self.asked += 1
        if not self.rates:
            raise WorkerDiedError("gone")
        return CeilingMeasured(self.rates.pop(0), 9)


def judge(ceilings: Ceilings, session: Session, rate: float, slots: int = 4) -> float:
    """What the orchestrator does."""
    while (found := ceilings.known(KIND, slots, rate)) is None:
        ceilings.add(measure(session.ceiling, KIND, slots, 600, ceilings.tries(KIND, slots) + 1))
    return found


def test_only_what_is_sent_to_a_server_has_one() -> None:
    assert wanted(TRITON, POINT, 600, 1) == (KIND, 4)
    assert wanted(parse_spec({"kind": "fake", "name": "f"}), POINT, 600, 1) is None
    secure = {"kind": "triton", "protocol": "http", "name": "t",
              "server": {"url": "host:8000", "tls": {}}}  # fmt: skip
    assert wanted(parse_spec(secure), POINT, 600, 1) is None
    open_loop = replace(POINT, concurrency=None, request_rate=50.0)
    assert wanted(TRITON, open_loop, 600, 1) == (KIND, OPEN_LOOP_SLOTS)


@pytest.mark.parametrize(("size", "same"), [(513, True), (1023, True), (1024, False), (511, False)])
def test_requests_within_a_factor_of_two_share_one(size: int, same: bool) -> None:
    found = wanted(TRITON, POINT, size, 1)
    assert found is not None
    assert (found[0] == KIND) == same


def test_it_is_measured_once() -> None:
    ceilings, session = Ceilings(), Session(1000.0)
    assert [judge(ceilings, session, rate) for rate in (100, 400, 500)] == [1000.0] * 3
    assert session.asked == 1


def test_a_resumed_run_has_it() -> None:
    assert Ceilings([CeilingRow.from_event(ROW.to_event())]).known(KIND, 4, 400) == 1000.0


def test_a_rate_far_below_that_of_fewer_callers_needs_no_own_one() -> None:
    ceilings = Ceilings([replace(ROW, concurrency=1)])
    assert ceilings.known(KIND, 4, 249) == 1000.0
    assert ceilings.known(KIND, 4, 251) is None
    assert Ceilings([replace(ROW, concurrency=8)]).known(KIND, 4, 1) is None  # more say nothing


def test_before_a_point_is_flagged_it_is_measured_again_and_the_highest_counts() -> None:
    ceilings, session = Ceilings(), Session(900.0, 600.0, 1100.0)
    assert judge(ceilings, session, 520.0) == 1100.0
    assert session.asked == TRIES
    assert judge(ceilings, session, 900.0) == 1100.0
    assert session.asked == TRIES


def test_what_can_not_be_measured_is_not_tried_for_ever() -> None:
    ceilings, session = Ceilings(), Session()
    assert judge(ceilings, session, 520.0) == 0.0
    assert judge(ceilings, session, 10.0) == 0.0
    assert session.asked == 1
    assert measure(session.ceiling, KIND, 4, 600, 1).problem == "gone"


# ------------------------------------------------------------------------------ more processes


def near(rate: float, of: float, flags: tuple[str, ...] = ("client_near_ceiling",), **changes: Any):  # type: ignore[no-untyped-def]
    """A row of a second at that rate, of a generator that reaches `of` requests a second."""
    fields = {
        "requests": round(rate), "window_begin_ns": 0, "window_end_ns": 10**9, "flags": flags,
        "concurrency": 16, "details": {"ceiling": of, "findings": {}, "client_processes": 2},
    }  # fmt: skip
    return replace(measurement(), **{**fields, **changes})


def test_only_the_wire_client_is_spread_and_never_over_fewer_processes_than_before() -> None:
    assert ceiling.spread(TRITON, []) == 1
    assert ceiling.spread(TRITON.model_copy(update={"client_processes": 3}), [{}]) == 3
    assert ceiling.spread(TRITON, [{"client_processes": 2}, {"client_processes": 4}, {}]) == 4
    assert ceiling.spread(TRITON.model_copy(update={"client": "tritonclient"}), []) is None
    assert ceiling.spread(parse_spec({"kind": "fake", "name": "f"}), []) is None


@pytest.mark.parametrize(
    ("flags", "cpu", "limited"),
    [
        (("client_near_ceiling",), 10.0, "client_near_ceiling"),
        (("client_busy",), 95.0, "client_busy"),
        (("littles_law", "errors"), 60.0, "littles_law"), (("client_late",), 95.0, "client_late"),
        (("client_late",), 40.0, None), (("errors", "foreign_load"), 99.0, None), ((), 99.0, None),
    ],
)  # fmt: skip
def test_what_says_that_the_client_was_the_limit(
    flags: tuple[str, ...], cpu: float, limited: str | None
) -> None:
    assert ceiling.limit(near(10, 100, flags, client_cpu_percent=cpu)) == limited


@pytest.mark.parametrize(
    ("rate", "of", "spare", "count"),
    [
        (600, 1000, 16.0, 4),  # twice as many
        (4000, 1000, 16.0, 16),  # what four times the ceiling asks for
        (4000, 1000, 5.9, 5),  # no more than there are cores
        (600, 1000, 2.9, 2),  # no core is spare
        (600, 1000, 0.1, 2),
        (9000, 1000, 64.0, 16),  # no more than there are callers
    ],
)
def test_how_many_processes_a_client_gets(rate: float, of: float, spare: float, count: int) -> None:
    assert ceiling.more(near(rate, of), 2, spare) == count


def test_without_a_ceiling_it_gets_twice_as_many() -> None:
    row = near(600, 1000, ("client_busy",), details={"findings": {}})
    assert ceiling.more(row, 2, 16.0) == 4


def test_spare_is_what_the_quota_and_the_server_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(ceiling, "cpu_quota", lambda: None)
    assert ceiling.spare_cores(2.5) == 5.5
    monkeypatch.setattr(ceiling, "cpu_quota", lambda: (None, 4.0))
    assert ceiling.spare_cores(2.5) == 1.5


def test_where_nothing_is_left_the_row_says_what_to_do() -> None:
    row = near(600, 1000)
    assert ceiling.with_advice(TRITON, replace(row, flags=())).details == row.details
    said = ceiling.with_advice(TRITON, row).details["findings"]["client_near_ceiling"]
    assert "2 generator process(es)" in said and "more CPUs" in said and "another machine" in said
    library = TRITON.model_copy(update={"client": "tritonclient"})
    assert (
        "client: wire"
        in ceiling.with_advice(library, row).details["findings"]["client_near_ceiling"]
    )
