"""Numbers, ranges and lists as the other tools write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.migrate import values
from harness.migrate.table import BadValueError


@pytest.mark.parametrize(
    ("written", "means"),
    [
        (4, [4]),
        ("1,2, 4", [1, 2, 4]),
        ([1, 8], [1, 8]),
        ("2:8:2", [2, 4, 6, 8]),
        ({"start": 2, "stop": 6, "step": 2}, [2, 4, 6]),
        ({"start": 4, "stop": 6}, [4, 5, 6]),
        ({"start": 2, "stop": 64, "step": 8}, [2, 10, 18, 26, 34, 42, 50, 58]),
        ("1,2,2", [1, 2]),
    ],
)
def test_several(written: object, means: list[int]) -> None:
    assert values.several(written) == means


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: values.several({"start": 1}), "needs start and stop"),
        (lambda: values.several({"start": 1, "stop": 2, "by": 1}), "not by"),
        (lambda: values.several("0,1"), "at least 1"),
        (lambda: values.several("x"), "expected a number"),
        (lambda: values.several([]), "at least one"),
        (lambda: values.span(4, 2, 1), "before its start"),
        (lambda: values.span(1, 2, 0), "above 0"),
        (lambda: values.span(1, 1e6, 1), "no sweep"),
        (lambda: values.integer("1.5"), "whole number"),
        (lambda: values.integer(True), "whole number"),
        (lambda: values.integer("0"), "at least 1"),
        (lambda: values.number("inf"), "expected a number"),
        (lambda: values.boolean("perhaps"), "true or false"),
        (lambda: values.word("ftp", ("http", "grpc")), "one of http, grpc"),
        (lambda: values.words("a,,b"), "expected names"),
        (lambda: values.ends("1:2:3:4"), "start:end:step"),
        (lambda: values.ends("8:4"), "ends at 4, before its start 8"),
    ],
)
def test_what_is_no_value(call: Callable[[], object], says: str) -> None:
    with pytest.raises(BadValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("value", "means"),
    [(True, True), ("True", True), (1, True), ("1", True), (0, False), (False, False),
     (None, False), ("perhaps", False)],
)  # fmt: skip
def test_is_true(value: object, means: bool) -> None:
    assert values.is_true(value) == means


def test_doubling_keeps_within_its_ends() -> None:
    assert values.doubling(3, 20) == [4, 8, 16]
    assert values.doubling(5, 6) == [5]


def test_a_span_of_fractions_has_no_rounding_in_it() -> None:
    assert values.span(0.1, 0.4, 0.1) == [0.1, 0.2, 0.3, 0.4]
