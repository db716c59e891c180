"""How a command is let in to a server: its headers and certificates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def access(command: F) -> F:
    """Adds `--header` (as `headers`), `--ca` (empty: the system's) and `--insecure`."""
    for option in (
        click.option("--insecure", is_flag=True, help="Check no certificate."),
        click.option("--ca", default="", metavar="FILE", help="Certificates to trust (PEM)."),
        click.option(
            "--header", "headers", multiple=True, metavar="NAME: VALUE",
            help="For a server; ${NAME} is an environment variable. Repeatable.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command
