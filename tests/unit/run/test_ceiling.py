"""When a ceiling of the generator is measured, and which one a point is judged by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.backends.registry import parse_spec
from harness.errors import WorkerDiedError
from harness.results.rows import CeilingRow
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
        ceilings.add(measure(session, KIND, slots, 600, ceilings.tries(KIND, slots) + 1))
    return found


def test_only_what_is_sent_to_a_server_has_one() -> None:
    assert wanted(TRITON, POINT, 600) == (KIND, 4)
    assert wanted(parse_spec({"kind": "fake", "name": "f"}), POINT, 600) is None
    secure = {"kind": "triton", "protocol": "http", "name": "t",
              "server": {"url": "host:8000", "tls": {}}}  # fmt: skip
    assert wanted(parse_spec(secure), POINT, 600) is None
    open_loop = replace(POINT, concurrency=None, request_rate=50.0)
    assert wanted(TRITON, open_loop, 600) == (KIND, OPEN_LOOP_SLOTS)


@pytest.mark.parametrize(("size", "same"), [(513, True), (1023, True), (1024, False), (511, False)])
def test_requests_within_a_factor_of_two_share_one(size: int, same: bool) -> None:
    found = wanted(TRITON, POINT, size)
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
    assert measure(session, KIND, 4, 600, 1).problem == "gone"
