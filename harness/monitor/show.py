"""What a monitor says: a live table, a table an interval, or an interval as a line of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from harness.errors import HarnessError
from harness.monitor.rates import Interval, ModelRates
from harness.system.credentials import outward
from harness.system.files import jsonable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

SCHEMA = "harness-monitor/1"
"""Of the lines of JSON (docs/monitor.md). A key that goes, or means another thing, makes it 2."""
COLUMNS = ("model", "req/s", "fail/s", "inf/s", "batch", "server\nms", "queue\nms", "compute\nms",
           "waiting", "cache/s")  # fmt: skip
EMPTY = {"waiting": ("", "–"), "cache/s": ("0", "–")}
"""Column → cells that say nothing: it is left out where it has no others."""


class Display(Protocol):
    """Where the intervals go."""

    def interval(self, interval: Interval, note: str = "") -> None:
        """What the server did; `note` is a line of the recording."""
        ...

    def away(self, error: HarnessError, since: float) -> None:
        """The server does not answer since that time of day."""
        ...


class JsonLines:
    """One object a line, for scripts."""

    def __init__(self, server: str, console: Console) -> None:
        self._server, self._console = server, console

    def interval(self, interval: Interval, note: str = "") -> None:
        """Everything that is known; `models` holds null where nothing is."""
        self._print(interval_json(interval, self._server))

    def away(self, error: HarnessError, since: float) -> None:
        """The server's absence is a line of its own."""
        self._print({"schema": SCHEMA, "server": self._server, "time": time.time(),
                     "away": outward(error.message), "away_since": since})  # fmt: skip

    def _print(self, value: object) -> None:
        self._console.file.write(json.dumps(value) + "\n")
        self._console.file.flush()
        if getattr(self._console.file, "failure", None) is not None:  # the reader has left
            raise KeyboardInterrupt


class Tables:
    """A table an interval, as text; in a terminal one table that changes, by `live`."""

    def __init__(self, server: str, console: Console, live: Live | None = None) -> None:
        self._server, self._console, self._live = server, console, live
        self._since, self._busy = time.monotonic(), set[str]()
        self._shown: RenderableType = ""

    def interval(self, interval: Interval, note: str = "") -> None:
        """The models, those without a request so far in one line, and the GPUs."""
        from rich.console import Group

        self._busy |= {m for m, rates in interval.models.items() if rates is None or rates.ended}
        table = [models_table(interval, self._busy)] if self._busy else []
        self._shown = Group(self._head(interval), *table, *self._below(interval, note))
        self._print(self._shown)

    def away(self, error: HarnessError, since: float) -> None:
        """Below what was seen last."""
        from rich.console import Group
        from rich.text import Text

        clock = time.strftime("%H:%M:%S", time.localtime(since))
        text = Text(outward(f"gone since {clock}, waiting: {error.message}"), style="red")
        self._print(Group(self._shown, text) if self._live is not None else text)

    def _head(self, interval: Interval) -> RenderableType:
        from rich.text import Text

        clock = time.strftime("%H:%M:%S", time.localtime(interval.end.unix))
        watched = time.monotonic() - self._since
        return Text(
            outward(f"{self._server}  {clock}, over {interval.seconds:.2f} s, watched for "
                    f"{watched:.0f} s"), style="bold")  # fmt: skip

    def _below(self, interval: Interval, note: str) -> Iterator[RenderableType]:
        from rich.text import Text

        idle = [outward(name) for name in interval.models if name not in self._busy]
        if idle:
            yield Text(f"without a request: {', '.join(idle)}", style="dim")
        yield from gpu_lines(interval)
        if interval.end.metrics_problem:
            yield Text(outward(interval.end.metrics_problem), style="yellow")
        if note:
            yield Text(outward(note), style="cyan")

    def _print(self, shown: RenderableType) -> None:
        if self._live is None:
            self._console.print(shown)
            if getattr(self._console.file, "failure", None) is not None:
                raise KeyboardInterrupt
        else:
            self._live.update(shown, refresh=True)


def interval_json(interval: Interval, server: str) -> dict[str, object]:
    """An interval with everything that is known of it."""
    models = {
        name: None if rates is None else asdict(rates) for name, rates in interval.models.items()
    }
    found = {
        "schema": SCHEMA, "server": server, "time": interval.end.unix,
        "seconds": interval.seconds, "models": models, "gpus": interval.end.gpus,
        "metrics_problem": interval.end.metrics_problem or None,
    }  # fmt: skip
    made = jsonable(found)
    assert isinstance(made, dict)
    return made


def models_table(interval: Interval, busy: set[str]) -> Table:
    """A row for each of `busy`; columns that say nothing of any are left out."""
    from rich.table import Table

    rows = [(name, cells(interval.models[name])) for name in interval.models if name in busy]
    kept = [
        i for i, head in enumerate(COLUMNS[1:])
        if any(row[i] not in EMPTY.get(head, ()) for _, row in rows)
    ]  # fmt: skip
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(COLUMNS[0], overflow="fold")
    for i in kept:
        table.add_column(COLUMNS[1 + i], justify="right", no_wrap=True)
    for name, row in rows:
        failing = bool(rates.failures) if (rates := interval.models[name]) else False
        style = "red" if failing else "dim" if interval.models[name] is None else ""
        table.add_row(outward(name), *(row[i] for i in kept), style=style)
    return table


def cells(rates: ModelRates | None) -> Sequence[str]:
    """The numbers of a row, in the order of `COLUMNS`; a dash for what is not known."""
    if rates is None:
        return ["–"] * (len(COLUMNS) - 1)
    return [
        number(rates.requests_per_s), number(rates.failures_per_s),
        number(rates.inferences_per_s), number(rates.mean_batch), number(rates.server_ms),
        number(rates.queue_ms), number(rates.compute_ms),
        "" if rates.pending is None else number(rates.pending), number(rates.cache_hits_per_s),
    ]  # fmt: skip


def number(value: float | None) -> str:
    """Three significant digits or whole, `494k` and `1.98M`; a dash for what is not known."""
    if value is None:
        return "–"
    if value < 999.5:
        return f"{value:.3g}"
    if value < 99_999.5:
        return f"{value:,.0f}"
    return f"{value / 1e3:.0f}k" if value < 999_500 else f"{value / 1e6:.3g}M"


def gpu_lines(interval: Interval) -> Iterator[RenderableType]:
    """A line a GPU, as far as the server's metrics say something of it."""
    from rich.text import Text

    for uuid, gpu in interval.end.gpus.items():
        words = []
        if "utilization_percent" in gpu:
            words.append(f"{gpu['utilization_percent']:.0f} % busy")
        if "memory_used_mib" in gpu:
            total = gpu.get("memory_total_mib")
            of = f" of {total:,.0f}" if total else ""
            words.append(f"{gpu['memory_used_mib']:,.0f}{of} MiB used")
        if "power_w" in gpu:
            words.append(f"{gpu['power_w']:.0f} W")
        yield Text(outward(f"{uuid}: {', '.join(words) or 'no reading'}"))
