"""The report of a stress run: the answers in words first, then everything on one time axis."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.measure.quantiles import FLOORS
from harness.report.model import blocks as b
from harness.report.model import section as s
from harness.report.model.context import COLORS
from harness.report.model.labels import counted
from harness.report.model.manifest_facts import date_text, text
from harness.report.model.numbers import significant
from harness.report.outputs.html import render_html
from harness.report.view import View
from harness.results.samples import OK
from harness.results.series import Quantity
from harness.stress.answers import PHASE_COLUMNS, ms_text
from harness.stress.fairness import demands
from harness.stress.results import MIB, Results
from harness.stress.timeline import Timeline, known, open_at, seconds_of
from harness.swarm import shapes
from harness.system.files import write_text
from harness.triton.counters.metrics import parse

HTML, PDF = "report.html", "report.pdf"
MOST_POINTS = 300
"""Stretches that an axis is cut into at most; of a second each in a short run."""
MOST_LINES = 6
LINES = 3
"""For the names of faults, which may follow one another closely."""
WIDEST = 90
"""Characters of an error in a legend: Triton says what went wrong at its end."""
PENDING = "nv_inference_pending_request_count"
X = "seconds after the load began"


def write_report(found: Results) -> Path:
    """Write the HTML report into the run directory; its path."""
    path = found.run.directory / HTML
    write_text(path, render_html(view_of(found)))
    return path


def write_print(found: Results) -> Path:
    """Write the same as a PDF; its path."""
    from harness.report.charts.matplotlib import svg
    from harness.report.outputs.pdf import write_pdf

    path, view = found.run.directory / PDF, view_of(found)
    drawings = {chart.id: svg(chart) for chart in view.printed_charts()}
    write_pdf(view, drawings, path, str(found.run.manifest.get("created") or ""))
    return path


def view_of(found: Results) -> View:
    """Everything the report says."""
    manifest = found.run.manifest
    version = text(manifest, "harness_version", default="")
    footer = f"harness {version} · stress run of {date_text(manifest)}"
    return View("Stress Result", found.name, footer, (
        _summary(found), _time(found), _phases(found), *_models(found), _memory(found),
        _method(found),
    ))  # fmt: skip


# -------------------------------------------------------------------------------------- sections


def _summary(found: Results) -> s.Section:
    outcome = found.run.outcome
    description = text(found.run.manifest["scenario"], "description", default="")
    early = [outcome.early] if outcome.early else []
    banners = [*early, *(f"{text[:1].upper()}{text[1:]}." for text in found.answers.flags)]
    tone = {"holds": "good", "broken": "bad", "unknown": "muted"}
    thresholds = b.listing(found.judged, {
        "threshold": lambda j: b.word(j.name),
        "verdict": lambda j: b.status(j.verdict, tone=tone[j.verdict]),  # type: ignore[arg-type]
        "what was found": lambda j: b.word(j.words),
    })  # fmt: skip
    return s.Section("summary", "Summary", (
        s.Masthead(found.name, "Stress Result", description),
        *(s.Text(banner, "banner") for banner in banners),
        s.FactList(tuple(_facts(found))),
        s.Prose(tuple(s.compose(text) for text in found.sentences()), "answer"),
        *([s.TableBlock(thresholds, "Thresholds", "text")] if found.judged else []),
    ))  # fmt: skip


def _facts(found: Results) -> list[tuple[str, str]]:
    run = found.run
    backends: list[dict[str, object]] = run.manifest["scenario"]["backends"]
    spec = next((b for b in backends if b.get("kind") == "triton"), {})
    unit = "requests a second" if shapes.by_rate(run.stress.shape.chosen) else "users"
    return [
        ("Shape", f"{run.stress.shape.kind}, in {unit}"),
        ("Model", f"{run.outcome.served_name}, batch {run.outcome.batch_size}"),
        ("Protocol", str(spec.get("protocol", ""))),
        ("Load by", f"Locust, {counted(run.outcome.workers, 'process', 'processes')}"),
        ("Parity", ", ".join(sorted({p.status for p in run.outcome.parity})) or "n/a"),
    ]


def _time(found: Results) -> s.Section:
    cut = _cut(found)
    drawn = (draw(found, cut) for draw in (_rates, _latency, _open, _errors))
    charts = [*drawn, _cpu(found)]
    marks = "Shaded: the phases, and from its begin to its end each fault."
    return s.Section("time", "What happened when", (
        s.Text(marks, "note"), s.Charts(tuple(c for c in charts if c is not None)),
    ))  # fmt: skip


def _phases(found: Results) -> s.Section:
    phases = b.table(["phase", *PHASE_COLUMNS], [
        [b.word(p.name), *(b.figure(said(p)) for said in PHASE_COLUMNS.values())]
        for p in found.answers.phases
    ])  # fmt: skip
    faults = b.listing(found.run.outcome.faults, {
        "fault": lambda f: b.word(str(f["kind"])),
        "begin": lambda f: b.figure(f"{f['begin']:.1f} s"),
        "undone after": lambda f: b.figure(f"{f['end'] - f['begin']:.1f} s"),
        "how": lambda f: b.word(f.get("problem") or f["how"]),
    })  # fmt: skip
    errors = b.listing(found.answers.errors, {
        "what went wrong": lambda e: b.word(e.kind), "times": lambda e: b.figure(f"{e.count:,}"),
        "first": lambda e: b.figure(f"{e.first:.1f} s"),
        "last": lambda e: b.figure(f"{e.last:.1f} s"),
    })  # fmt: skip
    tables = (("Phases", phases), ("Faults", faults), ("Errors", errors))
    blocks = [s.TableBlock(t, title, "text") for title, t in tables if t.rows]
    return s.Section("phases", "Phases, faults and errors", tuple(blocks))


def _models(found: Results) -> Iterator[s.Section]:
    """What each model of the server got, where there are several."""
    fair = found.answers.fairness
    if not fair:
        return
    got = b.listing([(f, share) for f in fair for share in f.shares], {
        "phase": lambda x: b.word(x[0].phase), "model": lambda x: b.word(x[1].model),
        "asked/s": lambda x: b.figure("as users" if x[1].offered is None
                                      else f"{x[1].offered:.1f}"),
        "answered/s": lambda x: b.figure(f"{x[1].answered:.1f}"),
        "share of all": lambda x: b.figure(f"{x[1].share:.0%}"),
        "failed": lambda x: b.figure(f"{x[1].error_rate:.2%}"),
        "p50": lambda x: b.figure(ms_text(x[1].p50_ms)),
        "p99": lambda x: b.figure(ms_text(x[1].p99_ms)),
    })  # fmt: skip
    index = b.listing(fair, {
        "phase": lambda f: b.word(f.phase),
        "Jain's index": lambda f: b.word(f.why_not) if f.index is None else
        b.Cell(f"{f.index:.3f}", f"{f.low:.3f} – {f.high:.3f}", number=True),
    })  # fmt: skip
    by_rate = all(share.offered is not None for share in fair[0].shares)
    what = "the share of what it asked for that was answered, at most all" if by_rate else \
        "inferences a second for each of its users"  # fmt: skip
    note = (f"Inferences a second. The index is of what each model got: {what}; 1 where all got "
            f"alike, {1 / len(fair[0].shares):.2g} where one got everything.")  # fmt: skip
    x, width = [t for t, _ in _cut(found)[1]], _cut(found)[2]
    start = found.run.outcome.start_ns
    lines: list[Line] = []
    for demand in demands(found.run, shapes.phases(found.run.stress.shape.chosen)[0]):
        done = (demand.samples.done[demand.samples.status == OK] - start) / 1e9
        counts = [np.count_nonzero(np.abs(done - t) <= width / 2) * demand.batch / width for t in x]
        lines.append((demand.name, x, counts))
    chart = _chart(found, "models", "Answered, by model", "inferences a second", lines)
    yield s.Section("models", "Fairness between the models", (
        *([s.Charts((chart,))] if chart else []), s.TableBlock(got, "What each got", "text"),
        s.TableBlock(index, "Fairness", "text"), s.Text(note, "note"),
    ))  # fmt: skip


def _memory(found: Results) -> s.Section:
    growth = b.listing(found.growth.items(), {
        "of": lambda g: b.word(g[0]), "verdict": lambda g: b.word(g[1].kind),
        "MiB an hour": lambda g: b.Cell(significant(g[1].slope), number=True,
                                      range=f"{significant(g[1].low)} – {significant(g[1].high)}"),
        "in words": lambda g: b.word(g[1].words("It")),
    })  # fmt: skip
    lines = [
        (process.name, _seconds(found, process.t_ns), process.resident / MIB)
        for process in sorted(found.run.memory, key=lambda m: -int(m.resident.max()))
    ]
    chart = _chart(found, "memory", "Resident memory", "MiB", lines[:MOST_LINES])
    judged = [s.TableBlock(growth, "Growth", "text")] if growth.rows else [
        s.Text("Growth is judged from a minute on.", "note")
    ]  # fmt: skip
    return s.Section("memory", "Memory", (*([s.Charts((chart,))] if chart else []), *judged))


def _method(found: Results) -> s.Section:
    outcome = found.run.outcome
    sentences = [
        "Every request is kept with its nanoseconds by a recorder in Locust's events; percentiles "
        "are those of all requests of all workers, with failures at infinity.",
        "At a rate, latency counts from when a request was due; with users, from when it was sent.",
        *(f"Worker {w['worker']} on {w['host']}: its clock may be off by "
          f"{w['clock_error_ns'] / 1e6:.2f} ms." for w in outcome.joined),
        *(f"The load of {name}, which is co-located, is made by the harness's own generator."
          for name in found.run.colocated),
        *(_sentence(f"Fault {f['kind']}: {f['how']}") for f in outcome.faults),
        *(_sentence(note) for note in outcome.notes),
    ]  # fmt: skip
    return s.Section("method", "Method", (s.Prose(tuple(s.compose(text) for text in sentences)),))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


# ---------------------------------------------------------------------------------------- charts

Line = tuple[str, Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


def _seconds(found: Results, t_ns: np.ndarray) -> np.ndarray:
    return (t_ns - found.run.outcome.start_ns) / 1e9


def _until(found: Results) -> float:
    return max(found.run.outcome.seconds, 1e-3)


Cut = tuple[Timeline, list[tuple[float, slice]], float]
"""All requests in time, stretches of it with their requests, and how long each is."""


def _cut(found: Results) -> Cut:
    until = _until(found)
    width = max(1.0, math.ceil(until / MOST_POINTS))
    line = Timeline.of(found.run.merged, found.run.outcome.start_ns)
    return line, list(seconds_of(line, until, width)), width


def bands(found: Results) -> tuple[b.Band, ...]:
    """Phases (where there are several) and faults, in seconds."""
    phases = [p for p in shapes.phases(found.run.stress.shape.chosen) if p.begin < _until(found)]
    marks = [b.Band(p.begin, min(p.end, _until(found)), p.name) for p in phases]
    faults = [b.Band(f["begin"], max(f["end"], f["begin"] + 0.1), f["kind"], 1 + number % LINES)
              for number, f in enumerate(found.run.outcome.faults)]  # fmt: skip
    return (*(marks if 1 < len(marks) < 12 else ()), *faults)


def _chart(
    found: Results, id: str, title: str, unit: str, lines: Iterable[Line], *, log: bool = False
) -> b.Chart | None:
    """Lines over the run's seconds, broken where there is no value; None without any."""
    series: list[b.ChartSeries] = []
    rows: list[tuple[str, float, float]] = []
    for number, (name, x, y) in enumerate(lines):
        inside = (
            (float(a), float(b)) for a, b in zip(x, y, strict=True) if 0 <= a <= _until(found)
        )
        pieces = [list(piece) for known, piece in itertools.groupby(
            inside, lambda point: math.isfinite(point[1])) if known]  # fmt: skip
        for piece in pieces:
            points = [(a, b, f"{significant(b, 4)} {unit} at {a:.1f} s") for a, b in piece]
            mode: b.Mode = "thin" if len(points) > 1 else "line"  # which marks a point alone
            series.append(b.trace(name, COLORS[number % len(COLORS)], points, mode, dash=number))
        whole = [(name, *point) for piece in pieces for point in piece]
        rows += whole[:: max(1, len(whole) // 40)]
    if not series:
        return None
    columns: dict[str, Callable[[tuple[str, float, float]], b.Cell]] = {
        "series": lambda r: b.word(r[0]), "second": lambda r: b.figure(f"{r[1]:.1f}"),
        unit: lambda r: b.figure(significant(r[2], 4)),
    }  # fmt: skip
    table: b.Table = b.listing(rows, columns)
    return b.Chart(id, title, X, unit, tuple(series), table, bands=bands(found), size="full",
                 log_y=log and all(v > 0 for s in series for v in s.y))  # fmt: skip


def _rates(found: Results, cut: Cut) -> b.Chart | None:
    line, parts, width = cut
    x = [t for t, _ in parts]
    done = [np.count_nonzero(line.ok & (np.abs(line.done - t) <= width / 2)) / width for t in x]
    return _chart(found, "rates", "Load and answers", "requests a second", [
        ("due", x, [(p.stop - p.start) / width for _, p in parts]), ("answered", x, done),
        ("failed", x, [float(np.count_nonzero(~line.ok[p])) / width for _, p in parts]),
    ])  # fmt: skip


def _latency(found: Results, cut: Cut) -> b.Chart | None:
    line, parts, _ = cut
    x = [t for t, _ in parts]

    each = [known(line.latency_ms[p], line.ok[p]) for _, p in parts]
    few = any(e["p99"] is None and p.start < p.stop for e, (_, p) in zip(each, parts, strict=True))
    lines = [(q, x, [math.nan if (v := e[q]) is None else v for e in each]) for q in ("p50", "p99")]
    lines = [drawn for drawn in lines if not np.isnan(drawn[2]).all()]
    if few:
        slowest = [math.nan if (v := line.quantile(p, 1.0)) is None else v for _, p in parts]
        lines.append(("slowest", x, slowest))
    gaps = f"failures, or too few for p99 ({FLOORS['p99']})" if few else "failures"
    title = f"Latency of what was due in each second; gaps are {gaps}"
    return _chart(found, "latency", title, "ms", lines, log=True)


def _open(found: Results, cut: Cut) -> b.Chart | None:
    line, parts, _ = cut
    x = [t for t, _ in parts]
    lines: list[Line] = [("due and not over (clients)", x, [open_at(line, t) for t in x])]
    pending = []
    for reading in found.run.metrics.get("readings", ()):
        name = found.run.outcome.served_name
        value = parse(reading["text"]).total(PENDING, model=name)
        if value is not None:
            pending.append((_seconds(found, np.array([reading["end_ns"]]))[0], value))
    if pending:
        lines.append(("pending (Triton)", [t for t, _ in pending], [v for _, v in pending]))
    return _chart(found, "open", "Open requests", "requests", lines)


def _errors(found: Results, cut: Cut) -> b.Chart | None:
    line, parts, width = cut
    x, names = [t for t, _ in parts], found.run.merged.kinds
    lines: list[Line] = []
    for kind in found.answers.errors[:MOST_LINES]:
        mine = (line.kind == list(names).index(kind.kind)) if kind.kind in names else ~line.ok
        counts = [float(np.count_nonzero(mine[p] & ~line.ok[p])) / width for _, p in parts]
        lines.append((textwrap.shorten(kind.kind, WIDEST, placeholder=" …"), x, counts))
    return _chart(found, "errors", "Failures by kind", "failures a second", lines)


def _cpu(found: Results) -> b.Chart | None:
    """Processor time of the server's processes, and what the GPU does where there is one."""
    lines: list[Line] = []
    for key, values in found.run.telemetry.items():
        t = _seconds(found, values.t_ns)
        inside = (t >= 0) & (t <= _until(found))
        if not inside.any():
            continue
        if key.quantity is Quantity.TREE_CPU_S and len(t) > 20:
            step = max(1, len(t) // MOST_POINTS, 20)
            rate = np.diff(values.value[::step]) / np.diff(t[::step]) * 100
            rate[rate < 0] = np.nan  # another process, that had used nothing yet
            lines.append(("server, % of a processor", t[::step][1:], rate))
        elif key.quantity is Quantity.UTILIZATION_PERCENT:
            step = max(1, len(t) // MOST_POINTS)
            lines.append((f"{key.device}, % busy", t[::step], values.value[::step]))
    units = {name.partition(", ")[2] for name, *_ in lines}
    unit = units.pop() if len(units) == 1 else "%"
    return _chart(found, "load", "What the server used", unit, lines)
