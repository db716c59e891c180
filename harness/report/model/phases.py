"""Triton's parts of a request, as every table and chart shows them."""

from __future__ import annotations

from harness.analysis.summary import SummaryRow

STACK = (
    ("queue", "Server Queue", "#E69F00"),
    ("compute_input", "Compute Input", "#56B4E9"),
    ("compute_infer", "Compute Infer", "#0072B2"),
    ("compute_output", "Compute Output", "#009E73"),
)
"""The parts in Model Analyzer's order: key, name, colour."""


def rest_ms(row: SummaryRow) -> float | None:
    """Mean latency that the server's parts don't explain: client, network, serialising.

    The mean of the rounds' own; below zero where client and server disagree, and shown as that.
    """
    rests = [
        m.latency_mean_ms - sum(m.server_us.get(key, 0) for key, _, _ in STACK) / 1e3
        for m in row.measurements
        if m.latency_mean_ms is not None and m.server_us
    ]
    return sum(rests) / len(rests) if rests else None
