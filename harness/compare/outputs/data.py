"""The comparison for programs: our JSON, and Bencher's metric format."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict

from harness.compare.outputs import words
from harness.compare.result import Comparison, PointResult, Row, worst
from harness.compare.side import Side
from harness.system.files import jsonable
from harness.version import __version__


def to_json(comparisons: Sequence[Comparison]) -> dict[str, object]:
    """What `--json` writes; docs/compare.md says what each key means."""
    overall = worst(comparisons)
    return {
        "schema": "harness-compare/1", "harness_version": __version__,
        "verdict": str(overall), "exit_code": overall.exit_code,
        "comparisons": [_comparison(found) for found in comparisons],
    }  # fmt: skip


def json_text(comparisons: Sequence[Comparison]) -> str:
    """The same as text; infinities become `inf`."""
    return json.dumps(jsonable(to_json(comparisons)), indent=2, allow_nan=False) + "\n"


def _comparison(found: Comparison) -> dict[str, object]:
    return {
        "verdict": str(found.verdict), "explanation": words.explanation(found),
        "base": _side(found.base), "candidate": _side(found.candidate), "design": found.design,
        "blocks_needed": found.needed, "minutes_needed": found.minutes,
        "points": [_point(p) for p in found.points], "pooled": [_row(r) for r in found.pooled],
        "changed": {k: {"base": a, "candidate": b} for k, (a, b) in found.changed.items()},
        "unequal": list(found.unequal), "forced": list(found.forced), "drift": found.drift,
        "outputs": list(found.outputs), "left_out": list(found.left_out),
        "layers": asdict(found.layers) if found.layers is not None else None,
    }  # fmt: skip


def _side(side: Side) -> dict[str, object]:
    return {"name": side.name, "where": side.where, "created": side.created,
            "machine": dict(side.machine), "conditions": side.digest}  # fmt: skip


def _point(point: PointResult) -> dict[str, object]:
    return {
        "point": point.place, "verdict": str(point.verdict), "reason": point.reason,
        "blocks": point.blocks, "blocks_needed": point.needed,
        "metrics": [_row(r) for r in point.rows], "beside": [_row(r) for r in point.beside],
    }  # fmt: skip


def _row(row: Row) -> dict[str, object]:
    low, high = row.interval
    judged = row.judged
    return {
        "metric": row.metric.key, "unit": row.metric.unit, "base": row.base,
        "candidate": row.candidate, "change": row.change, "low": low, "high": high,
        "margin": row.metric.margin if row.metric.primary else None,
        "p_adjusted": judged.p if row.metric.primary else None,
        "verdict": str(judged.verdict) if row.metric.primary else None, "blocks": judged.blocks,
    }  # fmt: skip


def bencher(comparisons: Sequence[Comparison]) -> str:
    """Bencher Metric Format: benchmark → measure → value with its interval.

    The value is the candidate's; its bounds are the base's value times the interval of the ratio.
    Source: https://bencher.dev/docs/reference/bencher-metric-format/
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for comparison in comparisons:
        for point in comparison.points:
            name = f"{comparison.candidate.name}/{point.place}"
            measures = {_measure(row): _metric(row) for row in (*point.rows, *point.beside)}
            if measures:
                found[name] = measures
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _measure(row: Row) -> str:
    return row.metric.name.replace("_", "-")


def _metric(row: Row) -> dict[str, float]:
    low, high = (row.base * (1 + end) for end in row.interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        return {"value": row.candidate}
    return {"value": row.candidate, "lower_value": low, "upper_value": high}
