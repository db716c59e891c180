"""What every part of a report starts from: the run's rows, the choice, the colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.best import Choice, choose, order, ranks
from harness.analysis.compare_backends import cell, reference_backend
from harness.analysis.constraints import Bounds
from harness.analysis.summary import SummaryRow, summarize
from harness.report.facts import Json, backend_specs, mapping, number, sequence, text
from harness.report.words import series_name
from harness.run.rows import PERCENTILES
from harness.run.store import RunData
from harness.scenario.expand import SHAPES

REFERENCE_COLOR = "#5C6470"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B58900", "#56B4E9", "#7B3294", "#3B3B3B")
"""Okabe and Ito's colours, told apart by colour-blind readers, without the pale yellow (unreadable
on white) and with its orange darkened. Source: jfly.uni-koeln.de/color (2008)."""


@dataclass(frozen=True, slots=True)
class Context:
    """A run, summarised once."""

    data: RunData
    rows: tuple[SummaryRow, ...]
    """One a point, in the order of the scenario's backends."""
    objective: str
    bounds: Bounds
    choice: Choice
    ranks: Mapping[str, str]
    reference: str | None
    """The backend that others are compared with."""
    reference_is_eager: bool
    colors: Mapping[str, str]
    """Series name → colour."""

    @property
    def manifest(self) -> Json:
        """The manifest."""
        return self.data.manifest

    @property
    def scenario(self) -> Json:
        """The scenario as resolved."""
        return mapping(self.data.manifest, "scenario")

    @property
    def series(self) -> list[str]:
        """Names of the series, each backend × config once."""
        return list(self.colors)

    @property
    def has_gpu(self) -> bool:
        """Whether any GPU figure was measured."""
        return any(
            v is not None
            for r in self.rows
            for v in (r.gpu_memory_mib, r.gpu_utilization_percent, r.gpu_power_w)
        )

    @property
    def model(self) -> str:
        """The model's name."""
        return text(self.scenario, "model", "name")

    def spec(self, backend: str) -> Json:
        """A backend's settings in the scenario; empty when it is not there."""
        return next((b for b in backend_specs(self.manifest) if b.get("name") == backend), {})

    def of(self, series: str) -> list[SummaryRow]:
        """A series' points by batch size, then load."""
        found = [r for r in self.rows if series_name(r) == series]
        return sorted(found, key=cell)

    @property
    def load_title(self) -> str:
        """Title of the load's column."""
        return "Load" if self.open_loop else "Concurrency"

    @property
    def open_loop(self) -> bool:
        """Whether some point has an open loop."""
        return any(r.concurrency is None for r in self.rows)

    def expected_measurements(self) -> int | None:
        """Points × rounds; None where the scenario does not say, or adds rounds as it goes."""
        load, measurement = (mapping(self.scenario, key) for key in ("load", "measurement"))
        rounds, most = (number(measurement, key) for key in ("rounds", "rounds_max"))
        shapes = sum(bool(load.get(key)) for key in SHAPES)
        loads = shapes + sum(len(sequence(load, key)) for key in ("concurrency", "request_rate"))
        points = len(backend_specs(self.manifest)) * len(sequence(load, "batch_sizes")) * loads
        fixed = rounds is not None and most in (None, rounds)
        return int(points * rounds) if fixed and rounds and points else None

    def shown_percentiles(self) -> list[str]:
        """Percentiles that some point has, and always p50 and p99."""
        return [
            p
            for p in PERCENTILES
            if p in ("p50", "p99") or any(r.latency_ms.get(p) is not None for r in self.rows)
        ]


def build_context(data: RunData) -> Context:
    """Summarise a run; works on an interrupted, empty or all-failed one."""
    scenario = mapping(data.manifest, "scenario")
    names = [str(b.get("name")) for b in backend_specs(data.manifest)]
    rows = summarize(data.measurements, data.failures)
    rows.sort(key=lambda r: names.index(r.backend) if r.backend in names else len(names))
    objective, bounds = text(scenario, "objective", default="throughput"), _bounds(scenario)
    measured = list(dict.fromkeys(r.backend for r in rows if r.rounds))
    reference, eager = reference_backend(backend_specs(data.manifest), measured)
    choice = choose(rows, objective, bounds)
    return Context(
        data, tuple(rows), objective, bounds, choice, ranks(choice.candidates, objective),
        reference, eager, _colors(rows, reference),
    )  # fmt: skip


def _bounds(scenario: Json) -> dict[str, dict[str, Any]]:
    written = mapping(scenario, "constraints")
    return {k: dict(v) for k, v in written.items() if isinstance(v, Mapping)}


def _colors(rows: list[SummaryRow], reference: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        if (name := series_name(row)) not in found:
            taken = sum(color != REFERENCE_COLOR for color in found.values())
            eager = name == reference
            found[name] = REFERENCE_COLOR if eager else COLORS[taken % len(COLORS)]
    return found


def best_first(context: Context) -> list[SummaryRow]:
    """Every point: candidates best first, then valid points that miss a constraint or can't be
    shown to hold it, then those that may not be ranked.
    """
    place = {point: int(rank.rstrip("=")) for point, rank in context.ranks.items()}
    candidates = sorted(context.choice.candidates, key=lambda r: place[r.point])
    valid = [r for r in order(context.rows, context.objective) if r not in candidates]
    return [*candidates, *valid, *(r for r in context.rows if r not in candidates + valid)]


__all__ = ["COLORS", "REFERENCE_COLOR", "Context", "best_first", "build_context"]
