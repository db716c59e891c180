"""Exporting in this process: a model of the user's own, and one that needs no file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.errors import HarnessError
from harness.scenario.reading.loader import load
from harness.validate.prepare import _print_table, export


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_what_needs_no_file_leaves_none(tmp_path: Path) -> None:
    found = export(load(ROOT / "scenarios" / "fake.yaml"))
    assert (list(found.artifacts), dict(found.failures), list(found.repository)) == ([], {}, [])
    assert not (tmp_path / "cache").exists()


def test_the_users_module_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "scenario: s\n"
        "model:\n"
        "  name: m\n"
        "  source: {torch: 'not_there_at_all:make'}\n"
        "  inputs: [{name: x, dtype: float32, shape: [batch, 3]}]\n"
        "backends: [{kind: onnxruntime}]\n"
        "load: {concurrency: 1}\n"
        "measurement: {profile: quick}\n"
    )
    with pytest.raises((HarnessError, ModuleNotFoundError), match="not_there_at_all"):
        export(load(tmp_path / "s.yaml"))
    assert sys.path[-2:] == [str(tmp_path), str(Path.cwd())], "they replace no library"


def test_numbers_are_flush_right(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(("model", "bytes", "seconds", ""), [("a", "1,000,000", "1.0 s", "ready")])
    assert capsys.readouterr().out.splitlines() == [
        "model      bytes  seconds",
        "a      1,000,000    1.0 s  ready",
    ]
