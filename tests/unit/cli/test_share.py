from __future__ import annotations

from harness.cli.share import command


def test_the_command_is_the_rooms_own() -> None:
    from harness.tenants.command import command as own

    assert command is own
    assert "how many replicas hold the target" in " ".join((command.help or "").split())
