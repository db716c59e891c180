"""Thresholds: verdicts, exit code, JUnit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from support.stress import stress

from harness.stress.answers import Answers
from harness.stress.leak import Growth
from harness.stress.thresholds import exit_code, judge, junit
from harness.stress.timeline import PhaseResult, Recovery

PHASE = PhaseResult("spike", 0, 1, 1, 10, 10, 10, 0.2, 0, None, None, None, 0, 0, 80)
ANSWERS = Answers(100, 2, 0.02, 5.0, 40.0, 10.0, [PHASE], None,
                  [Recovery("kill", 1, 4.0, 3, 0, 1.0)], [], 0, None, most_ms=40.0)  # fmt: skip
SPIKE = {"spike": {"base": 1, "peak": 2, "at": "1s", "for": "1s", "duration": "9s"}}


def verdicts(thresholds: dict[str, Any], answers: Answers = ANSWERS, **growth: Any) -> list[str]:
    section = stress(shape=SPIKE, thresholds=thresholds)
    return [j.verdict for j in judge(section.thresholds, answers, growth)]


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ({"error_rate": {"max": "2%"}}, "holds"), ({"error_rate": {"max": "1%"}}, "broken"),
        ({"error_rate": {"max": "10%", "during": "spike"}}, "broken"),
        ({"error_rate": {"max": "20%", "during": "spike"}}, "holds"),
        ({"error_rate": {"max": "20%", "during": "after"}}, "unknown"),
        ({"latency_p99_ms": {"max": 40}}, "holds"), ({"latency_p99_ms": {"max": 39}}, "broken"),
        ({"latency_p99_ms": {"max": 79, "during": "spike"}}, "broken"),
        ({"latency_p99_ms": {"max": 80, "during": "spike"}}, "holds"),
        ({"latency_p99_ms": {"max": 80, "during": "after"}}, "unknown"),
        ({"recovery_s": {"max": 4}}, "holds"), ({"recovery_s": {"max": 3}}, "broken"),
        ({"host_memory_growth_mib_per_hour": {"max": 5}}, "unknown"),
    ],
)  # fmt: skip
def test_verdicts(thresholds: dict[str, Any], expected: str) -> None:
    assert verdicts(thresholds) == [expected]


def test_a_limit_on_p99_says_where_the_requests_are_too_few_for_it() -> None:
    limits = [{"max": 39}, {"max": 80, "during": "spike"}]
    section = stress(shape=SPIKE, thresholds={"latency_p99_ms": limits})
    assert [j.words for j in judge(section.thresholds, ANSWERS, {})] == [
        "40 > 39 ms (99 in 100 of 100 requests: p99 itself needs 662)",
        "80 ≤ 80 ms (99 in 100 of 10 requests: p99 itself needs 662)",
    ]
    enough = replace(ANSWERS, requests=662, phases=[replace(PHASE, requests=662)])
    assert [j.words for j in judge(section.thresholds, enough, {})] == ["40 > 39 ms", "80 ≤ 80 ms"]


def test_an_error_rate_may_be_limited_in_all_and_in_a_phase() -> None:
    limits = [{"max": "2%"}, {"max": "10%", "during": "spike"}]
    section = stress(shape=SPIKE, thresholds={"error_rate": limits})
    judged = judge(section.thresholds, ANSWERS, {})
    assert [(j.name, j.verdict) for j in judged] == [
        ("error_rate", "holds"), ("error_rate during spike", "broken"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-1, 4, "holds"), (6, 9, "broken"), (2, 9, "unknown")]
)
def test_memory_is_judged_by_its_interval(low: float, high: float, expected: str) -> None:
    growth = Growth("growing", (low + high) / 2, low, high, 10, 1.0)
    assert verdicts({"host_memory_growth_mib_per_hour": {"max": 5}}, host=growth) == [expected]


def test_growth_that_may_be_a_cache_breaks_nothing_and_says_how_long_to_soak() -> None:
    growth = Growth("untold", 700, 690, 710, 100, 0.2, enough=1.0)
    section = stress(shape=SPIKE, thresholds={"host_memory_growth_mib_per_hour": {"max": 5}})
    (judged,) = judge(section.thresholds, ANSWERS, {"host": growth})
    assert judged.verdict == "unknown"
    assert "shows in a soak of" in judged.words


def test_who_never_recovers_breaks_it_and_nothing_to_recover_from_can_not_be_judged() -> None:
    never = replace(ANSWERS, recoveries=[Recovery("kill", 1, None, 3, 0, 1.0)])
    assert verdicts({"recovery_s": {"max": 100}}, never) == ["broken"]
    assert verdicts({"recovery_s": {"max": 100}}, replace(ANSWERS, recoveries=[])) == ["unknown"]


def test_exit_codes() -> None:
    def code(limit: str, status: str = "complete", *, lost: bool = False) -> int:
        section = stress(thresholds={"error_rate": {"max": limit}})
        return exit_code(judge(section.thresholds, ANSWERS, {}), ANSWERS, status, lost)

    assert code("5%") == 0
    assert code("1%") == 1
    assert code("5%", "aborted") == 1
    assert code("5%", "interrupted") == 130
    assert code("5%", lost=True) == 4  # also where no request of its can be counted: ANSWERS.lost 0
    assert code("1%", lost=True) == 1
    assert exit_code([], replace(ANSWERS, failures=100), "complete") == 4


def test_junit_has_a_case_a_threshold() -> None:
    section = stress(shape=SPIKE, thresholds={
        "error_rate": {"max": 0}, "recovery_s": {"max": 9},
        "gpu_memory_growth_mib_per_hour": {"max": 5},
    })  # fmt: skip
    judged = judge(section.thresholds, replace(ANSWERS, most_ms=math.inf), {})
    suite = ET.fromstring(junit("made", judged, "aborted: hopeless"))
    assert {k: suite.get(k) for k in ("tests", "failures", "skipped")} == {
        "tests": "4", "failures": "2", "skipped": "1",
    }  # fmt: skip
    assert [c.get("name") for c in suite.iter("testcase")] == [
        "error_rate", "recovery_s after kill", "gpu_memory_growth_mib_per_hour",
        "the run went to its end",
    ]  # fmt: skip
    assert judged[0].to_json()["verdict"] == "broken"


def test_junit_bears_what_a_server_says() -> None:
    """Control characters are no XML, and CI would read none of it."""
    section = stress(thresholds={"error_rate": {"max": 0}})
    text = junit("made", judge(section.thresholds, ANSWERS, {}), "failed: \x1b[31mboom\x00\x07")
    assert "boom" in str(ET.fromstring(text).findall(".//failure")[-1].get("message"))
