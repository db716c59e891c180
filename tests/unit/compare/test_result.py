"""The verdict on a whole comparison, its exit code, and what is still needed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.compare.result import Comparison, PointResult, Row, Verdict, worst
from harness.compare.side import Side
from harness.compare.verdicts import Judged
from harness.compare.verdicts import Verdict as OfMetric
from harness.scenario.metrics import PRIMARY

SIDE = Side("s", "", "", {}, "", {}, {}, {}, {}, minutes_per_round=2.0)


def row(verdict: OfMetric, needed: int | None = None, metric: str = "p50") -> Row:
    judged = Judged(metric, verdict, 0.1, 0.05, 0.15, 0.001, 4, needed)
    return Row(PRIMARY[metric], 4.0, 4.4, judged)


def point(verdict: Verdict, *rows: Row) -> PointResult:
    return PointResult("b1/c1", verdict, rows, blocks=4)


def comparison(*points: PointResult) -> Comparison:
    return Comparison(SIDE, SIDE, "", points)


@pytest.mark.parametrize(
    ("verdicts", "overall", "code"),
    [
        ("equivalent equivalent", "equivalent", 0), ("equivalent improvement", "improvement", 0),
        ("improvement inconclusive", "inconclusive", 4), ("inconclusive invalid", "invalid", 4),
        ("invalid regression", "regression", 1), ("", "invalid", 4),
    ],
)  # fmt: skip
def test_the_worst_point_decides(verdicts: str, overall: str, code: int) -> None:
    found = comparison(*(point(Verdict(v)) for v in verdicts.split()))
    assert found.verdict == overall
    assert found.verdict.exit_code == code


def test_a_pooled_regression_and_wrong_outputs_count_too() -> None:
    fine = comparison(point(Verdict.EQUIVALENT))
    assert replace(fine, pooled=(row(OfMetric.REGRESSION),)).verdict is Verdict.REGRESSION
    assert replace(fine, pooled=(row(OfMetric.INCONCLUSIVE),)).verdict is Verdict.EQUIVALENT
    assert replace(fine, drift="b1: off").verdict is Verdict.REGRESSION
    assert worst([fine, replace(fine, drift="x")]) is Verdict.REGRESSION


def test_what_is_still_needed() -> None:
    open_ = point(Verdict.INCONCLUSIVE, row(OfMetric.INCONCLUSIVE, 9), row(OfMetric.EQUIVALENT))
    found = comparison(open_, point(Verdict.EQUIVALENT))
    assert found.needed == 9
    assert found.minutes == 10.0
    never = point(Verdict.INCONCLUSIVE, row(OfMetric.INCONCLUSIVE, None))
    assert comparison(open_, never).needed is None
    assert comparison(open_, never).minutes is None


def test_a_change_is_more_or_less_whatever_is_better() -> None:
    slower = row(OfMetric.REGRESSION)
    assert slower.change == pytest.approx(math.expm1(0.1))
    assert slower.interval == pytest.approx((math.expm1(0.05), math.expm1(0.15)))
    less = row(OfMetric.REGRESSION, metric="throughput")
    assert less.change == pytest.approx(math.expm1(-0.1))
    assert less.interval == pytest.approx((math.expm1(-0.15), math.expm1(-0.05)))
    unknown = replace(slower, judged=replace(slower.judged, low=-math.inf, high=math.inf))
    assert not unknown.known
    assert unknown.interval == (-1.0, math.inf)
