"""Triton's parts of a request, and what they leave of the latency."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rows import with_metrics

from harness.report.model.context import Context
from harness.report.model.phases import STACK, rest_ms
from harness.triton.counters.statistics import PHASES


def test_the_parts_are_those_that_are_counted() -> None:
    assert {key for key, _, _ in STACK} <= set(PHASES)


def test_the_rest_is_what_the_parts_leave_and_never_less_than_nothing(cpu: Context) -> None:
    row = replace(cpu.rows[0], server_us={"queue": 1000.0, "compute_infer": 6500.0})
    row = with_metrics(row, latency_mean_ms=10.0)
    assert rest_ms(row) == pytest.approx(2.5)
    assert rest_ms(with_metrics(row, latency_mean_ms=7.0)) == 0.0
    assert rest_ms(replace(row, server_us={})) is None
    assert rest_ms(with_metrics(row, latency_mean_ms=None)) is None
