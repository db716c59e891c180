"""What is decided when a session opens: whether the outputs are right."""

from __future__ import annotations

import pytest

from harness.errors import ParityError
from harness.results.rows import ParityRow
from harness.run.session.loading import judge
from harness.scenario.spec.scenario import Parity

ROWS = [
    ParityRow("f", 1, "agrees", "eager"),
    ParityRow("f", 4, "disagrees", "eager", message="output: 7 of 3000 values break the rule"),
    ParityRow("f", 16, "disagrees", "eager", message="output: 90 of 48000 values break the rule"),
]
SKIP, MEASURE = Parity(on_mismatch="skip"), Parity(on_mismatch="measure")


def test_outputs_that_disagree_are_said_once_and_short() -> None:
    with pytest.raises(ParityError) as caught:
        judge(ROWS, SKIP)
    assert caught.value.message == (
        "batch 4: output: 7 of 3000 values break the rule; also at batch 16"
    )
    with pytest.raises(ParityError) as caught:
        judge(ROWS[:2], SKIP, "detector")
    assert caught.value.message == "detector, batch 4: output: 7 of 3000 values break the rule"


def test_outputs_that_disagree_are_timed_where_the_scenario_says_so() -> None:
    assert judge(ROWS, MEASURE) == ("parity",)
    assert judge(ROWS[:1], MEASURE) == judge(ROWS[:1], SKIP) == ()
