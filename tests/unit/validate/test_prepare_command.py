"""`harness prepare`: what was made, in a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.paths import ROOT

from harness.validate.prepare_command import command


def test_a_scenario_without_a_model_file_has_an_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = str(ROOT / "scenarios" / "fake.yaml")
    done = CliRunner().invoke(command, [fake], catch_exceptions=False)
    assert done.output == "step  bytes  seconds    parity  file\n"
