"""`harness prepare`: what was made, in a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.paths import ROOT

from harness.cli.prepare import _print_table, command


def test_a_scenario_without_a_model_file_has_an_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = str(ROOT / "scenarios" / "fake.yaml")
    done = CliRunner().invoke(command, [fake], catch_exceptions=False)
    assert done.output == "format  bytes  seconds    file\n"


def test_numbers_are_flush_right(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(("model", "bytes", "seconds", ""), [("a", "1,000,000", "1.0 s", "ready")])
    assert capsys.readouterr().out.splitlines() == [
        "model      bytes  seconds",
        "a      1,000,000    1.0 s  ready",
    ]
