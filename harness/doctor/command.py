"""`harness doctor`: what this machine can run and, for what it can't, the command that fixes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from harness.system import options
from harness.system.output import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from harness.doctor.examine import Findings
    from harness.system.check import Check

MARKS = {"ok": "[green]✓[/]", "missing": "[red]✗[/]", "note": "[yellow]–[/]"}
PIPED_WIDTH = 200
"""Columns when the output is no terminal: commands stay in one piece."""


@click.command()
@options.as_json
def command(as_json: bool) -> int:
    """Say what this machine can run and, for what it can't, the command that fixes it.

    Exit codes: 0 when at least one real backend can run, 3 when none can.
    """
    from harness.doctor import examine
    from harness.errors import SetupError

    found = examine.examine()
    if as_json:
        print_json("doctor", found.to_json())
    else:
        _print(found)
    return 0 if found.able else SetupError.exit_code


def _print(found: Findings) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    for group in dict.fromkeys(check.group for check in found.checks):
        console.print(f"[bold]{group}[/]")
        console.print(_table([check for check in found.checks if check.group == group]))
    console.print(
        f"This machine can measure: {', '.join(found.able)}." if found.able
        else "Only the fake backend can run here; the fixes above say what to install."
    )  # fmt: skip


def _table(checks: Sequence[Check]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=18)
    table.add_column(overflow="fold")
    for check in checks:
        fix = f"\n[dim]fix:[/] {escape(check.fix)}" if check.fix else ""
        table.add_row(MARKS[check.status], check.name, escape(check.detail) + fix)
    return table
