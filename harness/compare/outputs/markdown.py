"""The comparison as Markdown, for a comment on a pull request.

The first line is a marker that no reader sees: whoever posts the comment finds the one of an
earlier run by it and edits that, instead of adding another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.compare.layers.matching import Layers
from harness.compare.outputs import words
from harness.compare.result import Comparison, Row, Verdict, worst
from harness.compare.verdicts import Verdict as MetricVerdict

MARKER = "<!-- inference-harness compare: {key} -->"
ICONS = {
    Verdict.REGRESSION: "🔴", Verdict.IMPROVEMENT: "🟢", Verdict.EQUIVALENT: "⚪",
    Verdict.INCONCLUSIVE: "🟡", Verdict.INVALID: "🟣",
}  # fmt: skip
HEAD = ("| point | metric | base | candidate | change | 95 % interval | tolerance | verdict |",
        "|---|---|--:|--:|--:|---|--:|---|")  # fmt: skip
OPEN = (MetricVerdict.REGRESSION, MetricVerdict.IMPROVEMENT)


def markdown(comparisons: Sequence[Comparison], key: str = "") -> str:
    """All comparisons; `key` tells several comments of one pull request apart."""
    parts = [MARKER.format(key=re.sub(r"[^A-Za-z0-9_. /-]", "", key).replace("--", "-"))]
    if len(comparisons) > 1:
        parts.append(f"## {worst(comparisons).upper()} in {len(comparisons)} comparisons\n")
    parts += [text for found in comparisons for text in _one(found)]
    return "\n".join(parts) + "\n"


def _one(found: Comparison) -> Iterable[str]:
    yield f"### {ICONS[found.verdict]} {escape(words.headline(found))}\n"
    yield escape(words.explanation(found)) + "\n"
    yield (
        f"Confidence {words.CONFIDENCE}; tolerances: {words.tolerances(found) or 'none'}; "
        f"{escape(found.design)}.\n"
    )
    for text in words.notes(found):
        yield f"> {escape(text)}\n"
    named = [(p.place, r) for p in found.points for r in p.rows]
    named += [(words.POOLED, r) for r in found.pooled]
    shown = [(p, r) for p, r in named if r.judged.verdict in OPEN]
    rest = [(p, r) for p, r in named if r.judged.verdict not in OPEN]
    yield from _table(shown)
    yield from _folded(f"{len(rest)} more rows without a significant change", rest)
    beside = [(p.place, r) for p in found.points for r in p.beside]
    yield from _folded("memory, loading, sizes and energy (no verdict)", beside)
    yield from _layers(found.layers)
    yield from _versions(found)


def _table(rows: Sequence[tuple[str, Row]]) -> Iterable[str]:
    if rows:
        yield "\n".join([*HEAD, *(_row(place, row) for place, row in rows)]) + "\n"


def _row(place: str, row: Row) -> str:
    pooled = place == words.POOLED
    cells = (
        escape(place), escape(row.metric.title if pooled else row.metric.with_unit),
        "" if pooled else words.value(row.base), "" if pooled else words.value(row.candidate),
        words.change(row), words.interval(row) or "n/a",
        f"±{100 * row.metric.margin:g} %" if row.metric.primary else "",
        str(row.judged.verdict) if row.metric.primary else "",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _folded(title: str, rows: Sequence[tuple[str, Row]]) -> Iterable[str]:
    if rows:
        yield f"<details><summary>{title}</summary>\n"
        yield from _table(rows)
        yield "</details>\n"


def _layers(layers: Layers | None) -> Iterable[str]:
    if layers is not None:
        yield f"<details><summary>{escape(words.layers_said(layers))}</summary>\n"
        yield f"| {' | '.join(words.LAYER_TITLES)} |\n|---|---|---|--:|--:|--:|---|---|"
        rows = (f"| {' | '.join(map(escape, row))} |" for row in words.layer_rows(layers))
        yield "\n".join(rows)
        yield "\n</details>\n"


def _versions(found: Comparison) -> Iterable[str]:
    differing = words.differing(found)
    if differing:
        yield f"<details><summary>{len(differing)} versions and settings differ</summary>\n"
        yield "| what | base | candidate |\n|---|---|---|"
        yield "\n".join(f"| {escape(n)} | {escape(a)} | {escape(b)} |" for n, a, b in differing)
        yield "\n</details>\n"


def escape(text: str) -> str:
    """Plain text that stays plain in Markdown, on one line."""
    one_line = " ".join(text.split())
    html = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~@])", r"\\\1", html)
