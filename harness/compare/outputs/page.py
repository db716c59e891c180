"""The comparison as a page of its own: the HTML and the PDF, in the look of a run's report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.compare.comparing import STORED
from harness.compare.outputs import drawing, words
from harness.compare.result import Comparison, PointResult, Row, worst
from harness.report.charts.matplotlib import svg
from harness.report.model import blocks as b
from harness.report.model import section as s
from harness.report.outputs.html import render_html
from harness.report.view import View
from harness.system.files import write_text
from harness.version import __version__

TONES: dict[str, b.Tone] = {
    "regression": "bad", "invalid": "bad", "inconclusive": "muted", "improvement": "good",
    "equivalent": "good",
}  # fmt: skip
BLOCKS = (
    "A block is both measured one after the other in fresh processes, in an order that alternates. "
    "p-values are those of the paired t on the logarithms of a block's ratios, adjusted over the "
    "metrics by Holm; looks after 4, 6, 9, 13 and 19 blocks have a level of 0.0125 each, divided "
    "over the points."
)
RUNS = (
    "Two runs of the same thing differ by more than their rounds do: the difference of their "
    "means, on logarithms, has the variance of the rounds and twice that of a run, which harness "
    "calibrate learned on this machine; the t has as many degrees of freedom as that had runs to "
    "spare. They are looked at once, at a level of 0.05, divided over the points; p-values are "
    "adjusted over the metrics by Holm. Without a known run effect nothing is decided "
    "(docs/benchmarks/compare-runs.md)."
)
VERDICT = (
    "A REGRESSION is significant and worse by more than the tolerance; EQUIVALENT is an interval "
    "within it; anything else is INCONCLUSIVE. How often the rule cries wolf, and what it finds, "
    "is simulated in docs/benchmarks/verdicts.md."
)


def write_html(path: Path, found: Sequence[Comparison]) -> None:
    """Raises OSError."""
    view = view_of(found)
    write_text(path, render_html(view, {c.id: svg(c) for c in view.all_charts()}))


def write_pdf(path: Path, found: Sequence[Comparison]) -> None:
    """Raises OSError."""
    from harness.report.outputs import pdf

    view = view_of(found)
    drawings = {c.id: svg(c) for c in view.printed_charts()}
    pdf.write_pdf(view, drawings, path, found[0].candidate.created)


def view_of(found: Sequence[Comparison]) -> View:
    """Everything that is said of all comparisons."""
    names = " · ".join(dict.fromkeys(words.headline(c).partition(": ")[2] for c in found))
    footer = f"harness {__version__} · {found[0].candidate.created[:16].replace('T', ' ')}"
    sections = [x for n, c in enumerate(found) for x in _sections(c, n, alone=len(found) == 1)]
    return View(f"Comparison: {worst(found).upper()}", names, footer, tuple(sections))


def _sections(found: Comparison, number: int, *, alone: bool) -> list[s.Section]:
    end = "" if alone else f" {number + 1}"
    made = (
        _summary(found, number, end), _points(found, number, end), _spread(found, number, end),
        _layers(found, number, end), _versions(found, number, end),
    )  # fmt: skip
    method = s.Section(f"method-{number}", "Method", (
        s.Prose((s.compose(RUNS if found.design == STORED else BLOCKS), s.compose(VERDICT))),
        s.Text(f"Here: {found.design}.", "note"),
    ))  # fmt: skip
    return [x for x in (*made, *([method] if alone else [])) if x is not None]


# -------------------------------------------------------------------------------------- sections


def _summary(found: Comparison, number: int, end: str) -> s.Section:
    facts = [
        ("Base", found.base.name), ("Candidate", found.candidate.name),
        (_of_rounds(found).capitalize(), str(max((p.blocks for p in found.points), default=0))),
        ("Confidence", words.CONFIDENCE), ("Tolerances", words.tolerances(found) or "none"),
    ]  # fmt: skip
    if found.base.builds:
        facts.append(("Engines built", f"{found.base.builds} and {found.candidate.builds}"))
    answer = s.compose(s.bold(f"{found.verdict.upper()}. "), words.explanation(found))
    chart = drawing.forest(found, number)
    return s.Section(f"summary-{number}", f"Summary{end}", (
        s.Masthead(words.names(found), "Comparison",
                   "Is the candidate worse than the base?"),
        *(s.Text(f"Forced, not comparable: {text}", "banner") for text in found.forced),
        s.Prose((answer, *(s.compose(text) for text in found.outputs)), "answer"),
        s.FactList(tuple(facts)),
        *([s.Charts((chart,))] if chart is not None else []),
        *(s.Text(text, "note") for text in words.notes(found)),
    ))  # fmt: skip


def _of_rounds(found: Comparison) -> str:
    """What the replicates are: those of two stored runs are no blocks."""
    return "rounds" if found.design == STORED else "blocks"


def _points(found: Comparison, number: int, end: str) -> s.Section:
    judged = [(p.place, r) for p in found.points for r in p.rows]
    judged += [(words.POOLED, r) for r in found.pooled]
    beside = [(p.place, r) for p in found.points for r in p.beside]
    return s.Section(f"points-{number}", f"Points{end}", (
        s.Prose(tuple(_sentence(point, _of_rounds(found)) for point in found.points)),
        *([s.TableBlock(_rows(judged, judged=True), "Metrics")] if judged else []),
        *([s.TableBlock(_rows(beside, judged=False), "Beside them, without a verdict")]
          if beside else []),
    ))  # fmt: skip


def _sentence(point: PointResult, replicates: str) -> s.Sentence:
    bad = TONES[point.verdict] == "bad"
    why = "; ".join(dict.fromkeys(filter(None, (words.what_changed(point), point.reason))))
    blocks = f" after {point.blocks} {replicates}" if point.blocks else ""
    return s.compose(f"{point.place}: ", s.bold(str(point.verdict), bad=bad),
                     f"{blocks}{f': {why}' if why else ''}.")  # fmt: skip


def _verdict(text: str) -> b.Cell:
    return b.status(text, tone=TONES.get(text, ""))


def _rows(rows: Sequence[tuple[str, Row]], *, judged: bool) -> b.Table:
    columns = {
        "point": lambda x: b.word(x[0]), "metric": lambda x: b.word(_title(*x)),
        "base": lambda x: _value(x[0], x[1].base),
        "candidate": lambda x: _value(x[0], x[1].candidate),
        "change": lambda x: b.Cell(words.change(x[1]), words.interval(x[1]), number=True),
        "blocks": lambda x: b.figure(str(x[1].judged.blocks)),
    }  # fmt: skip
    if judged:
        columns |= {
            "tolerance": lambda x: b.figure(f"±{100 * x[1].metric.margin:g} %"),
            "p, adjusted": lambda x: b.figure(f"{x[1].judged.p:.2g}"),
            "verdict": lambda x: _verdict(str(x[1].judged.verdict)),
        }  # fmt: skip
    return b.listing(rows, columns, [f"Under a change: its {words.CONFIDENCE} interval."])


def _value(place: str, value: float) -> b.Cell:
    return b.figure("" if place == words.POOLED else words.value(value))


def _title(place: str, row: Row) -> str:
    return row.metric.title if place == words.POOLED else row.metric.with_unit


def _spread(found: Comparison, number: int, end: str) -> s.Section | None:
    blocks: list[s.Block] = []
    for place, point in enumerate(found.points):
        if charts := drawing.of_point(found, point, f"{number}-{place}"):
            blocks += [s.Heading(point.place), s.Charts(tuple(charts))]
    if not blocks:
        return None
    return s.Section(f"spread-{number}", f"Latencies and blocks{end}", tuple(blocks))


def _layers(found: Comparison, number: int, end: str) -> s.Section | None:
    if found.layers is None:
        return None
    chart = drawing.layers(found.layers, number)
    return s.Section(f"layers-{number}", f"Layers{end}", (
        s.Prose((s.compose(words.layers_said(found.layers)),)), s.Charts((chart,)),
        s.TableBlock(drawing.layer_table(found.layers), "Layers by what they contribute"),
    ))  # fmt: skip


def _versions(found: Comparison, number: int, end: str) -> s.Section:
    differing = b.table(("what", "base", "candidate"), [
        [b.word(text) for text in row] for row in words.differing(found)
    ])  # fmt: skip
    return s.Section(f"versions-{number}", f"What differs{end}", (
        s.TableBlock(differing, "Versions and settings", "text") if differing.rows
        else s.Text("No version and no setting differs."),
        *(s.Text(f"Not held equal: {text}", "note") for text in found.unequal),
    ))  # fmt: skip
