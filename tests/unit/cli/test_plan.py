"""`harness plan` is a subcommand, and its help needs no run."""

from __future__ import annotations

from click.testing import CliRunner

from harness.cli.plan import command


def test_the_help_says_how_it_is_tried() -> None:
    done = CliRunner().invoke(command, ["--help"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "--verify tries the point under a cap" in " ".join(done.output.split())
