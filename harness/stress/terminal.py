"""What the terminal shows: a live table while the load goes, and the answer in words after it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.report.model.labels import counted
from harness.stress.answers import PHASE_COLUMNS, ms_text
from harness.stress.execute import Tell
from harness.stress.results import Results

EVERY_S = 5.0
"""Where no terminal is, progress is a line so often."""
TONES = {"holds": "green", "broken": "red", "unknown": "yellow"}


@contextlib.contextmanager
def watcher(*, quiet: bool, as_json: bool) -> Iterator[Tell]:
    """Whom to tell what goes on: JSON lines on stdout, a live table or plain lines on stderr."""
    if as_json:
        yield lambda event: print(json.dumps(dict(event)), flush=True)
    elif quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        page = Page()
        with Live(page.shown(), console=Console(stderr=True), refresh_per_second=4) as live:

            def show(event: Mapping[str, Any]) -> None:
                page.take(event)
                live.update(page.shown())

            yield show
    else:
        page = Page()
        yield lambda event: _plain(page, event)


def _plain(page: Page, event: Mapping[str, Any]) -> None:
    before = len(page.happened)
    page.take(event)
    for text in page.happened[before:]:
        print(text, file=sys.stderr, flush=True)
    if event.get("event") == "progress" and event["t"] >= page.said + EVERY_S:
        page.said = float(event["t"])
        print(page.line(), file=sys.stderr, flush=True)


class Page:
    """The latest state, and what happened so far."""

    def __init__(self) -> None:
        self.said = -EVERY_S
        self.happened: list[str] = []
        self._now: Mapping[str, Any] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """One event of the run."""
        if event.get("event") == "progress":
            self._now = event
        elif text := told(event):
            self.happened.append(text)

    def line(self) -> str:
        """The latest state in a line."""
        now = self._now
        return (
            f"{now['t']:7.1f} s  {now['requests']:,} requests, {now['failures']:,} failed, "
            f"{now['open']:,} open, {now['waiting']:,} waiting, p50 {ms_text(now['p50_ms'])}, "
            f"p99 {ms_text(now['p99_ms'])}"
        )

    def shown(self) -> Group:
        """The table, and the last things that happened."""
        table = Table(show_edge=False)
        names = {"t": "seconds", "users": "users", "requests": "requests", "failures": "failed",
                 "open": "open", "waiting": "waiting", "p50_ms": "p50 ms",
                 "p99_ms": "p99 ms"}  # fmt: skip
        for name in names.values():
            table.add_column(name, justify="right")
        if self._now:
            table.add_row(*(_cell(self._now.get(key)) for key in names))
        return Group(table, *(Text(line) for line in self.happened[-6:]))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def told(event: Mapping[str, Any]) -> str:
    """An event in a line; empty for what needs none."""
    match event.get("event"):
        case "preparing":
            return "preparing the model and starting the server"
        case "listening":
            return f"waiting for workers on {event['address']}"
        case "joined":
            return f"worker {event['worker']} joined from {event['host']}"
        case "refused":
            return f"refused a worker from {event['host']}: {event['why']}"
        case "started":
            page = f"; Locust's page: {event['page']}" if event["page"] else ""
            return f"load begins, from {counted(event['workers'], 'process', 'processes')}{page}"
        case "worker_lost":
            return f"worker {event['worker']} is lost"
        case "fault":
            done = event["problem"] or f"undone after {event['end'] - event['begin']:.1f} s"
            return f"fault {event['kind']} at {event['begin']:.1f} s: {done}"
    return ""


def answer_page(found: Results) -> Group:
    """The answer: sentences, thresholds, phases."""
    outcome = found.run.outcome
    parts: list[Text | Table] = []
    if outcome.early:
        parts.append(Text(outcome.early, style="bold red"))
    parts += [Text(text, style="yellow") for text in found.answers.flags]
    parts += [Text(text) for text in found.sentences()]
    for judged in found.judged:
        parts.append(Text(f"{judged.name}: {judged.verdict}, {judged.words}",
                          style=TONES[judged.verdict]))  # fmt: skip
    return Group(*parts, phases_table(found))


def phases_table(found: Results) -> Table:
    """A row a phase."""
    table = Table(show_edge=False)
    table.add_column("phase")
    for name in PHASE_COLUMNS:
        table.add_column(name, justify="right")
    for phase in found.answers.phases:
        table.add_row(phase.name, *(said(phase) for said in PHASE_COLUMNS.values()))
    return table
