"""What the terminal shows while a run goes on: a live table, plain lines, JSON lines or nothing."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from harness.measure.validity import causes
from harness.results import events
from harness.results.events import Event, Observer
from harness.results.rows import CapacityRow, FailureRow, MeasurementRow, ParityRow
from harness.run.time_left import TimeLeft
from harness.scenario.sizes import request_id
from harness.scenario.wording import counted
from harness.system.output import failure

if TYPE_CHECKING:
    from rich.console import Group

REFRESH_HZ = 4


def observer(*, quiet: bool, as_json: bool) -> contextlib.AbstractContextManager[Observer]:
    """The observer that fits the flags and the terminal; use it as a context manager."""
    if as_json:
        return contextlib.nullcontext(json_lines(sys.stdout))
    if quiet:
        return contextlib.nullcontext(lambda _: None)
    if sys.stderr.isatty():
        return _live()
    return contextlib.nullcontext(plain_lines(sys.stderr))


def json_lines(out: TextIO) -> Observer:
    """Every event as one JSON object a line; a reader that left interrupts the run."""

    def tell(event: Event) -> None:
        print(json.dumps(event.to_event()), file=out, flush=True)
        if (error := failure(out)) is not None:
            raise KeyboardInterrupt from error

    return tell


def plain_lines(out: TextIO) -> Observer:
    """One line for each thing that happened; for logs and pipes."""
    progress = RunProgress()

    def tell(event: Event) -> None:
        if line := progress.take(event):
            print(line, file=out, flush=True)

    return tell


class RunProgress:
    """What is done, what is going on, and how long it may still take."""

    def __init__(self) -> None:
        self.plan = events.Plan((), 0)
        self.done = 0
        self.current, self.running, self._failed = "starting", "", ""
        self._added, self._left = 0, TimeLeft()
        self._started = time.monotonic()

    @property
    def total(self) -> int:
        """Measurements of the whole run, as far as rounds have been added."""
        return max(len(self.plan.points) * self.plan.rounds + self._added, self.done)

    def take(self, event: Event) -> str | None:
        """Update; a line worth printing, or None."""
        self._left.take(event)
        match event:
            case events.Plan():
                self.plan, self.done = event, event.measured
            case events.RoundAdded():
                self._added += event.points
            case events.Status():
                self.current, self.running = event.text, ""
            case events.Lanes(now):
                self.current = ""
                self.running = "\n".join(f"{lane}: {text}" for lane, text in now.items())
            case events.SessionStarted(backend, config):
                name = backend if config == "default" else f"{backend}/{config}"
                self.current, self.running = f"round {event.round + 1}: loading {name}", ""
            case events.PointStarted():
                self.current, self.running = f"round {event.round + 1}: {event.point}", ""
            case events.Progress():
                p99 = f", p99 {event.p99_ms:.1f} ms" if event.p99_ms is not None else ""
                self.running = f"{event.phase}: {event.rate:.1f} requests/s{p99}"
            case MeasurementRow():
                self.done += event.point in self.plan.points  # a search's rates are not counted
            case CapacityRow():
                self.done += 1
        return self._in_words(event)

    def _in_words(self, event: Event) -> str | None:
        match event:
            case events.Plan():
                already = f", {self.done} already measured" if self.done else ""
                most = "at most " if event.at_most else ""
                size = f"{counted(len(event.points), 'point')} × {counted(event.rounds, 'round')}"
                return most + size + already
            case events.RoundAdded(round_, points, why):
                return f"round {round_ + 1} is added: {counted(points, 'point')} again, {why}"
            case events.Status(text):
                return text
            case ParityRow(backend, _, status) if status != "agrees" or event.message:
                why = "" if status == "disagrees" else event.message  # else the failure says it
                where = request_id(event.batch_size, event.sizes)
                return f"parity: {backend} {where}: {status}" + (f"; {why}" if why else "")
            case MeasurementRow():
                p50 = event.latency_ms.get("p50")
                shown = f", p50 {p50:.2f} ms" if p50 is not None and p50 < math.inf else ""
                if found := causes(event.flags):
                    shown += f" (disturbed: {', '.join(found).replace('_', ' ')})"
                return self._measured(event, f"{event.throughput:.1f} inferences/s{shown}")
            case CapacityRow(rate=rate, reason=reason):
                holding = "no rate holds" if rate is None else f"{rate:g} requests/s hold"
                return self._measured(event, holding + (f"; {reason}" if reason else ""))
            case events.MeasuredAgain(point, round_):
                return f"round {round_ + 1} {point}: doubtful, measured once more"
            case FailureRow(point, round_):
                return f"round {round_ + 1} {point}: FAILED ({event.reason}){self._why(event)}"
            case events.Note(text) | events.Undecided(text) if text:
                return f"note: {text}"
            case events.SearchEnded(why, not_measured):
                left = ", ".join(not_measured) or "nothing"
                return f"the {why} ended the search; not measured: {left}"
            case events.Best(config=None):
                return f"no best config was written: {event.why}"
            case events.Best():
                return f"best config: {event.backend}/{event.config}, {event.why}"
        return None

    def _measured(self, row: MeasurementRow | CapacityRow, result: str) -> str:
        where = f"[{self.done}/{self.total}] round {row.round + 1} {row.point}"
        return f"{where}: {result}{self.remaining()}"

    def _why(self, row: FailureRow) -> str:
        """A failure's message, where the one before had another."""
        before, self._failed = self._failed, f": {row.message}"
        return ", as the one before" if before == self._failed else self._failed

    def remaining(self) -> str:
        """Time left, as `TimeLeft` expects it; nothing where nobody knows, or at the end."""
        seconds, fresh = self._left.seconds(), self.done - self.plan.measured
        if seconds is None and fresh and not self.plan.at_most:  # over several devices
            each = (time.monotonic() - self._started) / fresh
            seconds = (each * (self.total - self.done),) * 2
        if not seconds or not seconds[1]:
            return ""
        low, high = (f"{int(s // 60)}:{int(s % 60):02d}" for s in seconds)
        return f" (about {low} left)" if low == high else f" ({low} to {high} left)"


@contextlib.contextmanager
def _live() -> Iterator[Observer]:
    """A rich table on stderr, drawn at most four times a second, by this process only."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    table = LiveTable(console.height - 5)
    with Live(
        console=console, get_renderable=table.render, refresh_per_second=REFRESH_HZ, transient=True
    ):
        yield table.take


class LiveTable:
    """A line of progress, and a row a point with its latest round: of more than `rows` points
    those that were measured last come first, since `Live` cuts what is over the screen's height.
    """

    def __init__(self, rows: int = sys.maxsize) -> None:
        self._progress, self._rows = RunProgress(), rows
        self._latest: dict[str, MeasurementRow | FailureRow | CapacityRow] = {}
        self._count = Counter[str]()

    def take(self, event: Event) -> None:
        """Take one event."""
        self._progress.take(event)
        if isinstance(event, MeasurementRow | FailureRow | CapacityRow):
            self._latest.pop(event.point, None)
            self._latest[event.point] = event
            self._count[event.point] += 1

    def render(self) -> Group:
        """The table as it stands."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._progress
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("point", overflow="fold")
        for name in ("rounds", "infer/s", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right", no_wrap=True)  # figures are never cut
        planned = dict.fromkeys(progress.plan.points)
        rows = max(self._rows - progress.running.count("\n"), 1)  # of lanes there is a line each
        latest = [p for p in reversed(self._latest) if p in planned and len(planned) > rows]
        for point in islice(dict.fromkeys((*latest, *planned)), rows):
            table.add_row(point, *self._cells(point))
        bar = ProgressBar(total=max(progress.total, 1), completed=progress.done, width=40)
        line = f"{progress.done}/{progress.total}{progress.remaining()}  {progress.current}"
        # the bar is padded for a line of its own: alone it ends none, and what follows it is cut
        return Group(Padding(bar, 0), Text(line), Text(progress.running, style="dim"), table)

    def _cells(self, point: str) -> list[str]:
        count = self._count[point]
        rounds = f"{count}/{max(self._progress.plan.rounds, count)}"
        match self._latest.get(point):
            case None:
                return [rounds, "", "", ""]
            case FailureRow(reason=reason):
                return [rounds, f"failed: {reason}", "", ""]
            case CapacityRow(goodput=goodput, target_ms=target):
                return [rounds, f"{goodput or 0:.1f}", "", f"≤ {target:g}"]
            case MeasurementRow(latency_ms=latency, throughput=throughput):
                # `inf` where the percentile falls among the failures
                known = {p: f"{ms:.2f}" for p, ms in latency.items() if ms is not None}
                return [rounds, f"{throughput:.1f}", *(known.get(p, "n/a") for p in ("p50", "p99"))]
