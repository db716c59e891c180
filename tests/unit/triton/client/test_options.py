"""The options by which a command is let in are the same wherever a server is asked."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from harness.infer.command import command as infer
from harness.init.command import command as init
from harness.monitor.command import command as monitor
from harness.triton.client.options import access


@click.command()
@access
def said(headers: tuple[str, ...], ca: str, insecure: bool) -> None:
    click.echo(f"{headers} {ca!r} {insecure}")


def test_what_is_given_comes_in_order_and_nothing_is_nothing() -> None:
    arguments = ["--header", "A: 1", "--header", "B: 2", "--ca", "x.pem", "--insecure"]
    assert CliRunner().invoke(said, arguments).output == "('A: 1', 'B: 2') 'x.pem' True\n"
    assert CliRunner().invoke(said, []).output == "() '' False\n"


@pytest.mark.parametrize("command", [infer, init, monitor])
def test_each_command_that_asks_a_server_has_them(command: click.Command) -> None:
    names = [option for p in command.params for option in p.opts]
    assert [n for n in names if n in ("--header", "--ca", "--insecure")] == [
        "--header", "--ca", "--insecure",
    ]  # fmt: skip
