"""`harness monitor URL`: what a running Triton does, live, and its traffic as a trace."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.triton.client import options

if TYPE_CHECKING:
    from rich.console import Console

    from harness.monitor.reading import Reading
    from harness.monitor.show import Display

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("monitor")
@click.argument("url")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only this. Repeatable.")
@click.option("--interval", default="1s", show_default=True, help="Between two readings.")
@click.option("--duration", help="End after this long, e.g. 10m; default: at Ctrl-C.")
@click.option("--once", is_flag=True, help="One interval, then end.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON an interval.")
@click.option(
    "--record", type=FILE, metavar="FILE",
    help="Write the arrivals of a model to FILE, for a scenario's load.trace.",
)  # fmt: skip
@click.option("--metrics", metavar="ADDRESS", help="Its metrics page; default: host:8002.")
@options.access
def command(
    url: str, models: tuple[str, ...], interval: str, duration: str | None, once: bool,
    as_json: bool, record: Path | None, metrics: str | None, headers: tuple[str, ...],
    ca: str, insecure: bool,
) -> None:  # fmt: skip
    """Show what the Triton at URL does, from its own statistics: rates, queue, compute, failures.

    URL is http://HOST:8000 or grpc://HOST:8001; https and grpcs over TLS. It is read only: nothing
    is sent to a model. Ctrl-C ends it. Exit 3 where nobody answers at the start, or at the end.
    """
    from harness.monitor.reading import Reader
    from harness.monitor.record import Recorder
    from harness.monitor.watch import Watch
    from harness.triton.client.url import parse_url

    server = parse_url(url, headers, ca or None, verify=not insecure)
    every = _seconds("--interval", interval)
    longest = None if duration is None else _seconds("--duration", duration)
    recorder = None
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(Reader(server, models, metrics))
        display = stack.enter_context(_display(server.text, as_json=as_json, live=not once))
        first = reader.read()
        if record is not None:
            recorder = stack.enter_context(Recorder(record, _one(first), server.text))
        Watch(reader, display, every, recorder, longest).run(first, once=once)
    if recorder is not None:
        click.echo(recorder.words, err=as_json)


def _seconds(option: str, text: str) -> float:
    from harness.errors import UsageError
    from harness.scenario.units import parse_positive_duration

    try:
        return parse_positive_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _one(first: Reading) -> str:
    """The model whose traffic is recorded: a trace is of one."""
    from harness.errors import UsageError

    names = sorted(first.counters)
    if len(names) != 1:
        there = ", ".join(names) or "none that is loaded"
        raise UsageError(f"--record is of one model; there is {there}", fix="--model NAME")
    return names[0]


@contextlib.contextmanager
def _display(server: str, *, as_json: bool, live: bool) -> Iterator[Display]:
    from rich.console import Console
    from rich.live import Live

    from harness.monitor.show import JsonLines, Tables

    console: Console = Console(file=sys.stdout, highlight=False)
    if as_json:
        yield JsonLines(server, console)
    elif live and console.is_terminal:
        with Live(console=console, auto_refresh=False) as shown:
            yield Tables(server, console, shown)
    else:
        yield Tables(server, console)
