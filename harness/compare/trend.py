"""The history as text: a line a series with its trend, and every change with the versions at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from harness.compare.history import Change, Series
from harness.compare.outputs.markdown import escape
from harness.compare.outputs.words import percent, value
from harness.scenario.metrics import PRIMARY
from harness.system.console import wide_console

BARS = "▁▂▃▄▅▆▇█"
MOST = 40
"""Runs that a trend shows, the latest."""


def trend(series: Series) -> str:
    """The latest values as bars, from the smallest to the largest."""
    values = [run.value for run in series.runs[-MOST:]]
    low, high = min(values), max(values)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(BARS[round((v - low) / step)] for v in values)


def change_text(series: Series, change: Change) -> str:
    """`p50 latency of a/b1/c1: +8.1 % (worse) since 2026-11-28T…, run …: numpy 1.26 → 2.0`."""
    return (
        f"{PRIMARY[series.metric].title} of {series.backend}/{series.point}: "
        f"{percent(change.share)} ({'worse' if change.worse else 'better'}) since "
        f"{change.at.created}, run {change.at.path}: {versions_text(change.versions)}"
    )


def versions_text(versions: Mapping[str, tuple[str, str]]) -> str:
    """`numpy 1.26 → 2.0, onnx absent → 1.19`."""
    found = (f"{name} {a or 'absent'} → {b or 'absent'}" for name, (a, b) in versions.items())
    return ", ".join(found) or "no version changed"


def rows(every: Iterable[Series]) -> list[tuple[str, ...]]:
    """Scenario, point, metric, runs, latest value, trend and number of changes of each series."""
    return [
        (s.scenario, f"{s.backend}/{s.point}", PRIMARY[s.metric].with_unit, str(len(s.runs)),
         value(s.runs[-1].value), trend(s), str(len(s.changes)))
        for s in every
    ]  # fmt: skip


TITLES = ("scenario", "point", "metric", "runs", "latest", "trend", "changes")


def changes(every: Iterable[Series]) -> list[str]:
    """A sentence each, the latest first."""
    found = [(c.at.created, change_text(s, c)) for s in every for c in s.changes]
    return [text for _, text in sorted(found, key=lambda item: item[0], reverse=True)]


def page(every: Sequence[Series]) -> str:
    """The report as a page of Markdown."""
    lines = ["# History\n", "## Changes\n"]
    lines += [f"- {escape(text)}" for text in changes(every)] or ["None."]
    lines += ["\n## Trends\n", f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    lines += [f"| {' | '.join(map(escape, row))} |" for row in rows(every)]
    return "\n".join(lines) + "\n"


def show(every: Sequence[Series]) -> None:
    """Print the trends and the changes."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in TITLES:
        table.add_column(title, overflow="fold")
    for row in rows(every):
        table.add_row(*(Text(cell) for cell in row))
    console = wide_console()
    console.print(table)
    for text in changes(every):
        console.print(Text(text, style="bold"))


def facts(series: Series) -> dict[str, object]:
    """A series as data."""
    return {
        "scenario": series.scenario, "backend": series.backend, "point": series.point,
        "metric": series.metric,
        "runs": [{"created": r.created, "path": r.path, "value": r.value} for r in series.runs],
        "changes": [
            {"since": c.at.created, "path": c.at.path, "share": c.share, "worse": c.worse,
             "versions": {name: list(pair) for name, pair in c.versions.items()}}
            for c in series.changes
        ],
    }  # fmt: skip
