"""What a run's end is called, and its exit code."""

from __future__ import annotations

from typing import Any

import pytest
from support.rows import measurement

from harness.analysis.summary import summarize
from harness.analysis.verdict import Verdict, judge_run
from harness.errors import tree
from harness.results.rows import FailureRow, MeasurementRow

FAST = {"throughput": {"min": 50.0}}
SLOW = {"throughput": {"min": 500.0}}


def rows(backend: str, rates: tuple[float, ...], **more: Any) -> list[MeasurementRow]:
    return [
        measurement(point=f"{backend}/b1/c1", round=i, backend=backend, throughput=rate, **more)
        for i, rate in enumerate(rates)
    ]


def came(measured: list[MeasurementRow], failed: tuple[str, ...] = (), **scenario: Any) -> Verdict:
    failures = [FailureRow("a/b1/c1", 3, "a", why, "it broke", None, "log") for why in failed]
    return judge_run(summarize(measured, failures), (), scenario)


NEAR = rows("a", (100.0, 101.0, 99.0))


@pytest.mark.parametrize(("failed", "verdict"), [
    (("missing_package",), Verdict.SETUP), (("server",), Verdict.SETUP),
    (("device", "server"), Verdict.SETUP), (("usage",), Verdict.SCENARIO),
    (("out_of_memory",), Verdict.FAILED), (("died", "missing_package"), Verdict.FAILED),
    (("of_a_later_version",), Verdict.FAILED), (("usage", "missing_package"), Verdict.SCENARIO),
])  # fmt: skip
def test_failures_decide_by_their_class(failed: tuple[str, ...], verdict: Verdict) -> None:
    assert came(NEAR, failed) is verdict


def test_every_reason_of_a_failure_has_a_verdict() -> None:
    for cls in tree():
        assert came(NEAR, (cls.reason,)).code in (1, 2, 3)


def test_a_missed_constraint_is_apart_from_failures_and_from_what_is_not_known() -> None:
    assert came(NEAR) is Verdict.OK
    assert came(NEAR, constraints=FAST) is Verdict.OK
    assert came(NEAR, constraints=SLOW) is Verdict.MISSED
    assert came(NEAR, constraints={"throughput": {"min": 100.0}}) is Verdict.UNDECIDED
    assert came(rows("a", (100.0,)), constraints=FAST) is Verdict.UNDECIDED  # of one round
    codes = {Verdict.FAILED.code, Verdict.INVALID.code, Verdict.MISSED.code}
    assert len(codes) == 3 and Verdict.UNDECIDED.code == Verdict.INVALID.code


def test_what_is_invalid_comes_before_constraints() -> None:
    flagged = rows("b", (9.0, 9.0), flags=("client_late",))
    assert came([*NEAR, *flagged], constraints=SLOW) is Verdict.INVALID


def test_the_gate_may_be_for_each_backend() -> None:
    both = [*NEAR, *rows("b", (10.0, 10.1, 9.9))]
    assert came(both, constraints=FAST) is Verdict.OK
    assert came(both, constraints=FAST, gate="each") is Verdict.MISSED
    unknown = [*NEAR, *rows("b", (50.0, 50.1, 49.9))]
    assert came(unknown, constraints=FAST, gate="each") is Verdict.UNDECIDED


def test_a_run_of_nothing_is_fine() -> None:
    assert came([], constraints=FAST) is Verdict.OK
