"""What the terminal shows while a run goes on: a live table, plain lines, JSON lines or nothing."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

REFRESH_HZ = 4


def observer(*, quiet: bool, as_json: bool) -> contextlib.AbstractContextManager[Any]:
    """The observer that fits the flags and the terminal; use it as a context manager."""
    if as_json:
        return contextlib.nullcontext(JsonLines(sys.stdout))
    if quiet:
        return contextlib.nullcontext(Quiet())
    if sys.stderr.isatty():
        return _live()
    return contextlib.nullcontext(PlainLines(sys.stderr))


class Quiet:
    """Shows nothing."""

    def notify(self, event: Mapping[str, Any]) -> None:
        """Take one event."""


class JsonLines:
    """Every event as one JSON object a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def notify(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        self._out.write(json.dumps(event, default=str) + "\n")
        self._out.flush()


class Progress:
    """What is done, what is going on, and how long it may still take."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.rounds = 0
        self.done = 0
        self.failed = 0
        self.current = "starting"
        self.running = ""
        self._before = 0
        self._at_most = False
        self._added = 0
        self._started = time.monotonic()

    @property
    def total(self) -> int:
        """Measurements of the whole run, as far as rounds have been added."""
        return max(len(self.points) * self.rounds + self._added, self.done)

    def take(self, event: Mapping[str, Any]) -> str | None:
        """Update; a line worth printing, or None."""
        handler = getattr(self, f"_on_{event['event']}", None)
        line: str | None = handler(event) if handler else None
        return line

    def _on_plan(self, event: Mapping[str, Any]) -> str:
        self.points, self.rounds = event["points"], event["rounds"]
        self._at_most = bool(event.get("at_most"))
        self.done = self._before = event["measured"]
        already = f", {self.done} already measured" if self.done else ""
        most = "at most " if self._at_most else ""
        return f"{most}{len(self.points)} points × {self.rounds} rounds{already}"

    def _on_more(self, event: Mapping[str, Any]) -> str:
        self._added += event["points"]
        again = f"{event['points']} point" + ("s" if event["points"] != 1 else "")
        return f"round {event['round'] + 1} is added: {again} again, {event['why']}"

    def _on_status(self, event: Mapping[str, Any]) -> str:
        self.current, self.running = event["text"], ""
        return str(event["text"])

    def _on_session(self, event: Mapping[str, Any]) -> None:
        config = event.get("config", "default")
        name = event["backend"] if config == "default" else f"{event['backend']}/{config}"
        self.current, self.running = f"round {event['round'] + 1}: loading {name}", ""

    def _on_point(self, event: Mapping[str, Any]) -> None:
        self.current, self.running = f"round {event['round'] + 1}: {event['point']}", ""

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        rate = event["requests"] / event["seconds"] if event["seconds"] else 0.0
        p99 = f", p99 {event['p99_ms']:.1f} ms" if event.get("p99_ms") is not None else ""
        self.running = f"{event['phase']}: {rate:.1f} requests/s{p99}"

    def _on_parity(self, event: Mapping[str, Any]) -> str | None:
        if event["status"] == "agrees":
            return None
        return f"parity: {event['backend']} b{event['batch_size']}: {event['status']}"

    def _on_measurement(self, event: Mapping[str, Any]) -> str:
        self.done += event["point"] in self.points  # a search's rates are not counted
        p50 = event["latency_ms"].get("p50")
        shown = f", p50 {p50:.2f} ms" if isinstance(p50, float) else ""
        return (
            f"[{self.done}/{self.total}] round {event['round'] + 1} {event['point']}: "
            f"{event['throughput']:.1f} inferences/s{shown}{self.remaining()}"
        )

    def _on_capacity(self, event: Mapping[str, Any]) -> str:
        self.done += 1
        found = "no rate holds" if event["rate"] is None else f"{event['rate']:g} requests/s hold"
        why = f"; {event['reason']}" if event["reason"] else ""
        return (
            f"[{self.done}/{self.total}] round {event['round'] + 1} {event['point']}: {found}"
            f"{why}{self.remaining()}"
        )

    def _on_measured_again(self, event: Mapping[str, Any]) -> str:
        return f"round {event['round'] + 1} {event['point']}: doubtful, measured once more"

    def _on_failure(self, event: Mapping[str, Any]) -> str:
        self.failed += 1
        said = f"FAILED ({event['reason']}): {event['message']}"
        return f"round {event['round'] + 1} {event['point']}: {said}"

    def _on_note(self, event: Mapping[str, Any]) -> str:
        return f"note: {event['text']}"

    def _on_undecided(self, event: Mapping[str, Any]) -> str | None:
        return f"note: {event['text']}" if event["text"] else None

    def _on_search_ended(self, event: Mapping[str, Any]) -> str:
        left = event["not_measured"]
        return f"the {event['why']} ended the search; not measured: {', '.join(left) or 'nothing'}"

    def _on_best(self, event: Mapping[str, Any]) -> str:
        if event["config"] is None:
            return f"no best config was written: {event['why']}"
        return f"best config: {event['backend']}/{event['config']}, {event['why']}"

    def remaining(self) -> str:
        """Time left, judged by what has been measured; nothing where a search may end any time."""
        fresh = self.done - self._before
        if not fresh or self.done >= self.total or self._at_most:
            return ""
        seconds = (time.monotonic() - self._started) / fresh * (self.total - self.done)
        return f" (about {int(seconds // 60)}:{int(seconds % 60):02d} left)"


class PlainLines:
    """One line for each thing that happened; for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._progress = Progress()

    def notify(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        line = self._progress.take(event)
        if line:
            print(line, file=self._out, flush=True)


@contextlib.contextmanager
def _live() -> Iterator[Any]:
    """A rich table on stderr, drawn at most four times a second, by this process only."""
    from rich.console import Console
    from rich.live import Live

    table = LiveTable()
    with Live(
        console=Console(stderr=True), get_renderable=table.render, refresh_per_second=REFRESH_HZ,
        transient=True,
    ):  # fmt: skip
        yield table


class LiveTable:
    """A row a point with its latest round, and a line of progress."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._count: dict[str, int] = {}

    def notify(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        self._progress.take(event)
        if event["event"] in ("measurement", "failure", "capacity"):
            self._latest[event["point"]] = event
            self._count[event["point"]] = self._count.get(event["point"], 0) + 1

    def render(self) -> Any:
        """The table as it stands."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._progress
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("point", no_wrap=True)
        for name in ("rounds", "inferences/s", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right")
        for point in progress.points:
            table.add_row(point, *self._cells(point))
        bar = ProgressBar(total=max(progress.total, 1), completed=progress.done, width=40)
        line = f"{progress.done}/{progress.total}{progress.remaining()}  {progress.current}"
        return Group(table, bar, Text(line), Text(progress.running, style="dim"))

    def _cells(self, point: str) -> list[str]:
        event = self._latest.get(point)
        count = self._count.get(point, 0)
        rounds = f"{count}/{max(self._progress.rounds, count)}"
        if event is None:
            return [rounds, "", "", ""]
        if event["event"] == "failure":
            return [rounds, f"failed: {event['reason']}", "", ""]
        if event["event"] == "capacity":
            return [rounds, f"{event['goodput'] or 0:.1f}", "", f"≤ {event['target_ms']:g}"]
        shown = [event["latency_ms"].get(p) for p in ("p50", "p99")]
        cells = [f"{v:.2f}" if isinstance(v, float) else v or "n/a" for v in shown]
        return [rounds, f"{event['throughput']:.1f}", *cells]
