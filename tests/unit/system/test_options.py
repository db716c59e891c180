"""Options that subcommands share mean the same in each."""

from __future__ import annotations

import importlib

import click
import pytest

from harness.cli.main import COMMANDS


def options(name: str) -> dict[str, click.Option]:
    command = importlib.import_module(f"harness.{COMMANDS[name][0]}").command
    return {o: p for p in command.params if isinstance(p, click.Option) for o in p.opts}


@pytest.mark.parametrize("name", ["run", "calibrate", "prepare", "validate"])
def test_values_are_put_in_by_set_and_more_than_once(name: str) -> None:
    option = options(name)["--set"]
    assert (option.name, option.multiple) == ("overrides", True)
    assert option.help == options("run")["--set"].help


@pytest.mark.parametrize("name", ["run", "calibrate"])
def test_runs_are_resumed_by_their_directory(name: str) -> None:
    assert options(name)["--resume"].metavar == "DIR"
