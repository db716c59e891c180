"""The plan as a report of its own, HTML and PDF: page 1's form, then what stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.analysis.summary import summarize
from harness.plan.deployment import Service
from harness.plan.files import files_of, header_of
from harness.plan.memory_model import Combination
from harness.plan.outputs import answer, memory_lines, no_files, nobody, reasons, refused
from harness.plan.planning import UNTRIED, Cell, Plan, SystemPlan
from harness.plan.proving import Proof, sentence
from harness.plan.units import stated
from harness.report.model import blocks, labels
from harness.report.model.blocks import Chart, ChartSeries, ReferenceLine, figure, trace, word
from harness.report.model.colours import COLORS, REFERENCE_COLOR
from harness.report.model.manifest_facts import date_text, device_line
from harness.report.model.section import (
    Block,
    Charts,
    Code,
    Heading,
    Masthead,
    Only,
    Section,
    Sentence,
    TableBlock,
    Text,
    Verdict,
    bold,
    compose,
)
from harness.report.sections import memory
from harness.report.view import View
from harness.results.store import RunData
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.files import write_text

LOG_FROM = 10.0
"""Times the smallest size from which the axis of sizes is logarithmic: the card is to be seen."""
FEW = 4
"""Systems up to which page 1 names each one's value, and print has their files."""
_UNTRIED = UNTRIED.replace("`", "")
ESTIMATED = "estimate, with its range"


def write_report(
    plan: Plan, data: RunData, service: Service, html: Path | None, pdf: Path | None
) -> None:
    """Write the pages that are asked for."""
    from harness.report.charts.matplotlib import svg
    from harness.report.outputs.html import render_html

    found = view(plan, data, service)
    drawings = {chart.id: svg(chart) for chart in found.printed_charts()}
    if html is not None:
        write_text(html, render_html(found, drawings))
    if pdf is not None:
        from harness.report.outputs.pdf import write_pdf

        write_pdf(found, drawings, pdf, str(data.manifest.get("created") or ""))


def view(plan: Plan, data: RunData, service: Service) -> View:
    """Everything that the pages say."""
    charts = tuple(memory_charts(plan, data))
    sections = (
        Section("summary", "Plan", (
            _masthead(plan, data), _verdict(plan), *([Charts(charts)] if charts else []),
        )),
        Section("proof", "Proof and memory", (
            Heading("Proof"), *_proof(plan.proof), *_memory(plan, data),
        )),
        Section("systems", "Requests", (
            *_requests(plan), TableBlock(_what_if(plan), "What if"),
        )),
        _together(plan), _files(plan, service),
    )  # fmt: skip
    version = str(data.manifest.get("harness_version") or "")
    footer = f"harness {version} · plan from the run of {date_text(data.manifest)}"
    return View("Plan", plan.scenario, footer, tuple(s for s in sections if s is not None))


# -------------------------------------------------------------------------------------- page 1


def _masthead(plan: Plan, data: RunData) -> Masthead:
    where, demand = device_line(data.manifest), plan.demand
    lead = (
        f"{plan.scenario} on {where} · {date_text(data.manifest)} · "
        f"{stated(demand.planned_rate)} inferences a second within p99 ≤ "
        f"{stated(demand.slo_p99_ms)} ms"
    )
    return Masthead("Plan", "What to deploy, and what to ask for", lead)


def _verdict(plan: Plan) -> Verdict:
    """As page 1 of a run: headings with their lines, one without lines left out."""
    undecided = len(plan.undecided)
    beware = [*plan.estimates]
    if undecided:
        beware.append(
            f"{labels.counted(undecided, 'point')} neither shown to hold the target nor to fail it "
            "(harness explain says what is missing)"
        )
    entries = {
        "TAKE": [compose(bold(answer(plan)))],
        "PROOF": [_proof_line(plan.proof)],
        "ASK FOR": list(map(compose, _ask(plan))),
        "WHY": list(map(compose, reasons(plan))),
        "BEWARE": [compose(_sentence(text)) for text in beware],
    }
    return Verdict(tuple((title, tuple(lines)) for title, lines in entries.items() if lines))


def _proof_line(proof: Proof | None) -> Sentence:
    if proof is None:
        return compose(_UNTRIED)
    return compose(bold(sentence(proof), bad=not proof.verified))


def _ask(plan: Plan) -> Iterator[str]:
    """What to write where; of many systems, which of them hold a replica to it."""
    found = [row for row in plan.systems if row.rounded is not None]
    if (reason := no_files(plan)) is not None:
        yield reason
    if len(found) <= FEW:
        for row in found:
            yield f"{row.system.title}: {_value(row)}. {row.system.enforcement}"
        return
    for enforced, says in ((True, "Enforced by"), (False, "Advisory, enforced by nothing, in")):
        names = [row.system.name for row in found if row.system.enforced is enforced]
        if names:
            yield f"{says} {labels.listed(names)}: values under “Request by system”."


def _value(row: SystemPlan) -> str:
    assert row.rounded is not None
    a_card = row.fit.per_card if row.fit else None
    fits = "" if a_card is None or row.fit is None else (
        f"; {a_card:,} a card, {row.fit.binding} binds"
    )  # fmt: skip
    return f"{row.system.key} = {row.rounded.written}, {row.rounded.mib:,} MiB{fits}"


# -------------------------------------------------------------------------------------- charts


def memory_charts(plan: Plan, data: RunData) -> Iterator[Chart]:
    """Memory against batch size, and against instances where they vary, with the request and the
    card's size.
    """
    points, kind = _points(plan, data)
    for key, title in (("batch", "Batch size"), ("instances", "Instances")):
        if points and (key == "batch" or len({c.instances for c, _ in points}) > 1):
            yield _chart(plan, points, kind, key, title)


def _points(plan: Plan, data: RunData) -> tuple[list[tuple[Combination, float]], str]:
    """What was measured of the chosen backend: GPU memory, without any the host's."""
    if plan.memory_model is not None:
        return list(plan.memory_model.points), "GPU memory"
    chosen, gpu = plan.sized.candidate, plan.sized.candidate.gpu_mib is not None
    found: dict[Combination, float] = {}
    for row in summarize(data.measurements):
        mib = row.gpu_memory_mib if gpu else row.host_memory_mib
        if row.backend == chosen.backend and row.config == chosen.config and mib:
            combination = Combination(row.batch_size, row.concurrency or 1)
            found[combination] = max(found.get(combination, 0.0), mib)
    return list(found.items()), "GPU memory" if gpu else "Host memory"


def _chart(
    plan: Plan, points: list[tuple[Combination, float]], kind: str, key: str, title: str
) -> Chart:
    sizes = sorted(
        {getattr(c, key) for c, _ in [*points, *((e.combination, 0.0) for e in plan.at)]}
    )
    bounds, card = list(_bounds(plan)), list(_card(plan, sizes))
    largest = max(mib for _, mib in points) if not card else card[0].y[0]
    table = blocks.table(
        ["Batch", "Callers", "Instances", f"{kind} (MiB)"],
        [[*(figure(str(n)) for n in (c.batch, c.callers, c.instances)), figure(f"{mib:,.0f}")]
         for c, mib in sorted(points, key=lambda p: (p[0].instances, p[0].callers, p[0].batch))],
    )  # fmt: skip
    return Chart(
        f"plan-memory-{key}", f"{kind} by {title.lower()}", title, f"{kind} (MiB)",
        (*_lines(points, key, sizes), *_estimates(plan, key, sizes), *card), table,
        ticks=tuple(map(str, sizes)), bounds=tuple(bounds),
        log_y=largest > LOG_FROM * min(mib for _, mib in points),
        notes=("Each value is the largest peak of the process tree over all rounds.",),
    )  # fmt: skip


def _lines(
    points: list[tuple[Combination, float]], key: str, sizes: list[int]
) -> Iterator[ChartSeries]:
    """A line for each of what the axis does not show."""
    groups: dict[str, list[tuple[float, float, str]]] = {}
    for c, mib in sorted(points, key=lambda p: (p[0].instances, p[0].callers, p[0].batch)):
        copies = f", {labels.counted(c.instances, 'instance')}" if c.instances > 1 else ""
        name = (
            f"{labels.counted(c.callers, 'caller')}{copies}" if key == "batch"
            else f"batch {c.batch}, {labels.counted(c.callers, 'caller')}"
        )  # fmt: skip
        place = float(sizes.index(getattr(c, key)))
        groups.setdefault(name, []).append((place, mib, f"{c}: {mib:,.0f} MiB"))
    for i, (name, values) in enumerate(groups.items()):
        yield trace(name, COLORS[i % len(COLORS)], values, marker=i)


def _estimates(plan: Plan, key: str, sizes: list[int]) -> Iterator[ChartSeries]:
    if plan.at:
        yield ChartSeries(
            ESTIMATED, REFERENCE_COLOR,
            tuple(float(sizes.index(getattr(e.combination, key))) for e in plan.at),
            tuple(e.mib for e in plan.at), "marks",
            y_range=tuple((e.low, e.high) for e in plan.at),
            labels=tuple(f"{e.combination}: {e.mib:,.0f} MiB" for e in plan.at),
        )  # fmt: skip


def _card(plan: Plan, sizes: list[int]) -> Iterator[ChartSeries]:
    """The card's size as a line of its own, so that the axis reaches it."""
    size = plan.sized.need.card_mib if plan.sized.need else None
    if size is not None:
        name = f"the card, {size:,} MiB"
        places = (-0.4, len(sizes) - 0.6)
        yield trace(name, COLORS[-1], ((x, float(size), name) for x in places), "thin")


def _bounds(plan: Plan) -> Iterator[ReferenceLine]:
    """The request; without a GPU what was tried of the host's memory."""
    need = plan.sized.need
    if need is not None:
        yield ReferenceLine("y", need.mib, f"request {need.mib:,} MiB")
    elif plan.proof is not None:
        size = plan.proof.request_mib
        yield ReferenceLine("y", size, f"request {size:,} MiB")


def _memory(plan: Plan, data: RunData) -> Iterator[Block]:
    """What it is made of, as fitted, and as the stages of its start took it."""
    lines, stages = list(memory_lines(plan)), list(_stages(plan, data))
    if lines or stages:
        yield Heading("Memory")
        yield from (Text(line, "prose") for line in lines)
        if stages:
            yield Charts(tuple(stages))


def _stages(plan: Plan, data: RunData) -> Iterator[Chart]:
    """The chosen configuration's memory over the stages of its start, in its first round."""
    chosen = plan.sized.candidate
    alone = chosen.config == DEFAULT_CONFIG
    name = chosen.backend if alone else f"{chosen.backend}/{chosen.config}"
    found = next((line for line in memory.timelines(data) if line.name == name), None)
    if found is not None:
        yield memory.chart("plan-stages", name, found)


# -------------------------------------------------------------------------------------- tables


def _proof(proof: Proof | None) -> list[Block]:
    if proof is None:
        return [Text(_UNTRIED, "prose")]
    tones: Mapping[str, blocks.Tone] = {"holds": "good", "fails": "bad", "undecided": "muted"}
    rows = [
        [figure(f"{t.mib:,}"), word("as the run's" if t.full else "one, short"),
         word(t.outcome, tone=tones[t.outcome]), word(t.why)] for t in proof.trials
    ]  # fmt: skip
    control = next((t.control for t in proof.trials if t.control), "")
    said = (f"Before each, a control in the same environment: {control}.",) if control else ()
    table = blocks.table(["MiB", "Rounds", "Outcome", "What was seen"], rows, said)
    return [Text(sentence(proof), "prose"), TableBlock(table, "Trials, in their order")]


def _systems(plan: Plan) -> blocks.Table:
    rows = []
    for row in plan.systems:
        if row.rounded is not None:
            fit = row.fit
            cells = [figure(_known(n)) for n in
                     ((fit.per_card, fit.cards) if fit else (None, None))]  # fmt: skip
            rows.append([
                word(row.system.name), word(row.rounded.written), figure(f"{row.rounded.mib:,}"),
                cells[0], word(fit.binding if fit else "unknown"), cells[1],
                word("enforced" if row.system.enforced else "advisory"), word(row.system.key),
            ])  # fmt: skip
    head = ["System", "Value", "MiB", "A card", "Binds", "Cards", "Held", "Written under"]
    return blocks.table(head, rows)


def _together(plan: Plan) -> Section | None:
    """What a sharing run says of the card: its answers, the heat maps, counts and target."""
    if plan.together is None:
        return None
    return Section("together", "Together on one card", (
        *(Text(text, "prose") for text in plan.together.answers),
        *(TableBlock(table, title) for title, table in plan.together.tables()),
        Text("A heat map says how many times longer the row's requests take on average while the "
             "column runs beside it than alone.", "note"),
    ))  # fmt: skip


def _known(value: int | None) -> str:
    return "n/a" if value is None else f"{value:,}"


def _requests(plan: Plan) -> Iterator[Block]:
    """Every system's value, what holds a replica to it, and which refuse."""
    reason = no_files(plan)
    yield (
        TableBlock(_systems(plan), "Request by system") if reason is None else Text(reason, "prose")
    )
    yield from _held(plan)
    yield from _refused(plan)


def _held(plan: Plan) -> list[Block]:
    rows = [
        [word(row.system.name),
         word(" ".join([row.system.enforcement, *(_sentence(t) for t in row.rounded.notes),
                        *(_sentence(t) for t in row.system.traps)]))]
        for row in plan.systems if row.rounded is not None
    ]  # fmt: skip
    if not rows:
        return []
    table = blocks.table(["System", "What holds a replica to it, and what to mind"], rows)
    return [TableBlock(table, "What bites", "pairs")]


def _sentence(text: str) -> str:
    """With a capital, but for what is spelled without one."""
    return f"{text if text.startswith('p99') else text[:1].upper() + text[1:]}."


def _refused(plan: Plan) -> Iterator[Block]:
    """A line for each reason: many names in a table's cell would widen every page of the print."""
    found = refused(plan)
    if found:
        yield Heading("Refused")
    for why, rows in found.items():
        names = labels.listed(row.system.name for row in rows)
        yield Text(f"{names}: {_sentence(why)}", "prose")


def _what_if(plan: Plan) -> blocks.Table:
    """Replicas and cards, by rate down and target across."""
    targets = list(dict.fromkeys(cell.slo_p99_ms for cell in plan.what_if))
    rows = []
    for rate in dict.fromkeys(cell.rate for cell in plan.what_if):
        cells = [cell for cell in plan.what_if if cell.rate == rate]
        rows.append([
            figure(stated(rate)),
            *(word(nobody(c), tone="muted") if c.point is None else
              blocks.Cell(_replicas(c), c.point) for c in cells),
        ])  # fmt: skip
    head = ["Inferences/s", *(f"p99 ≤ {stated(target)} ms" for target in targets)]
    return blocks.table(
        head, rows, ["Replicas, on how many cards where that is known, and of which point."]
    )


def _replicas(cell: Cell) -> str:
    return _known(cell.replicas) if cell.cards is None else f"{cell.replicas:,} on {cell.cards:,}"


def _files(plan: Plan, service: Service) -> Section | None:
    found = [row for row in plan.systems if row.rounded is not None]
    only: Only = "" if len(found) <= FEW else "screen"
    files = [
        Code(header_of(text, plan), title, title, only=only)
        for row in found for name, text in files_of(row, plan, service).items()
        for title in (f"{row.system.name}/{name}",)
    ]  # fmt: skip
    if not files:
        return None
    said = ("As harness plan -o DIR writes them; docs/plan.md says what to look at before they are "
            "applied.")  # fmt: skip
    return Section("files", "Files", (Text(said, "prose"), *files), screen_only=only == "screen")
