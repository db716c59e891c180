"""The view model: everything a report says, in order, before any format. HTML and PDF share it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.speedup import cell
from harness.analysis.summary import SummaryRow
from harness.report.charts import lines as charts
from harness.report.model.blocks import Chart, Table
from harness.report.model.context import Context
from harness.report.model.labels import (
    bounds_text,
    counted,
    load_label,
    objective_text,
    rounds_text,
)
from harness.report.model.manifest_facts import (
    cpu_line,
    date_text,
    gib_text,
    gpu_line,
    gpu_memory,
    gpus,
    mapping,
    number,
    text,
)
from harness.report.model.runtimes import driver, runtimes
from harness.report.model.served import DiffLine, difference
from harness.report.sections import comparison, evidence
from harness.report.sections import notes as run_notes
from harness.report.sections import points as tables
from harness.report.sections.answer import Sentence, answer
from harness.report.sections.capacity import CapacityView, capacity_view
from harness.report.sections.colocated import (
    colocated_table,
    configs_colocated,
    models_line,
    together_table,
)
from harness.report.sections.configurations import detail_charts
from harness.report.sections.energy import EnergyView, energy_view
from harness.report.sections.memory import memory_charts
from harness.report.sections.pareto import ParetoView, pareto_view
from harness.report.sections.point_detail import Explained, explained_points
from harness.report.sections.servers import composing_table, metrics_table, server_only_table
from harness.scenario.variants import DEFAULT_CONFIG


@dataclass(frozen=True, slots=True)
class BackendDetail:
    """The page of one configuration."""

    id: str
    name: str
    color: str
    about: str
    charts: tuple[Chart, ...]
    table: Table
    failures: Table | None
    flags: Table | None
    config: str
    """Its config.pbtxt as the server had it; empty without a server."""
    difference: tuple[DiffLine, ...] | None
    """From the default's; None where there is no other default."""
    shown: bool
    """Whether it is among those of the summary: the others are folded, and not in the PDF."""
    composing: Table | None = None
    """What the models that it is made of did."""
    metrics: Table | None = None
    """What the server's /metrics say beyond the split."""
    colocated: Table | None = None
    """What the co-located models did at the same points."""
    colocated_configs: tuple[tuple[str, str], ...] = ()
    """Their names and config.pbtxt."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Configurations against each other."""

    title: str
    intro: str
    charts: tuple[Chart, ...]
    speedup: Table | None
    latency: Table | None
    sizes: Table | None
    loading: Table | None
    servers: Table | None = None
    """What the servers cost before they loaded a model."""
    together: Table | None = None
    """Several models on a server against the measured one alone."""


@dataclass(frozen=True, slots=True)
class View:
    """A whole report."""

    title: str
    name: str
    description: str
    facts: tuple[tuple[str, str], ...]
    banners: tuple[str, ...]
    """What a reader must know first: an interrupted run, failures."""
    answer: tuple[Sentence, ...]
    charts: tuple[Chart, ...]
    best: Table
    points: Table
    comparison: Comparison
    energy: EnergyView | None
    details: tuple[BackendDetail, ...]
    details_note: str
    pareto: ParetoView | None
    memory: tuple[Chart, ...]
    """Memory over time."""
    capacity: CapacityView | None
    explained: tuple[Explained, ...]
    """On the screen only."""
    parity: Table | None
    parity_note: str
    environment: Table
    scenario_path: str
    scenario_text: str
    method: tuple[tuple[str, str], ...]
    """Paragraphs: (lead word, text)."""
    flags: Table | None
    failures: Table | None
    notes: tuple[str, ...]
    """What the run wrote down as it went."""
    footer: str

    def all_charts(self) -> list[Chart]:
        """Every chart of the PDF, in order."""
        details = [c for d in self.details if d.shown for c in d.charts]
        capacity = self.capacity.charts if self.capacity is not None else ()
        pareto = self.pareto.charts if self.pareto is not None else ()
        energy = self.energy.charts if self.energy is not None else ()
        return [
            *self.charts, *pareto, *self.comparison.charts, *capacity, *energy, *details,
            *self.memory,
        ]  # fmt: skip

    def folded_charts(self) -> list[Chart]:
        """Those that only the HTML has, behind folds."""
        details = [c for d in self.details if not d.shown for c in d.charts]
        return [*details, *(c for e in self.explained for c in e.charts)]


def build_view(context: Context) -> View:
    """Everything the report says about a run; works on partial and empty ones."""
    manifest = context.manifest
    path = text(manifest, "scenario_path", default="")
    return View(
        title=f"{context.mode} Result Summary",
        name=text(context.scenario, "scenario", default="unnamed run"),
        description=text(context.scenario, "description", default=""),
        facts=tuple(_facts(context)),
        banners=tuple(_banners(context)),
        answer=(*answer(context), *run_notes.best_directory(context)),
        charts=tuple(charts.summary_charts(context)),
        best=tables.best_table(context),
        points=tables.points_table(context),
        comparison=_comparison(context),
        energy=energy_view(context),
        details=tuple(_detail(context, i, name) for i, name in enumerate(context.series)),
        details_note=_details_note(context),
        pareto=pareto_view(context),
        memory=memory_charts(context),
        capacity=capacity_view(context),
        explained=explained_points(context),
        parity=evidence.parity_table(context),
        parity_note=_parity_note(context),
        environment=evidence.machine_table(context),
        scenario_path=path,
        scenario_text=text(manifest, "scenario_text", default=""),
        method=tuple(_lead(p) for p in evidence.method(context)),
        flags=evidence.flags_table(context.rows),
        failures=evidence.failures_table(context.rows),
        notes=run_notes.notes(context),
        footer=_footer(context),
    )


def _lead(paragraph: str) -> tuple[str, str]:
    lead, _, rest = paragraph.partition(". ")
    return lead, rest


def _footer(context: Context) -> str:
    version = text(context.manifest, "harness_version", default="")
    return f"harness {version} · run of {date_text(context.manifest)}".replace("  ", " ")


def _facts(context: Context) -> list[tuple[str, str]]:
    manifest, load = context.manifest, mapping(context.scenario, "load")
    backends = {r.backend for r in context.rows}
    alone = backends if context.varied and len(backends) == 1 else ()
    facts = [
        ("Model", context.model),
        *([("Co-located models", others)] if (others := models_line(context)) else []),
        *(("Backend", name) for name in alone),
        ("GPU(s)", gpu_line(manifest)), ("CPU", cpu_line(manifest)),
    ]  # fmt: skip
    if gpus(manifest):
        facts.append(("Total Available GPU Memory", gib_text(gpu_memory(manifest))))
    else:
        memory = number(mapping(manifest, "machine"), "memory_mib")
        facts.append(("Host memory", gib_text(memory)))
    return [
        *facts,
        ("Constraint targets", bounds_text(context.bounds)),
        ("Objective", objective_text(context.objective)),
        ("Sweep", _sweep(context, list(load.get("batch_sizes") or []))),
        ("Versions", _versions(context)),
        ("Date", date_text(manifest)),
    ]


def _versions(context: Context) -> str:
    """What the numbers depend on most; all of them are under Environment."""
    found = [*runtimes(context), ("driver", driver(context))]
    return ", ".join(f"{name} {version}" for name, version in found if version) or "see Environment"


def _sweep(context: Context, batches: list[object]) -> str:
    loads = [load_label(r) for r in sorted(context.rows, key=lambda r: cell(r)[1:])]
    sizes = batches or sorted({r.batch_size for r in context.rows})
    rounds = rounds_text(context.rows)
    batch, load = ", ".join(map(str, sizes)) or "—", ", ".join(dict.fromkeys(loads)) or "—"
    configurations = counted(len(context.series), "configuration")
    title = context.load_title.lower()
    return f"{configurations}, batch {batch}, {title} {load}, {rounds}"


def _banners(context: Context) -> list[str]:
    banners = []
    done, expected = len(context.data.measurements), context.expected_measurements()
    if not context.data.complete:
        of = f" of {expected:,}" if expected else ""
        banners.append(
            f"This run did not reach its end: {done:,}{of} measurements are in it, "
            f"{rounds_text(context.rows)} a point. Finish it with "
            f"harness run --resume {context.data.path}; intervals are over the rounds that are "
            "there."
        )
    banners += run_notes.unmeasured(context)
    failed = [r for r in context.rows if r.failures]
    if failed:
        banners.append(
            f"{counted(len(failed), 'point')} could not be measured in every round; what failed "
            "and why is listed under “What failed”."
        )
    disagreeing = list(
        dict.fromkeys(p.backend for p in context.data.parity if p.status == "disagrees")
    )
    if disagreeing:
        banners.append(
            f"Outputs of {', '.join(disagreeing)} disagree with the reference (see Parity)."
        )
    return banners


def _parity_note(context: Context) -> str:
    if not context.data.parity:
        return "No parity check is in this run."
    unavailable = [p.backend for p in context.data.parity if p.status == "unavailable"]
    note = (
        "Before anything is timed, each backend's outputs are compared with the reference on "
        "several distinct inputs at every batch size."
    )
    if unavailable:
        names = ", ".join(dict.fromkeys(unavailable))
        note += f" For {names} there is nothing to compare with, so parity is unavailable."
    return note


def _comparison(context: Context) -> Comparison:
    found = [charts.latency_by_batch(context), charts.speedup_chart(context)]
    backends = {r.backend for r in context.rows}
    return Comparison(
        "Configuration comparison" if len(backends) == 1 else "Backend comparison",
        _comparison_intro(context),
        tuple(c for c in found if c is not None),
        comparison.speedup_table(context),
        comparison.latency_table(context),
        comparison.size_table(context),
        comparison.load_table(context),
        server_only_table(context),
        together_table(context),
    )


def _comparison_intro(context: Context) -> str:
    if context.reference is None:
        return "Nothing was measured, so there is nothing to compare."
    if context.reference_is_eager:
        return f"The reference is {context.reference}: eager PyTorch in fp32."
    if len({r.backend for r in context.rows}) == 1:
        return f"The reference is the default configuration, {context.reference_series}."
    return (
        f"No eager PyTorch fp32 was measured, so the reference is the first backend, "
        f"{context.reference_series}."
    )


def _detail(context: Context, index: int, name: str) -> BackendDetail:
    rows = context.of(name)
    return BackendDetail(
        f"config-{index}",
        name,
        context.colors[name],
        _about(context, rows),
        tuple(detail_charts(context, name)),
        tables.detail_table(context, name),
        evidence.failures_table(rows),
        evidence.flags_table(rows),
        context.configs.get(name, ""),
        _difference(context, rows[0].backend, name),
        name in context.shown,
        composing_table(rows),
        metrics_table(rows),
        colocated_table(context, rows),
        configs_colocated(context, rows[0]),
    )


def _difference(context: Context, backend: str, name: str) -> tuple[DiffLine, ...] | None:
    default = context.series_of(backend, DEFAULT_CONFIG)
    if name == default or not (context.configs.get(name) and context.configs.get(default)):
        return None
    return difference(context.configs[default], context.configs[name])


def _details_note(context: Context) -> str:
    folded = len(context.series) - len(context.shown)
    if not folded:
        return ""
    return (
        f"The best configurations and the default are shown; the other {folded} are in the HTML "
        "report behind their names, and all points are in the table of every point."
    )


def _about(context: Context, rows: list[SummaryRow]) -> str:
    """Settings, in Model Analyzer's words where Triton served, and how much was measured."""
    row = rows[0]
    spec = context.spec(row.backend)
    keys = ("kind", "protocol", "serve", "provider", "device", "precision", "threads", "io")
    said = [f"{k.replace('_', ' ')} {_value(spec[k])}" for k in keys if spec.get(k) is not None]
    settings = ", ".join(said) or "settings unknown"
    if spec.get("kind") == "triton":
        settings += f"; {context.served(row).sentence()}"
    measured = sum(r.rounds for r in rows)
    requests, errors = sum(r.requests for r in rows), sum(r.errors for r in rows)
    return (
        f"{settings}. {counted(measured, 'measurement')} with "
        f"{counted(requests, 'request')}, of which {errors:,} failed."
    )


def _value(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
