"""`harness doctor` is the command of its room."""

from __future__ import annotations

from harness.cli.doctor import command


def test_it_is_the_rooms() -> None:
    assert command.callback is not None
    assert command.callback.__module__ == "harness.doctor.command"
