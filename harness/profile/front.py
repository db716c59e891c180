"""What `harness profile` does with what it was asked: profile, try, write, show."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from harness.errors import UsageError
from harness.profile import sentences
from harness.profile import store as files
from harness.profile.execute import start
from harness.profile.report import write_report
from harness.profile.result import Profile
from harness.profile.terminal import page
from harness.profile.trying import Watch, chosen, try_findings
from harness.results.events import Note, Status
from harness.results.rows import FailureRow, MeasurementRow
from harness.results.store import read_run
from harness.scenario.reading.loader import load
from harness.system.console import wide_console

"""Columns where no terminal sets them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of the command."""

    path: Path
    overrides: tuple[str, ...]
    output: Path | None
    tried: str | None
    report: bool
    quiet: bool
    as_json: bool


def carry_out(asked: Asked) -> int:
    """Do it; the exit code. Raises HarnessError."""
    tell = _tell(silent=asked.quiet or asked.as_json)
    directory = _directory(asked, tell)
    profile = files.read_profile(directory)
    if asked.tried is not None:
        picked = chosen(profile, asked.tried)
        own = asked.overrides if asked.path.is_dir() else ()
        profile = try_findings(directory, picked, own, _watch(tell))
    html = write_report(directory) if asked.report else None
    if not read_run(directory).complete:
        click.echo(sentences.CUT_SHORT, err=True)
    _show(asked, directory, profile, html)
    return 1 if any(b.failure for b in profile.backends) else 0


def _directory(asked: Asked, tell: Callable[[str], None]) -> Path:
    """Of the new profile, or the one that was given."""
    if not asked.path.is_dir():
        return start(load(asked.path, asked.overrides), asked.output, tell)
    if asked.output is not None:
        raise UsageError("--output goes with a scenario")
    if asked.overrides and asked.tried is None:
        raise UsageError("--set goes with a scenario, or with --try")
    files.read_profile(asked.path)  # says so where it is none
    return asked.path


def _tell(*, silent: bool) -> Callable[[str], None]:
    return (lambda _: None) if silent else (lambda text: print(text, file=sys.stderr, flush=True))


def _watch(tell: Callable[[str], None]) -> Watch:
    """A line for each measurement and failure of what is tried."""

    def take(event: object) -> None:
        if isinstance(event, MeasurementRow):
            tell(f"measured {event.point}, round {event.round + 1}")
        elif isinstance(event, FailureRow):
            tell(f"{event.point} failed: {event.message}")
        elif isinstance(event, Note | Status):
            tell(event.text)

    return lambda: contextlib.nullcontext(take)


def _show(asked: Asked, directory: Path, profile: Profile, html: Path | None) -> None:
    if asked.as_json:
        found = {"directory": str(directory), "report": str(html) if html else None}
        kept = {**json.loads(files.text_of(profile)), "schema": "harness-profile/1"}
        click.echo(json.dumps({**found, **kept}))
        return
    if not asked.quiet:
        wide_console().print(page(profile), highlight=False)
    click.echo(f"profile: {directory}")
    click.echo(f"traces: {directory / files.TRACES} (Perfetto; tensorboard --logdir)")
    if html is not None:
        click.echo(f"HTML report: {html}")
