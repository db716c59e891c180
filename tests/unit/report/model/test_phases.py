"""Triton's parts of a request, and what they leave of the latency."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rows import measurement

from harness.report.model.context import Context
from harness.report.model.phases import STACK, rest_ms
from harness.results.details import PHASES


def test_the_parts_are_those_that_are_counted() -> None:
    assert {key for key, _, _ in STACK} <= set(PHASES)


def test_the_rest_is_the_mean_of_what_the_parts_leave_in_each_round(cpu: Context) -> None:
    parts = {"queue": 1000.0, "compute_infer": 6500.0}
    rounds = tuple(
        measurement(latency_mean_ms=mean, server_us=us)
        for mean, us in ((10.0, parts), (12.0, parts), (None, parts), (50.0, {}))
    )
    row = replace(cpu.rows[0], measurements=rounds)
    assert rest_ms(row) == pytest.approx(3.5)
    assert rest_ms(replace(row, measurements=rounds[3:])) is None


def test_a_rest_below_zero_is_shown(cpu: Context) -> None:
    """Client and server disagree: that is for the reader to see."""
    one = measurement(latency_mean_ms=7.0, server_us={"compute_infer": 7500.0})
    assert rest_ms(replace(cpu.rows[0], measurements=(one,))) == pytest.approx(-0.5)
