"""`harness export` is the command of its room."""

from __future__ import annotations

from harness.cli.export import command
from harness.cli.main import COMMANDS


def test_it_is_the_rooms() -> None:
    assert command.callback is not None
    assert command.callback.__module__ == "harness.export.command"
    assert COMMANDS["export"][0] == "harness.cli.export"
