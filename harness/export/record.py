"""What leaves the harness of a run: parameters, tags, and each point's values in base units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.errors import UsageError
from harness.export.names import BASE
from harness.report.model.context import Context, build_context
from harness.report.model.manifest_facts import gpu_line
from harness.results.store import RunData

FILES = (
    "report.html",
    "report.pdf",
    "summary.csv",
    "summary.json",
    "measurements.csv",
    "manifest.json",
)
"""What is handed over beside the values, where it is there."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point: what it is, its values over the rounds, and each round's."""

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    values: Mapping[str, float]
    """With `_low` and `_high` where there is an interval; what is not finite is a tag."""
    rounds: Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Record:
    """One run of the harness."""

    name: str
    scenario: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: tuple[Point, ...]
    files: tuple[Path, ...]


def record(data: RunData) -> Record:
    """Read a run as what leaves the harness. Raises UsageError where nothing was measured."""
    context = build_context(data)
    if not context.rows:
        raise UsageError(f"nothing was measured in {data.path}")
    manifest = data.manifest
    created, scenario = str(manifest.get("created")), str(data.scenario.get("scenario"))
    best = context.choice.best
    tags = {
        "harness.run": f"{scenario} {created}",
        "harness.version": str(manifest.get("harness_version")),
        "harness.gpu": gpu_line(manifest), "harness.best": best.point if best else "",
        "harness.objective": str(data.scenario.get("objective")),
    }  # fmt: skip
    packages = manifest.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    return Record(
        data.path.resolve().name, scenario, tags,
        {"model": context.model} | {f"package.{k}": str(v) for k, v in versions.items()},
        tuple(_point(context, row) for row in context.rows),
        tuple(path for name in FILES if (path := data.path / name).is_file()),
    )  # fmt: skip


def _point(context: Context, row: SummaryRow) -> Point:
    params = {
        "backend": row.backend, "config": row.config, "batch_size": str(row.batch_size),
        "concurrency": str(row.concurrency or ""), "request_rate": str(row.request_rate or ""),
        "sizes": row.sizes, **_flat("backend", context.spec(row.backend)),
    }  # fmt: skip
    tags = {
        "harness.point": row.point, "harness.valid": str(row.valid).lower(),
        "harness.flags": ", ".join(row.flags), "harness.rounds": str(row.rounds),
        "harness.rank": context.ranks.get(row.point, ""),
    }  # fmt: skip
    values, odd = dict[str, float](), dict[str, str]()
    for name, value in _values(row):
        if math.isfinite(value):
            values[name] = value
        else:
            odd[f"harness.{name}"] = str(value)
    rounds = {m.round: _round(m.throughput, m.latency_ms) for m in row.measurements}
    return Point(row.point, params, tags | odd, values, rounds)


def _values(row: SummaryRow) -> Iterator[tuple[str, float]]:
    for metric, (name, factor) in BASE.items():
        found = row.metrics[metric]
        for suffix, value in _ends(found) if found is not None else ():
            yield f"{name}{suffix}", value * factor


def _ends(found: Interval) -> Iterator[tuple[str, float]]:
    yield "", found.value
    if found.low is not None:
        yield "_low", found.low
    if found.high is not None:
        yield "_high", found.high


def _round(throughput: float, latency_ms: Mapping[str, float | None]) -> dict[str, float]:
    found = {"round_inferences_per_second": throughput}
    found |= {
        f"round_latency_{p}_seconds": ms / 1e3 for p, ms in latency_ms.items() if ms is not None
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _flat(prefix: str, spec: Mapping[str, object]) -> dict[str, str]:
    """Settings of a backend that are set, nested ones by their path."""
    found: dict[str, str] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping):
            found |= _flat(f"{prefix}.{key}", value)
        elif value not in (None, "", [], {}):
            found[f"{prefix}.{key}"] = str(value)
    return found
