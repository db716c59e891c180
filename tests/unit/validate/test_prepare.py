"""Exporting in this process: a model of the user's own, and one that needs no file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.errors import HarnessError
from harness.results.rows import ArtifactRow, ParityRow
from harness.scenario.reading.loader import load
from harness.validate.prepare import Exported, _print_table, export, show


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


MADE = [
    ArtifactRow("state_dict", "a.pt", 10, 0.1, cached=True),
    ArtifactRow("onnx", "a.onnx", 20, 2.0, cached=False),
    ArtifactRow("engine", "a.engine", 30, 3.0, cached=False, details={"backend": "rtx"}),
]
RIGHT = ParityRow("onnx", 1, "agrees", "eager", max_abs_error=2e-7)
WORSE = ParityRow("onnx", 4, "agrees", "eager", max_abs_error=3e-7)
WRONG = ParityRow("onnx", 4, "disagrees", "eager", max_abs_error=3.0, message="y: 3 of 4")
UNSEEN = ParityRow("rtx", 1, "unavailable", "", message="no GPU")


def test_each_step_has_its_parity(capsys: pytest.CaptureFixture[str]) -> None:
    show(Exported(MADE, {}, [], {"onnx": [RIGHT, WORSE], "rtx": [UNSEEN]}), None)
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["state_dict", "10", "0.1", "s", "cached", "reference", "a.pt"],
        ["onnx", "20", "2.0", "s", "made", "agrees,", "off", "by", "≤", "3.0e-07", "a.onnx"],
        ["rtx", "30", "3.0", "s", "made", "not", "compared", "a.engine"],
    ]
    assert err == "rtx: no GPU\n"


def test_a_file_that_was_traced_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    traced = replace(MADE[1], details={"exporter": "legacy", "fallback_reason": "an if"})
    show(Exported([traced], {}, []), None)
    assert capsys.readouterr().err == "onnx: by tracing, branches as taken once: an if\n"


def test_what_is_wrong_or_lacking_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    needed = frozenset({"onnx", "rtx"})
    assert Exported(MADE, {}, [], {"onnx": [RIGHT], "rtx": [UNSEEN]}, needed).exit_code == 0
    wrong = Exported(MADE, {}, [], {"onnx": [RIGHT, WRONG]}, needed)
    assert wrong.exit_code == 1
    show(wrong, None)
    assert "DISAGREES" in capsys.readouterr().out
    assert Exported([], {"rtx": "node x"}, [], {}, needed).exit_code == 1
    assert Exported([], {"onnx_fp16": "for the repository"}, [], {}, needed).exit_code == 0


def test_what_only_this_machine_lacks_ends_with_3() -> None:
    needed, lacking = frozenset({"onnx", "rtx"}), frozenset({"onnx"})
    assert Exported([], {"onnx": "no onnxscript"}, [], {}, needed, lacking).exit_code == 3
    both = {"onnx": "no onnxscript", "rtx": "node x"}
    assert Exported([], both, [], {}, needed, lacking).exit_code == 1
