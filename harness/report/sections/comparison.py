"""The comparison of configurations: speed-up, latency, size on disk, loading and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.analysis import best, speedup
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import SummaryRow
from harness.report.charts.lines import latency_by_batch, speedup_chart
from harness.report.model import blocks, columns, numbers
from harness.report.model.context import Context
from harness.report.model.labels import load_label
from harness.report.model.manifest_facts import mapping, text
from harness.report.model.section import Charts, Section, Text, titled
from harness.report.sections import colocated, points, servers
from harness.results.grouping import firsts, grouped
from harness.results.rows import ArtifactRow, LoadedRow


def section(context: Context) -> Section | None:
    """Configurations against each other; None of a run that searched for capacities only."""
    if context.searched and not context.rows:
        return None
    alone = len({r.backend for r in context.rows}) == 1
    charts = (latency_by_batch(context), speedup_chart(context))
    return Section(
        "comparison",
        "Configuration comparison" if alone else "Backend comparison",
        (
            Text(_intro(context, alone)),
            Charts(tuple(c for c in charts if c is not None)),
            *titled(
                ("Speed-up", speedup_table(context)),
                ("Alone and together", colocated.together_table(context)),
            ),
            *titled(("Median latency (ms)", latency_table(context)), only="appendix"),
            *titled(
                ("Size on disk", size_table(context)),
                ("Loading and memory", load_table(context)),
            ),
            *titled(
                ("Servers before they load a model", servers.server_only_table(context)),
                only="appendix",
            ),
        ),
    )


def _intro(context: Context, alone: bool) -> str:
    if context.reference is None:
        return "Nothing was measured, so there is nothing to compare."
    if context.reference_is_eager:
        return f"The reference is {context.reference}: eager PyTorch in fp32."
    if alone:
        return f"The reference is the default configuration, {context.reference_series}."
    return (
        f"No eager PyTorch fp32 was measured, so the reference is the first backend, "
        f"{context.reference_series}."
    )


def _sweep_table(
    context: Context,
    names: Sequence[str],
    said: Callable[[SummaryRow | None], blocks.Cell],
    note: str,
) -> blocks.Table:
    """A row a cell of the sweep, a column a configuration; none without a reference."""
    rows = context.rows if names and context.reference is not None else ()
    by_place = {(context.name(r), speedup.cell(r)): r for r in rows}
    anyone = {speedup.cell(r): r for r in rows}
    body = [
        [
            blocks.figure(anyone[place].request), blocks.figure(load_label(anyone[place])),
            *(said(by_place.get((name, place))) for name in names),
        ]
        for place in speedup.cells(rows)
    ]  # fmt: skip
    return blocks.table(["Batch", context.load_title, *names], body, [note])


def speedup_table(context: Context) -> blocks.Table:
    """Throughput over the reference's."""
    names = [n for n in context.shown if n != context.reference_series]
    ratios, shown = context.speedups, {*names}
    note = (
        "Ratio of throughputs at the same batch size and concurrency with its 95% interval (within "
        "rounds, see Differences below). Grey: no difference shown, the interval includes 1."
    )
    rows = [r for r in context.rows if context.name(r) in shown]
    known = [ratio for r in rows if (ratio := ratios.get(r.point)) is not None]
    note += (
        f" {sum(map(best.differs, known))} of {len(known)} ratios are coloured; if all were equal, "
        f"about {0.05 * len(known):.1f} would be by chance."
    )
    if any(best.usable(r) and ratios.get(r.point) is None for r in rows):
        note += " n/a: the reference failed, is invalid or was not measured there."
    return _sweep_table(context, names, lambda r: _ratio_cell(r, ratios), note)


def _ratio_cell(row: SummaryRow | None, ratios: Mapping[str, Interval | None]) -> blocks.Cell:
    """`1.62× 1.57–1.68`, or that no difference is shown, or why there is no ratio."""
    ratio, unknown = None, "not measured"
    if row is not None and (not row.rounds or row.failures):
        unknown = "failed"
    elif row is not None:
        ratio, unknown = ratios.get(row.point), numbers.NOT_AVAILABLE if row.valid else "invalid"
    if ratio is None:
        return blocks.Cell(unknown, tone="muted", number=True)
    shown = best.differs(ratio)
    return blocks.Cell(
        f"{numbers.value_text(ratio)}×", numbers.range_text(ratio),
        "" if shown else "no difference shown",
        ("good" if ratio.value > 1 else "bad") if shown else "muted", number=True,
    )  # fmt: skip


def latency_table(context: Context) -> blocks.Table:
    """Median latency."""
    return _sweep_table(context, context.shown, lambda row: blocks.percentile_cell(
        "p50", row.value("latency_p50_ms") if row and row.valid else None
    ), points.INTERVAL_NOTE)  # fmt: skip


def size_table(context: Context) -> blocks.Table:
    """Files that were made: format, size on disk, seconds, exporter."""
    # a resumed run finds them again, in the cache
    files = firsts(context.data.rows(ArtifactRow), lambda a: (a.format, a.path))
    return blocks.listing(files, {
        "Format": lambda a: blocks.word(a.format),
        "Size on disk (MiB)": lambda a: blocks.figure(numbers.bytes_text(a.bytes)),
        "Made in (s)": lambda a: blocks.figure(
            "0" if a.cached and not a.seconds else numbers.significant(a.seconds)
        ),
        "From cache": lambda a: blocks.word("yes" if a.cached else "no"),
        "Exporter": _exporter,
        "File": lambda a: blocks.word(a.path),
    })  # fmt: skip


def _exporter(row: ArtifactRow) -> blocks.Cell:
    details = mapping(row.details)
    fallback = text(details, "fallback_reason", default="")
    return blocks.Cell(text(details, "exporter", default="—"), fallback and f"fallback: {fallback}")


def load_table(context: Context) -> blocks.Table:
    """What each backend costs before it answers: size, loading, first call, memory."""
    groups = grouped(context.data.loads, lambda r: context.names.of(r.backend, r.config))
    places = {name: i for i, name in enumerate(context.series)}
    ordered = sorted(groups, key=lambda name: places.get(name, len(places)))
    gpu: dict[str, Callable[[str], blocks.Cell]] = {
        "GPU memory, loaded (MiB)": lambda n: _most(r.gpu_memory_mib for r in groups[n]),
        "GPU memory, peak (MiB)": lambda n: _most(r.gpu_memory_mib for r in context.of(n)),
    }
    version: dict[str, Callable[[str], blocks.Cell]] = {
        "Model version": lambda n: blocks.word(_version(groups[n][-1])),
    }
    return blocks.listing(ordered, {
        "Backend": lambda n: columns.series_cell(context, n),
        **(version if any(_version(rows[-1]) for rows in groups.values()) else {}),
        "Size on disk (MiB)": lambda n: blocks.figure(numbers.bytes_text(
            max((r.bytes_on_disk for r in groups[n] if r.bytes_on_disk is not None), default=None)
        )),
        "Load time (s)": lambda n: _over(r.seconds for r in groups[n]),
        "First call (ms)": lambda n: _over(r.first_call_ms for r in groups[n]),
        "Host memory, loaded (MiB)": lambda n: _most(r.host_memory_mib for r in groups[n]),
        "Host memory, peak (MiB)": lambda n: _most(r.host_memory_mib for r in context.of(n)),
        **(gpu if context.has_gpu else {}),
    }, [
        "Load time and first call over the rounds, each in a fresh process; memory is the largest "
        "seen, of the backend's process tree, sampled, so a lower bound.",
    ])  # fmt: skip


def _version(row: LoadedRow) -> str:
    """Of a model on a server, with those that it had besides."""
    measured = row.details.get("model_version", "")
    had = row.details.get("model_versions", measured)
    return measured if had == measured else f"{measured} of {had}"


def _over(values: Iterable[float | None]) -> blocks.Cell:
    known = [v for v in values if v is not None]
    return blocks.interval_cell(log_t_interval(known) if known else None)


def _most(values: Iterable[float | None]) -> blocks.Cell:
    return blocks.figure(numbers.mib_text(max((v for v in values if v is not None), default=None)))
