"""The history as text and as a page: the changes with their versions, a chart of each point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.compare import trend
from harness.compare.front import write_file
from harness.compare.history import Change, Observation, Series, differing, series_of
from harness.compare.outputs import words
from harness.errors import UsageError
from harness.report.model import blocks as b
from harness.report.model import section as s
from harness.report.model.colours import COLORS, REFERENCE_COLOR
from harness.report.view import View
from harness.scenario.metrics import PRIMARY
from harness.scenario.wording import counted
from harness.system.faults import cant_write
from harness.system.files import write_text
from harness.version import __version__

MOST_CHARTS = 60
"""Those with changes come first."""
ENOUGH = 6
"""Runs that a series needs before a change can be found in it: three on either side."""
SHORT = 40
"""Characters of what a change is called in a chart."""
APART = "Of several machines or conditions with this name the one whose first run is {}."
METHOD = (
    "A dot is the mean of a run's rounds. Runs on other machines or under other conditions are "
    "series of their own.",
    "Where the level changes is found by e-divisive (Matteson and James, 2014), which assumes no "
    "shape of the scatter: at least three runs on either side, a permutation test at 1 %, and a "
    "change beyond the metric's tolerance; a smaller step moves the line of the level and is no "
    "change. The versions at a change are those that differ from the "
    "run before it; that they are its cause is not shown by that.",
)


def report(
    database: Path, markdown: Path | None, html: Path | None, *, quiet: bool = False
) -> dict[str, object]:
    """Print the trends and the changes unless `quiet`, write the pages that are asked for; the
    series as data.

    Raises UsageError where there is no history, SetupError where a page can't be written.
    """
    if not database.exists():
        raise UsageError(f"there is no history in {database}", fix="harness history add RUN_DIR")
    every = series_of(database)
    if not quiet:
        trend.show(every)
    if markdown is not None:
        write_file(markdown, trend.page(every))
    if html is not None:
        try:
            write_html(html, every)
        except OSError as error:
            raise cant_write(error, html) from error
    return {"series": [trend.facts(series) for series in every]}


def write_html(path: Path, every: Sequence[Series]) -> None:
    """Raises OSError."""
    from harness.report.charts.matplotlib import svg
    from harness.report.outputs.html import render_html

    view = view_of(every)
    write_text(path, render_html(view, {c.id: svg(c) for c in view.all_charts()}))


def view_of(every: Sequence[Series]) -> View:
    """Everything that the history says."""
    runs = {run.path: run.created for series in every for run in series.runs}
    latest = max(runs.values(), default="")
    sections = (_summary(every, runs), *_points(every), _trends(every), _method())
    footer = f"harness {__version__} · {_when(latest)}"
    return View("History", counted(len(runs), "run"), footer, sections)


def _when(created: str) -> str:
    return created[:16].replace("T", " ")


def _summary(every: Sequence[Series], runs: dict[str, str]) -> s.Section:
    found = [(series, change) for series in every for change in series.changes]
    found.sort(key=lambda x: x[1].at.created, reverse=True)
    worse = sum(change.worse for _, change in found)
    answer = s.compose(
        s.bold(f"{counted(len(found), 'change')} of level"),
        f", {worse} of them for the worse," if found else "",
        f" in {len(every)} series of {counted(len(runs), 'run')}.",
        "" if any(len(x.runs) >= ENOUGH for x in every)
        else f" None can be found before a series has {ENOUGH} runs.",
    )  # fmt: skip
    created = sorted(runs.values())
    facts = (("First run", _when(created[0])), ("Latest run", _when(created[-1]))) if runs else ()
    return s.Section("summary", "Summary", (
        s.Masthead("History", "History", "Where did the level change, and with which versions?"),
        s.Prose((answer,), "answer"), s.FactList(facts),
        *([s.TableBlock(_changes(found), "Changes, the latest first")] if found else []),
    ))  # fmt: skip


def _changes(found: Iterable[tuple[Series, Change]]) -> b.Table:
    return b.table(("since", "point", "metric", "change", "", "versions at it", "run"), [
        [b.word(_when(c.at.created)), b.word(f"{x.scenario}: {x.backend}/{x.point}"),
         b.word(PRIMARY[x.metric].title), b.figure(words.percent(c.share)),
         b.status("worse" if c.worse else "better", tone="bad" if c.worse else "good"),
         b.word(trend.versions_text(c.versions)), b.word(Path(c.at.path).name)]
        for x, c in found
    ])  # fmt: skip


# ------------------------------------------------------------------------------------ a point


def _points(every: Sequence[Series]) -> list[s.Section]:
    """A section a point, those with changes first."""
    grouped: dict[tuple[str, ...], list[Series]] = {}
    for series in every:
        key = (series.scenario, series.backend, series.point, series.machine, series.conditions)
        grouped.setdefault(key, []).append(series)
    drawn = (group for group in grouped.values() if any(len(x.runs) > 1 for x in group))
    ordered = sorted(drawn, key=lambda group: not any(x.changes for x in group))
    shown = list(itertools.islice(ordered, MOST_CHARTS // len(PRIMARY)))
    titles = [f"{g[0].scenario}: {g[0].backend}/{g[0].point}" for g in shown]
    return [
        s.Section(f"point-{n}", title, (
            *([s.Text(APART.format(shown[n][0].runs[0].path), "note")]
              if titles.count(title) > 1 else []),
            s.Charts(tuple(chart(series, f"{n}-{series.metric}") for series in shown[n])),
        ))
        for n, title in enumerate(titles)
    ]  # fmt: skip


def chart(series: Series, anchor: str) -> b.Chart:
    """The value of each run, the level between changes, and the changes with their versions."""
    metric = PRIMARY[series.metric]
    dots = b.trace("runs", COLORS[0], [
        (float(n), run.value, f"{_when(run.created)}: {words.value(run.value)}")
        for n, run in enumerate(series.runs, 1)
    ], "marks")  # fmt: skip
    places = {id(c.at): c for c in series.changes}
    bounds = tuple(
        b.ReferenceLine("x", n - 0.5, _short(trend.versions_text(places[id(run)].versions)))
        for n, run in enumerate(series.runs, 1) if id(run) in places
    )  # fmt: skip
    return b.Chart(
        f"history-{anchor}", metric.title, "run", metric.with_unit, (dots, *_levels(series)),
        _table(series), bounds=bounds, zero=False, size="full",
    )  # fmt: skip


def _levels(series: Series) -> list[b.ChartSeries]:
    """The geometric mean between neighbouring steps, those within the tolerance too, as a line."""
    ends = [0, *series.steps, len(series.runs)]
    found = []
    for begin, end in itertools.pairwise(ends):
        logs = [math.log(run.value) for run in series.runs[begin:end]]
        level = math.exp(math.fsum(logs) / len(logs))
        said = f"level {words.value(level)}"
        points = [(begin + 0.75, level, said), (end + 0.25, level, said)]
        found.append(b.trace("level", REFERENCE_COLOR, points, "thin"))
    return found


def _table(series: Series) -> b.Table:
    return b.table(("run", "when", PRIMARY[series.metric].with_unit, "versions that changed"), [
        [b.figure(str(n)), b.word(_when(run.created)), b.figure(words.value(run.value)),
         b.word(_versions(before, run))]
        for n, (before, run) in enumerate(zip((None, *series.runs), series.runs, strict=False), 1)
    ])  # fmt: skip


def _versions(before: Observation | None, run: Observation) -> str:
    if before is None or before.versions == run.versions:
        return ""
    return trend.versions_text(differing(before.versions, run.versions))


def _short(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


# ------------------------------------------------------------------------------------- the rest


def _trends(every: Sequence[Series]) -> s.Section:
    table = b.table(trend.TITLES, [
        [b.figure(text) if n in (3, 4, 6) else b.word(text) for n, text in enumerate(row)]
        for row in trend.rows(every)
    ])  # fmt: skip
    return s.Section("trends", "All series", (s.TableBlock(table, "Trends"),))


def _method() -> s.Section:
    return s.Section("method", "Method", (s.Prose(tuple(s.compose(line) for line in METHOD)),))
