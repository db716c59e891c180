"""The report of a profile as a page of its own, and as a section of a run's report."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.profile import sentences
from harness.profile.bound import lead_text
from harness.profile.result import PART_WORDS, PARTS, BackendProfile, BatchProfile, Finding, Profile
from harness.profile.rows import COLUMNS, by_name, longest, size_text
from harness.profile.store import TRACES, read_profile
from harness.report.model import blocks as b
from harness.report.model import section as s
from harness.report.model.context import COLORS
from harness.report.model.manifest_facts import date_text, text
from harness.report.outputs.html import render_html
from harness.report.view import View
from harness.results.store import RunData, read_run
from harness.system.files import write_text

HTML = "report.html"
MOST_ROWS, MOST_BARS = 25, 10
Place = tuple[BackendProfile, BatchProfile]


def write_report(directory: Path) -> Path:
    """Write the HTML report into the directory; its path. Raises RunDirectoryError."""
    path = directory / HTML
    write_text(path, render_html(view_of(read_run(directory), read_profile(directory))))
    return path


def view_of(data: RunData, profile: Profile) -> View:
    """Everything the report says."""
    version = text(data.manifest, "harness_version", default="")
    footer = f"harness {version} · profile of {date_text(data.manifest)}"
    description = text(data.manifest["scenario"], "description", default="")
    return View("Profile", profile.scenario, footer, (
        _summary(profile, description, complete=data.complete), _findings(profile),
        _time(profile), _operators(profile), _starting(profile), _method(profile),
    ))  # fmt: skip


def run_section(run: RunData, directory: Path) -> s.Section:
    """What a run's report says of a profile of the same model. Raises UsageError for another's."""
    profile, other = read_profile(directory), read_run(directory)
    if run.scenario.get("model") != other.scenario.get("model"):
        raise UsageError(
            f"{directory} is a profile of another model than {run.path} measures",
            fix="profile the run's own scenario: harness profile SCENARIO",
        )
    last = {place[0].name: place for place in places(profile)}
    largest = [_operators_chart(place, n, at=True) for n, place in enumerate(last.values())]
    lead = f"From a profile of {date_text(other.manifest)}, made apart from this run."
    return s.Section("profile", "Where the time goes", (
        s.Text(f"{lead} {sentences.NO_TIMING}", "note"),
        s.Prose(tuple(s.compose(line) for line in sentences.of_profile(profile))),
        s.Charts((_parts_chart(profile), *largest)), *_finding_blocks(profile),
    ))  # fmt: skip


def places(profile: Profile) -> list[Place]:
    """Each backend at each batch size."""
    return [(backend, batch) for backend in profile.backends for batch in backend.batches]


def name_of(place: Place) -> str:
    """`torch-cpu-fp32/b4`."""
    return f"{place[0].name}/b{place[1].batch}"


# -------------------------------------------------------------------------------------- sections


def _summary(profile: Profile, description: str, *, complete: bool) -> s.Section:
    devices = {"GPU" if batch.on_gpu else "CPU" for _, batch in places(profile)}
    facts = [
        ("Model", profile.model), ("Device", " and ".join(sorted(devices)) or "n/a"),
        ("Backends", ", ".join(b.name for b in profile.backends)),
        ("Batch sizes", ", ".join(dict.fromkeys(str(b.batch) for _, b in places(profile)))),
    ]  # fmt: skip
    answer = [s.compose(line) for line in sentences.of_profile(profile)]
    return s.Section("summary", "Summary", (
        s.Masthead(profile.scenario, "Profile", description),
        *([] if complete else [s.Text(sentences.CUT_SHORT, "banner")]),
        s.Text(sentences.NO_TIMING, "banner"), s.FactList(tuple(facts)),
        s.Prose(tuple(answer), "answer"),
        *(s.Text(line, "note") for line in sentences.left_out(profile)),
    ))  # fmt: skip


def _findings(profile: Profile) -> s.Section:
    return s.Section("findings", "What would save time", tuple(_finding_blocks(profile)))


def _finding_blocks(profile: Profile) -> list[s.Block]:
    if not profile.findings:
        return [s.Text("Nothing that would save 2 % of the time or more.")]
    found = b.listing(profile.findings, {
        "at": lambda f: b.word(f"{f.backend}/b{f.batch}"),
        "change": lambda f: b.word(f"{f.number}. {f.title}"), "saves at most": _saving,
        "because": lambda f: b.word(f.derivation), "scenario": lambda f: b.word(f.line),
        "measured": lambda f: b.word(sentences.tried_text(f)),
    }, [sentences.OVERLAP])  # fmt: skip
    return [s.TableBlock(found, "Findings", "text")]


def _saving(finding: Finding) -> b.Cell:
    return b.Cell(f"{finding.saving:.0%}", f"{finding.factor:.3g}×", number=True)


def _time(profile: Profile) -> s.Section:
    evidence = b.listing(places(profile), {
        "at": lambda p: b.word(name_of(p)), "bound": lambda p: b.word(p[1].bound.kind),
        **{PART_WORDS[part]: _part_cell(part) for part in PARTS},
        "lead over the second": lambda p: b.figure(
            lead_text(p[1].bound.lead_low, p[1].bound.lead_high)),
        "of the ceiling": lambda p: b.number_cell(p[1].bound.utilisation, ".0%"),
    })  # fmt: skip
    gpus = [p for p in places(profile) if p[1].gpu is not None]
    gpu = b.listing(gpus, {
        "at": lambda p: b.word(name_of(p)),
        **{title: _gpu_cell(name, form) for title, name, form in GPU_COLUMNS},
    })  # fmt: skip
    more = [s.TableBlock(gpu, "What the GPU did")] if gpus else []
    return s.Section("time", "Where the time goes", (
        s.Charts((_parts_chart(profile),)), s.TableBlock(evidence, "Parts of a request"), *more,
    ))  # fmt: skip


GPU_COLUMNS = (
    ("busy", "busy", ".0%"), ("kernels a request", "kernels", ",.0f"),
    ("mean kernel, µs", "kernel_us", ".1f"), ("gaps a request", "gaps", ",.0f"),
    ("mean gap, µs", "gap_us", ".1f"), ("idle for the host", "waiting", ".0%"),
)  # fmt: skip


def _part_cell(part: str):  # type: ignore[no-untyped-def]
    return lambda p: b.number_cell(p[1].bound.shares.get(part), ".1%")


def _gpu_cell(name: str, form: str):  # type: ignore[no-untyped-def]
    return lambda p: b.number_cell(getattr(p[1].gpu, name), form)


def _parts_chart(profile: Profile) -> b.Chart:
    found = places(profile)
    series = []
    for part, color in zip(PARTS, COLORS, strict=False):
        points = [
            (float(x), share * 100, f"{name_of(place)}: {PART_WORDS[part]} {share:.1%}")
            for x, place in enumerate(found)
            if (share := place[1].bound.shares.get(part, 0.0)) > 0
        ]  # fmt: skip
        if points:
            series.append(b.trace(PART_WORDS[part], color, points, "bar"))
    table = b.listing(found, {
        "at": lambda p: b.word(name_of(p)),
        **{PART_WORDS[part]: _part_cell(part) for part in PARTS},
    })  # fmt: skip
    return b.Chart("parts", "A request's time in parts", "", "% of the time", tuple(series), table,
                   ticks=tuple(map(name_of, found)), stacked=True, size="full")  # fmt: skip


def _operators(profile: Profile) -> s.Section:
    parts = [_operators_of(place, number) for number, place in enumerate(places(profile))]
    return s.Section("operators", "Operators, layers, kernels and memory", (
        s.Text("Layers by ONNX Runtime's and TensorRT's own profilers stand in the same tables. "
               "Bytes are what goes in and comes out of an operator, each once.", "note"),
    ), tuple(parts))  # fmt: skip


def _operators_chart(place: Place, number: int, *, at: bool = False) -> b.Chart:
    """The operators that take most of a request, as bars; `at` names the place in the title."""
    named = by_name(place[1].rows)[:MOST_BARS]
    bars = [(float(x), share * 100, f"{name}: {share:.1%}") for x, (name, share, _) in
            enumerate(named)]  # fmt: skip
    shares = b.listing(named, {
        "operator": lambda n: b.word(n[0]), "share": lambda n: b.figure(f"{n[1]:.1%}"),
        "memory taken": lambda n: b.figure(size_text(n[2])),
    })  # fmt: skip
    title = "Operators by their share" + (f": {name_of(place)}" if at else "")
    return b.Chart(
        f"operators-{number}", title, "", "% of the time",
        (b.trace("share", COLORS[0], bars, "bar"),) if bars else (), shares,
        ticks=tuple(n[0].removeprefix("aten::") for n in named), size="full",
    )  # fmt: skip


def _operators_of(place: Place, number: int) -> s.Part:
    backend, batch = place
    chart = _operators_chart(place, number)
    peak = (
        f"Memory peaked {size_text(batch.peak_bytes)} above what was held before, in "
        f"{batch.peak_operator or 'no operator'}." if batch.peak_bytes else
        "This runtime says nothing of memory by operator."
    )  # fmt: skip
    kernels = [r for r in batch.rows if r.source == "kernel"]
    tables = [("Longest", longest(batch, MOST_ROWS)), ("Kernels and copies", kernels)]
    return s.Part(f"operators-of-{number}", name_of(place), (
        s.Charts((chart,)), s.TableBlock(chart.table, "By operator, with memory"),
        s.Text(peak, "note"),
        *(s.TableBlock(_table(backend, rows), title) for title, rows in tables if rows),
        *(s.Text(note, "note") for note in batch.notes),
    ), name=name_of(place), folded=number > 0)  # fmt: skip


def _table(backend: BackendProfile, rows: list) -> b.Table:  # type: ignore[type-arg]
    numbers = ("calls", "µs a request", "share")
    return b.table(list(COLUMNS), [
        [b.figure(say(row, backend)) if title in numbers else b.word(say(row, backend))
         for title, say in COLUMNS.items()] for row in rows
    ])  # fmt: skip


def _starting(profile: Profile) -> s.Section:
    series = []
    for number, place in enumerate(places(profile)):
        points = [(float(n), ms, f"{name_of(place)}, call {n}: {ms:.4g} ms")
                  for n, ms in enumerate(place[1].calls_ms, 1)]  # fmt: skip
        if points:
            color = COLORS[number % len(COLORS)]
            series.append(b.trace(name_of(place), color, points, marker=number))
    said = [line for place in places(profile) if (line := sentences.starting(*place))]
    table = b.listing(places(profile), {
        "at": lambda p: b.word(name_of(p)),
        "first call, ms": lambda p: b.number_cell(p[1].calls_ms[0] if p[1].calls_ms else None),
        "later, median ms": lambda p: b.number_cell(p[1].steady_ms or None),
        "loading, s": lambda p: b.number_cell(p[0].load_seconds),
    })  # fmt: skip
    chart = b.Chart("calls", "The first calls of a fresh process", "call", "ms", tuple(series),
                    table, log_y=True, size="full")  # fmt: skip
    return s.Section("starting", "The first call against the steady state", (
        s.Prose(tuple(s.compose(line) for line in said)),
        *([s.Charts((chart,))] if series else []),
    ))  # fmt: skip


def _method(profile: Profile) -> s.Section:
    ceilings = [
        f"{x.name}: {x.ceilings.how}; dispatch of an operator that does nothing "
        f"{x.ceilings.floor_us:.2f} µs." for x in profile.backends if x.ceilings
    ]  # fmt: skip
    traces = [f"{name_of(p)}: {', '.join(p[1].traces)}" for p in places(profile) if p[1].traces]
    lines = [
        *ceilings, *(line for p in places(profile) if (line := sentences.overhead(*p))),
        f"The traces open in Perfetto (ui.perfetto.dev) and chrome://tracing, and PyTorch's in "
        f"TensorBoard with the profiler plugin: tensorboard --logdir {TRACES}.", *traces,
    ]  # fmt: skip
    return s.Section("method", "Method", (s.Prose(tuple(s.compose(line) for line in lines)),))
