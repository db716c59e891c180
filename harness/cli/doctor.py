"""`harness doctor`: what this machine can run and, for what it can't, the command that fixes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from harness.system.check import Check

MARKS = {"ok": "[green]✓[/]", "missing": "[red]✗[/]", "note": "[yellow]–[/]"}
PIPED_WIDTH = 200
"""Columns when the output is no terminal: commands stay in one piece."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
def command(as_json: bool) -> int:
    """Say what this machine can run and, for what it can't, the command that fixes it.

    Exit codes: 0 when at least one real backend can run, 3 when none can.
    """
    from harness.errors import SetupError

    checks, facts = _examine()
    able = any(check.runs for check in checks)
    if as_json:
        import json
        from dataclasses import asdict

        data = {"ok": able, "checks": [asdict(check) for check in checks], **facts}
        click.echo(json.dumps(data, indent=2))
    else:
        _print(checks)
    return 0 if able else SetupError.exit_code


def _examine() -> tuple[list[Check], dict[str, object]]:
    import os

    from harness.doctor.backends import backend_checks
    from harness.doctor.machine import machine_checks
    from harness.scenario.spec.backend import packages
    from harness.system.machine import describe_machine, package_versions, probe_gpus
    from harness.system.paths import cache_directory

    load = os.getloadavg()[0]  # before the probes add to it
    machine, (gpus, no_gpu) = describe_machine(), probe_gpus()
    checks = [
        *backend_checks(bool(gpus)),
        *machine_checks(machine, no_gpu, load, cache_directory()),
    ]
    return checks, {"machine": machine, "packages": package_versions(packages())}


def _print(checks: Sequence[Check]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    for group in dict.fromkeys(check.group for check in checks):
        console.print(f"[bold]{group}[/]")
        console.print(_table([check for check in checks if check.group == group]))
    console.print(_verdict(checks))


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


def _verdict(checks: Sequence[Check]) -> str:
    names = [check.name for check in checks if check.runs]
    if names:
        return f"This machine can measure: {', '.join(names)}."
    return "Only the fake backend can run here; the fixes above say what to install."
