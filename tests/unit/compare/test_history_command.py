"""`harness history`: adding runs and reporting on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.compared import write_blocks

from harness.compare.history_command import command
from harness.errors import UsageError


def called(*arguments: object) -> str:
    done = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.return_value == 0
    return done.output


def test_runs_are_added_and_reported(tmp_path: Path) -> None:
    database = tmp_path / "h.sqlite"
    runs = [
        write_blocks(tmp_path / f"r{n}", {"a": 0.3 * (n > 7)}, rounds=1, seed=n,
                     manifest={"created": f"2026-11-{n + 1:02d}"})
        for n in range(14)
    ]  # fmt: skip
    said = called("add", *runs, "--database", database)
    assert said.count("1 backend added") == 14
    assert "is there already" in called("add", runs[0], "--database", database)
    text = called("report", "--database", database, "--markdown", tmp_path / "page.md")
    assert "a/b1/c1" in text
    assert "(worse) since 2026-11-09" in text
    assert "no version changed" in (tmp_path / "page.md").read_text()


def test_without_a_history(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no history in"):
        called("report", "--database", tmp_path / "none.sqlite")
