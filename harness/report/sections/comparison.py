"""The comparison's tables: speed-up, latency, size on disk, loading and memory."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.best import differs
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.speedup import Cell as Place
from harness.analysis.speedup import cell, cells, speedups
from harness.analysis.summary import SummaryRow
from harness.report.model.blocks import (
    Cell,
    Table,
    figure,
    interval_cell,
    percentile_cell,
    table,
    word,
)
from harness.report.model.context import Context
from harness.report.model.labels import load_label
from harness.report.model.manifest_facts import mapping, text
from harness.report.model.numbers import (
    NOT_AVAILABLE,
    bytes_text,
    mib_text,
    range_text,
    significant,
    value_text,
)
from harness.report.sections.points import INTERVAL_NOTE
from harness.results.rows import ArtifactRow, LoadedRow


def speedup_cell(ratio: Interval | None, unknown: str) -> Cell:
    """`1.62× 1.57–1.68`, or that no difference is shown."""
    if ratio is None:
        return Cell(unknown, tone="muted", number=True)
    value = f"{value_text(ratio)}×"
    if not differs(ratio):
        return Cell(value, range_text(ratio), "no difference shown", "muted", number=True)
    return Cell(value, range_text(ratio), "", "good" if ratio.value > 1 else "bad", number=True)


def speedup_table(context: Context) -> Table | None:
    """Throughput over the reference's, a row a cell of the sweep, a column a configuration."""
    if context.reference is None:
        return None
    ratios = speedups(context.rows, context.reference)
    names = [n for n in context.shown if n != context.reference_series]
    by_place = {(context.name(r), cell(r)): r for r in context.rows}
    body = []
    for place in cells(context.rows):
        found = [by_place.get((n, place)) for n in names]
        body.append([
            *_place_cells(context, place),
            *(_ratio_cell(r, ratios) for r in found),
        ])  # fmt: skip
    notes = [
        "Ratio of throughputs at the same batch size and concurrency with its 95% interval (Welch, "
        "on the logs of the rounds). Grey: no difference shown, the interval includes 1.",
    ]
    return table(["Batch", context.load_title, *names], body, notes) if names and body else None


def _ratio_cell(row: SummaryRow | None, ratios: dict[str, Interval | None]) -> Cell:
    if row is None:
        return speedup_cell(None, "not measured")
    if not row.rounds or row.failures:
        return speedup_cell(None, "failed")
    return speedup_cell(ratios.get(row.point), NOT_AVAILABLE if row.valid else "invalid")


def latency_table(context: Context) -> Table | None:
    """Median latency: a row a cell of the sweep, a column a configuration."""
    by_place = {(context.name(r), cell(r)): r for r in context.rows}
    body = []
    for place in cells(context.rows):
        found = [by_place.get((n, place)) for n in context.shown]
        body.append([
            *_place_cells(context, place), *(_median_cell(r) for r in found),
        ])  # fmt: skip
    headers = ["Batch", context.load_title, *context.shown]
    return table(headers, body, [INTERVAL_NOTE]) if context.reference else None


def size_table(context: Context) -> Table | None:
    """Files that were made: format, size on disk, seconds, exporter."""
    body = []
    firsts: dict[tuple[str, str], ArtifactRow] = {}
    for row in context.data.artifacts:  # a resumed run finds them again, in the cache
        firsts.setdefault((row.format, row.path), row)
    for row in firsts.values():
        details = mapping(row.details)
        exporter = text(details, "exporter", default="—")
        fallback = text(details, "fallback_reason", default="")
        body.append([
            word(row.format), figure(bytes_text(row.bytes)),
            figure("0" if row.cached and not row.seconds else significant(row.seconds)),
            word("yes" if row.cached else "no"),
            Cell(exporter, f"fallback: {fallback}" if fallback else ""), word(row.path),
        ])  # fmt: skip
    headers = ["Format", "Size on disk (MiB)", "Made in (s)", "From cache", "Exporter", "File"]
    return table(headers, body) if body else None


def load_table(context: Context) -> Table | None:
    """What each backend costs before it answers: size, loading, first call, memory."""
    groups: dict[str, list[LoadedRow]] = {}
    for row in context.data.loads:
        groups.setdefault(context.series_of(row.backend, row.config), []).append(row)
    if not groups:
        return None
    gpu = ["GPU memory, loaded (MiB)", "GPU memory, peak (MiB)"] if context.has_gpu else []
    headers = [
        "Backend", "Size on disk (MiB)", "Load time (s)", "First call (ms)",
        "Host memory, loaded (MiB)", "Host memory, peak (MiB)", *gpu,
    ]  # fmt: skip
    places = {name: i for i, name in enumerate(context.series)}
    ordered = sorted(groups.items(), key=lambda item: places.get(item[0], len(places)))
    body = [_load_cells(context, name, rows, bool(gpu)) for name, rows in ordered]
    notes = [
        "Load time and first call over the rounds, each in a fresh process; memory is the largest "
        "seen, of the backend's process tree, sampled, so a lower bound.",
    ]
    return table(headers, body, notes)


def _load_cells(context: Context, name: str, rows: list[LoadedRow], gpu: bool) -> list[Cell]:
    points = context.of(name)
    sizes = [r.bytes_on_disk for r in rows if r.bytes_on_disk is not None]
    found = [
        word(name, swatch=context.colors.get(name, "")),
        figure(bytes_text(max(sizes, default=None))),
        interval_cell(log_t_interval([r.seconds for r in rows])),
        interval_cell(_over([r.first_call_ms for r in rows])),
        figure(mib_text(_most([r.host_memory_mib for r in rows]))),
        figure(mib_text(_most([r.host_memory_mib for r in points]))),
    ]  # fmt: skip
    if gpu:
        found.append(figure(mib_text(_most([r.gpu_memory_mib for r in rows]))))
        found.append(figure(mib_text(_most([r.gpu_memory_mib for r in points]))))
    return found


def _over(values: Sequence[float | None]) -> Interval | None:
    known = [v for v in values if v is not None]
    return log_t_interval(known) if known else None


def _most(values: Sequence[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _place_cells(context: Context, place: Place) -> list[Cell]:
    row = next(r for r in context.rows if cell(r) == place)
    return [figure(str(row.batch_size)), figure(load_label(row))]


def _median_cell(row: SummaryRow | None) -> Cell:
    return percentile_cell("p50", row.latency_ms.get("p50") if row and row.valid else None)
