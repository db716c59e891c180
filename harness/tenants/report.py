"""The report of a sharing run: the answers first, then the tables, the heat map and the method."""

from __future__ import annotations

from pathlib import Path

from harness.report.model import blocks as b
from harness.report.model import labels
from harness.report.model import section as s
from harness.report.model.context import COLORS
from harness.report.model.manifest_facts import date_text, text
from harness.report.outputs.html import render_html
from harness.report.sections.flags import flags_table
from harness.report.sections.notes import disturbances
from harness.report.view import View
from harness.results.events import Note
from harness.system.files import write_text
from harness.tenants import predicted_tables as p
from harness.tenants.design import load_text
from harness.tenants.prediction import predictions
from harness.tenants.results import Results
from harness.tenants.tables import (
    HOTTEST,
    answers,
    fit_table,
    matrix,
    percent_text,
    sharing_table,
    tenant_table,
)

HTML = "report.html"


def write_report(found: Results) -> Path:
    """Write the HTML report into the run directory; its path."""
    path = found.data.path / HTML
    write_text(path, render_html(view_of(found)))
    return path


def view_of(found: Results) -> View:
    """Everything the report says."""
    manifest = found.data.manifest
    version = text(manifest, "harness_version", default="")
    footer = f"harness {version} · sharing run of {date_text(manifest)}"
    sections = (_summary(found), _table(found), _tenants(found), _predicted(found), _fits(found),
                _method(found))  # fmt: skip
    return View("Sharing", found.scenario.scenario, footer,
                tuple(section for section in sections if section is not None))  # fmt: skip


def _summary(found: Results) -> s.Section:
    invalid = [row.point for row in found.rows.values() if row.measurements and not row.valid]
    banners = [f"Could not be measured: {cell.id}: {why}" for cell, why in found.failures]
    if invalid:
        banners.append(
            f"{len(invalid)} of {labels.counted(len(found.rows), 'row')} invalid: do not rely on "
            "them. Why, and what helps, is at the end under “What was flagged”."
        )
    whole = (row for cell in found.design.cells if (row := found.rows.get(cell.id)) is not None)
    banners += disturbances(whole, again="")
    facts = [
        ("Tenants", ", ".join(
            f"{t.name} ({t.backend or found.scenario.backends[0].name}, {load_text(t.load)})"
            for t in found.sharing.tenants)),
        ("Modes", ", ".join(mode.words for mode in found.modes)),
        ("Rounds", str(found.scenario.measurement.rounds)), ("Device", _device(found)),
    ]  # fmt: skip
    predicted = (text for each in predictions(found) for text in p.words(each))
    said = tuple(s.compose(text) for text in (*answers(found), *predicted))
    return s.Section("summary", "Summary", (
        s.Masthead(found.scenario.scenario, "Sharing", found.scenario.description),
        *(s.Text(banner, "banner") for banner in banners), s.FactList(tuple(facts)),
        *([s.Prose(said, "answer")] if said else []),
    ))  # fmt: skip


def _device(found: Results) -> str:
    machine = found.data.manifest.get("machine") or {}
    if any(backend.on_gpu for backend in found.scenario.backends):
        return ", ".join(str(gpu.get("name")) for gpu in machine.get("gpus") or ()) or "GPU"
    cpu = machine.get("cpu") or {}
    return f"{cpu.get('model', 'CPU')}, {cpu.get('usable', '?')} cores"


def _table(found: Results) -> s.Section | None:
    if not found.table:
        return None
    charts = [c for c in (_kept_chart(found),) if c is not None]
    return s.Section("sharing", "Replicas beside one tenant with the same load", (
        s.Text("The load of the device is the same in all rows under it: one tenant has all of "
               "it, or n replicas have an nth each.", "note"),
        *([s.Charts(tuple(charts))] if charts else []),
        s.TableBlock(sharing_table(found), "The sharing table"),
    ))  # fmt: skip


def _kept_chart(found: Results) -> b.Chart | None:
    """The share of dedicated throughput that is kept, over the load of the device."""
    loads = list(dict.fromkeys(row.load for row, _ in found.table))
    series, marks = [], list(dict.fromkeys(row.count for row, _ in found.table))
    for number, mode in enumerate(found.modes):
        for count in marks:
            points = [
                (float(loads.index(row.load)), compared.throughput_kept)
                for row, compared in found.table
                if (row.cell.mode, row.count) == (mode, count) and compared.throughput_kept
            ]  # fmt: skip
            if not points:
                continue
            name = f"{count} × {mode.words}"
            ends = [None if k.low is None or k.high is None else (100 * k.low, 100 * k.high)
                    for _, k in points]  # fmt: skip
            series.append(b.ChartSeries(
                name, COLORS[number % len(COLORS)], tuple(x for x, _ in points),
                tuple(100 * k.value for _, k in points), y_range=tuple(ends),
                labels=tuple(f"{name}, {loads[int(x)]}: {percent_text(k)}" for x, k in points),
                marker=marks.index(count),
            ))  # fmt: skip
    if not series:
        return None
    return b.Chart(
        "kept", "Throughput kept of one tenant's with the same load", "load of the device",
        "% of dedicated", tuple(series), sharing_table(found), ticks=tuple(loads), size="full",
        bounds=(b.ReferenceLine("y", 100.0, "dedicated"),),
        markers=tuple(f"{count} replicas" for count in marks) if len(marks) > 1 else (),
    )  # fmt: skip


def _tenants(found: Results) -> s.Section | None:
    if not found.design.together:
        return None
    maps = [(mode, table) for mode in found.modes if (table := matrix(found, mode)) is not None]
    return s.Section("tenants", "Who slows whom", (
        s.TableBlock(tenant_table(found), "All tenants together, and each alone"),
        *(s.TableBlock(table, f"Interference under {mode.words}") for mode, table in maps),
        s.Text("How many times longer the row's requests take on average while the column runs "
               "beside it than alone, with its 95 % interval; on the diagonal a second one of "
               f"itself runs beside it. The colour goes from 1 to {HOTTEST:g}.", "note"),
    ))  # fmt: skip


def _predicted(found: Results) -> s.Section | None:
    tables = [
        s.TableBlock(table, f"{title} under {each.mode.words}")
        for each in predictions(found) for title, table in p.parts(each)
    ]  # fmt: skip
    if not tables:
        return None
    return s.Section("predicted", "Who would slow whom, predicted", (
        *tables, s.Text(p.NOTE, "note"),
    ))  # fmt: skip


def _fits(found: Results) -> s.Section | None:
    if found.sharing.target is None:
        return None
    return s.Section("target", "How many replicas hold the target", (
        s.TableBlock(fit_table(found), style="text"),
        s.Text("holds: the interval of every replica's p99 ends below the target; fails: that "
               "of one begins above it, at the level of all of them.", "note"),
    ))  # fmt: skip


def _method(found: Results) -> s.Section:
    m, widths = found.scenario.measurement, found.half_widths
    lines = [
        f"{labels.counted(m.rounds, 'round')}. In each, every mode's tenants are started anew in "
        "processes of their own and measured cell by cell; modes and cells come in balanced order.",
        "All tenants of a cell are under load before its window begins and after it ends. Ratios "
        "are taken within rounds, and all cells lend one another their variance.",
        "Memory, energy and CPU are those of all tenants of a cell together.",
        *([f"Half-widths of the shares in the sharing table: up to {max(widths):.1%}."]
          if widths else []),
        *(note.text for note in found.data.rows(Note)),
    ]  # fmt: skip
    flags = flags_table([*found.rows.values()], rest="")
    return s.Section("method", "Method", (
        s.Prose(tuple(s.compose(line) for line in lines)),
        *([s.TableBlock(flags, "What was flagged", "text")] if flags else []),
    ))  # fmt: skip
