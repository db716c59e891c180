"""Rules of `constraints` and `objective`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.scenario.rules.base import Broken


def bound(metric: str, data: Any) -> Iterator[Broken]:
    """Rules of one constraint: more throughput is better, less of everything else."""
    if not isinstance(data, Mapping):
        return
    useful, useless = ("min", "max") if metric == "throughput" else ("max", "min")
    if data.get(useless) is not None:
        words = "more is better" if useful == "min" else "less is better"
        yield Broken((useless,), f"{words} of {metric}; write `{useful}`", on_key=True)
    elif data.get(useful) is None:
        yield Broken((), f"write the bound, like {{{useful}: 100}}", lacks=(useful,))


def weights(data: Mapping[str, object]) -> Iterator[Broken]:
    """Rules of a weighted objective."""
    if not any(value is not None for value in data.values()):
        yield Broken((), "write the weights, like {throughput: 2, latency_p99_ms: 1}")
