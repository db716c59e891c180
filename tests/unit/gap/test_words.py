"""The gap in words."""

from __future__ import annotations

import pytest
from unit.gap.test_parts import native, served, the_gap

from harness.analysis.intervals import Interval
from harness.gap.advice import Advice
from harness.gap.words import advised, control, ms, sentence


def test_the_sentence_names_the_largest_parts_and_what_is_unknown() -> None:
    text = sentence(the_gap(native([1.0, 1.0]), served([2.0, 2.0])))
    assert text == (
        "A request takes 2.00 ms on t and 1.00 ms in n: 1.00 ms more. The largest parts, in "
        "ms: compute, server against in process: +0.500; serialisation and framing: +0.150; wire: "
        "+0.130. Unexplained: 0.0200 ms, 1.0% of the end-to-end time."
    )


def test_a_request_that_takes_less_served_is_not_said_to_take_minus_so_much_more() -> None:
    text = sentence(the_gap(native([3.0, 3.0]), served([2.0, 2.0])))
    assert ": 1.00 ms less. " in text
    assert "compute, server against in process: −1.50" in text


def test_points_that_can_not_be_believed_are_named() -> None:
    rows = served([2.0, 2.0], flags=("no_steady_state",))
    assert sentence(the_gap(native([1.0, 1.0]), rows)).endswith(
        "of the end-to-end time. Not to be relied on: t/b1/c1 is invalid."
    )


@pytest.mark.parametrize(("saves", "said"), [
    (Interval(0.5, 0.4, 0.6, 3), "saves 0.500 [0.400, 0.600] ms"),
    (Interval(-0.5, -0.6, -0.4, 3), "costs 0.500 [0.400, 0.600] ms"),
    (Interval(0.5, -0.1, 1.1, 3), "no difference shown: saved 0.500 [−0.100, 1.10] ms"),
    (Interval(0.5), "no difference shown: saved 0.500 ms"),
])  # fmt: skip
def test_what_rounds_can_not_tell_from_nothing_is_no_saving(saves: Interval, said: str) -> None:
    assert advised(Advice("x", saves, None, "")) == said


def test_figures_have_three_digits_and_a_control_only_where_it_was_measured() -> None:
    assert [ms(v) for v in (0.01234, 0.1234, 1.234, 12.34, 123.4, -2.5)] == [
        "0.0123", "0.123", "1.23", "12.3", "123", "−2.50",
    ]  # fmt: skip
    assert ms(-0.00001) == "0.0000"  # and a rounded zero has no sign
    assert control(the_gap(native([1.0]), served([2.0]))) == ""
