from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from support.rows import measurement

from harness.results.events import Status
from harness.results.rows import FailureRow
from harness.tenants.results import Results
from harness.tenants.show import page, to_json, watching


def test_the_page_has_every_table(plain: Results, tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(page(plain))
    text = console.export_text()
    for title in ("same load", "each alone", "Interference under", "hold the target"):
        assert title in text


def test_what_is_predicted_is_on_the_page_and_in_json(predicted: Results, tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(page(predicted))
    text = console.export_text()
    for title in ("Predicted interference under", "Predicted and measured", "acts like"):
        assert title in text
    (found,) = json.loads(json.dumps(to_json(predicted), allow_nan=False))["predicted"]
    assert {(p["of"], p["beside"]) for p in found["pairs"]} == {(a, b) for a in "ab" for b in "ab"}
    assert found["mean_error"]["stressors"] < 0.02


def test_json_has_every_interval_and_no_infinity(plain: Results) -> None:
    data = json.loads(json.dumps(to_json(plain), allow_nan=False))
    assert len(data["table"]) == 4
    kept = data["table"][0]["throughput_kept"]
    assert kept["low"] < kept["value"] < kept["high"]
    assert {(i["of"], i["beside"]) for i in data["interference"]} == {
        (a, b) for a in "ab" for b in "ab"
    }
    assert data["target"][0]["tried"][0]["replicas"] == 1


def test_what_is_told_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    whole, one = measurement(point="mps/a@c1+b@c1"), measurement(point="mps/a@c1+b@c1/a")
    failed = FailureRow("mps/x", 0, "x", "out_of_memory", "no memory")
    for tell in (watching(silent=False, as_json=False), watching(silent=True, as_json=False)):
        for event in (whole, one, failed, Status("loading")):
            tell(event)
    assert capsys.readouterr().err.splitlines() == [
        "round 1: mps/a@c1+b@c1: 250 inferences/s", "mps/x failed: no memory", "loading",
    ]  # fmt: skip
    watching(silent=False, as_json=True)(whole)
    assert json.loads(capsys.readouterr().out)["point"] == whole.point
