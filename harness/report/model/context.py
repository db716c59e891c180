"""What every part of a report starts from: the run's rows, the choice, the colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from harness.analysis import best, constraints, speedup
from harness.analysis.differences import Differences
from harness.analysis.intervals import Interval
from harness.analysis.objective import THROUGHPUT, Objective, objective_of
from harness.analysis.summary import SummaryRow, summarize
from harness.report.model.blocks import MOST_ROWS
from harness.report.model.colours import COLORS, REFERENCE_COLOR
from harness.report.model.manifest_facts import Json, backend_specs, mapping, number, sequence, text
from harness.report.model.served import ServedFacts, served
from harness.results import rows, store
from harness.results.grouping import gathered, grouped
from harness.scenario.metrics import METRICS, latency_name
from harness.scenario.points import SHAPES
from harness.scenario.variants import DEFAULT_CONFIG

MOST_SERIES = 24
"""More cannot be compared side by side: the best are."""
TOP_CONFIGS = 3
"""How many variants of a model configuration the summary shows beside the default, as Model
Analyzer does."""


@dataclass(frozen=True, slots=True)
class Names:
    """How series are called: after the backend, its config, or both, whatever tells them apart."""

    varied: frozenset[str]
    """Backends that were measured in several configs."""
    alone: bool
    """Whether there is one backend only."""

    def of(self, backend: str, config: str) -> str:
        """The series of a backend's config: `torch`, `triton/i2-dyn`, or alone `i2-dyn`."""
        if backend in self.varied and self.alone:
            return config
        plain = config == DEFAULT_CONFIG and backend not in self.varied
        return backend if plain else f"{backend}/{config}"


@dataclass(frozen=True, eq=False)
class Context:
    """A run, summarised once."""

    data: store.RunData
    rows: tuple[SummaryRow, ...]
    """One a point, in the order of the scenario's backends; without `searched`."""
    searched: tuple[SummaryRow, ...]
    """Rates that a search for a capacity tried: they belong to its section."""
    objective: Objective
    bounds: constraints.Bounds
    differences: Differences
    """Between any two of `rows`."""
    choice: best.Choice
    ranks: Mapping[str, str]
    reference: str | None
    """The backend that others are compared with."""
    reference_is_eager: bool
    colors: Mapping[str, str]
    """Series name → colour."""
    names: Names
    configs: Mapping[str, str]
    """Series → its config.pbtxt as the server had it; only those of Triton."""

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

    def name(self, row: SummaryRow) -> str:
        """The series a point belongs to: its backend, and its config where there are several."""
        return self.names.of(row.backend, row.config)

    @property
    def reference_series(self) -> str | None:
        """The reference backend's default config."""
        if self.reference is None:
            return None
        return self.names.of(self.reference, DEFAULT_CONFIG)

    @cached_property
    def defaults(self) -> list[str]:
        """The default config of each backend that has several."""
        found = [self.names.of(backend, DEFAULT_CONFIG) for backend in sorted(self.names.varied)]
        return [series for series in found if series in self.colors]

    @cached_property
    def ordered(self) -> list[SummaryRow]:
        """Every point: candidates best first, then valid points that miss a constraint or can't be
        shown to hold it, then those that may not be ranked.
        """
        place = {point: int(rank.rstrip("=")) for point, rank in self.ranks.items()}
        candidates = sorted(self.choice.candidates, key=lambda r: place[r.point])
        found = [*candidates, *best.order(self.rows, self.objective), *self.rows]
        return list({row.point: row for row in found}.values())

    @cached_property
    def shown(self) -> list[str]:
        """The series of the summary: all, but of many variants the best few and the defaults."""
        variants = {self.name(r) for r in self.rows if r.backend in self.names.varied}
        ordered = list(dict.fromkeys(map(self.name, self.ordered)))
        kept = {*[n for n in ordered if n in variants][:TOP_CONFIGS], *self.defaults}
        found = [s for s in ordered if s not in variants or s in kept]
        kept = {*found[:MOST_SERIES], self.reference_series or ""}
        return [s for s in self.series if s in kept]

    @cached_property
    def speedups(self) -> Mapping[str, Interval | None]:
        """Of the points of `shown`: see `harness.analysis.speedup`."""
        shown = {*self.shown}
        mine = [r for r in self.rows if r.backend == self.reference or self.name(r) in shown]
        return speedup.speedups(mine, self.reference or "", self.differences)

    @cached_property
    def offline(self) -> bool:
        """Whether this is Model Analyzer's offline mode: batch sizes swept at concurrency 1."""
        return (
            bool(self.rows)
            and all(r.concurrency == 1 for r in self.rows)
            and len({r.batch_size for r in self.rows}) > 1
        )

    @cached_property
    def has_gpu(self) -> bool:
        """Whether any GPU figure was measured."""
        gpu = [name for name, metric in METRICS.items() if metric.gpu]
        return any(r.metrics[name] is not None for r in self.rows for name in gpu)

    @property
    def model(self) -> str:
        """The model's name."""
        return text(self.scenario, "model", "name")

    def spec(self, backend: str) -> Json:
        """A backend's settings in the scenario; empty when it is not there."""
        return self._specs.get(backend, {})

    @cached_property
    def _specs(self) -> dict[str, Json]:
        unknown = {"kind": "triton", "serve": None, "precision": "fp32"}  # it is on the server
        return {
            str(b.get("name")): {**b, "precision": ""} if b == {**b, **unknown} else b
            for b in reversed(backend_specs(self.manifest))
        }

    def served(self, row: SummaryRow) -> ServedFacts:
        """What Triton served at a point; `—` for other backends."""
        sizes = [int(str(b)) for b in sequence(self.scenario, "load", "batch_sizes")]
        text = self.configs.get(self.name(row), "")
        return served(self.spec(row.backend), text, max(sizes, default=None))

    def of(self, series: str) -> list[SummaryRow]:
        """A series' points by batch size, then load."""
        return self._groups.get(series, [])

    @cached_property
    def _groups(self) -> dict[str, list[SummaryRow]]:
        return grouped(sorted(self.rows, key=speedup.cell), self.name)

    @property
    def vast(self) -> bool:
        """Whether there are more points than anyone looks at one by one."""
        return len(self.rows) > MOST_ROWS

    @property
    def load_title(self) -> str:
        """Title of the load's column."""
        return "Load" if self.open_loop else "Concurrency"

    @cached_property
    def open_loop(self) -> bool:
        """Whether some point has an open loop."""
        return any(r.concurrency is None for r in self.rows)

    def expected_measurements(self) -> int | None:
        """Points × rounds; None where the scenario does not say, or adds rounds as it goes, or
        holds several configs, of which a search may drop some.
        """
        keys = ("instances", "max_batch_size", "dynamic_batching", "config")
        backends = backend_specs(self.manifest)
        specs = [mapping(s) for b in backends for s in (b, *sequence(b, "colocated"))]
        if any(isinstance(s.get(k), list) for s in specs for k in keys) or self.names.varied:
            return None
        load, measurement = (mapping(self.scenario, key) for key in ("load", "measurement"))
        if load.get("find_capacity"):
            return None  # it tries as many rates as it needs
        rounds, most = (number(measurement, key) for key in ("rounds", "rounds_max"))
        shapes = sum(bool(load.get(key)) for key in SHAPES)
        loads = shapes + sum(len(sequence(load, key)) for key in ("concurrency", "request_rate"))
        points = len(backends) * len(sequence(load, "batch_sizes")) * loads
        fixed = rounds is not None and most in (None, rounds)
        return int(points * rounds) if fixed and rounds and points else None

    @cached_property
    def shown_percentiles(self) -> list[str]:
        """Percentiles that some point has, and always p50 and p99."""
        return [
            p
            for p in rows.PERCENTILES
            if p in ("p50", "p99") or any(r.value(latency_name(p)) for r in self.rows)
        ]

    @cached_property
    def lacking(self) -> list[str]:
        """Of these, those that some point that was measured has not."""
        return [
            p for p in self.shown_percentiles
            if any(r.rounds and r.value(latency_name(p)) is None for r in self.rows)
        ]  # fmt: skip


def build_context(data: store.RunData) -> Context:
    """Summarise a run; works on an interrupted, empty or all-failed one."""
    scenario = mapping(data.manifest, "scenario")
    names = [str(b.get("name")) for b in backend_specs(data.manifest)]
    found = summarize(data.measurements, data.failures)
    searched = tuple(row for row in found if row.searched)
    rows = [row for row in found if not row.searched]
    # the default first, since others are compared with it; then in the order they were measured in
    rows.sort(key=lambda r: (
        names.index(r.backend) if r.backend in names else len(names), r.config != DEFAULT_CONFIG,
    ))  # fmt: skip
    names_ = _names(rows)
    objective, bounds = _objective(scenario), constraints.bounds_of(scenario)
    measured = list(dict.fromkeys(r.backend for r in rows if r.rounds))
    reference, eager = speedup.reference_backend(backend_specs(data.manifest), measured)
    run = Differences(rows)
    choice = best.choose(rows, objective, bounds, best.indifference_of(scenario), run)
    ranked = [r for some in (choice.candidates, rows) for r in best.order(some, objective)]
    return Context(
        data, tuple(rows), searched, objective, bounds, run, choice,
        best.ranks(choice.candidates, objective, run), reference, eager,
        _colors(rows, ranked, reference, names_), names_, _configs(data, names_),
    )  # fmt: skip


def _objective(scenario: Json) -> Objective:
    try:
        return objective_of(scenario)
    except (TypeError, ValueError):
        return THROUGHPUT


def _names(rows: list[SummaryRow]) -> Names:
    configs = gathered({(row.backend, row.config) for row in rows})
    varied = frozenset(backend for backend, found in configs.items() if len(found) > 1)
    return Names(varied, alone=len(configs) == 1)


def _configs(data: store.RunData, names: Names) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in data.loads:
        written = row.details.get("config")
        if isinstance(written, str) and written:
            found[names.of(row.backend, row.config)] = written
    return found


def _colors(
    rows: list[SummaryRow], ranked: list[SummaryRow], reference: str | None, names: Names
) -> dict[str, str]:
    """A colour a series; the reference's default config is grey.

    Where there are more series than colours, the best come first: they are drawn together.
    """
    found: dict[str, str] = {}
    for row in rows:
        if (name := names.of(row.backend, row.config)) not in found:
            grey = row.backend == reference and row.config == DEFAULT_CONFIG
            found[name] = REFERENCE_COLOR if grey else ""
    first = [*ranked, *rows] if len(found) > len(COLORS) else rows
    others = [n for n in dict.fromkeys(names.of(r.backend, r.config) for r in first)
              if not found[n]]  # fmt: skip
    return found | {n: COLORS[i % len(COLORS)] for i, n in enumerate(others)}


__all__ = ["COLORS", "REFERENCE_COLOR", "Context", "build_context"]
