"""The reference backend and the speed-up over it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_run import write_run

from harness.analysis.best import differs
from harness.analysis.speedup import cells, reference_backend, speedups
from harness.analysis.summary import summarize
from harness.results.store import read_run

TORCH16 = {"kind": "torch", "name": "t16", "precision": "fp16"}
TORCH32 = {"kind": "torch", "name": "t32"}
ORT = {"kind": "onnxruntime", "name": "ort", "precision": "fp32"}


@pytest.mark.parametrize(
    ("backends", "measured", "expected"),
    [
        ([ORT, TORCH16, TORCH32], ["ort", "t16", "t32"], ("t32", True)),
        ([ORT, TORCH16], ["ort", "t16"], ("ort", False)),
        ([ORT, TORCH32], ["ort"], ("ort", False)),  # eager was not measured
        ([], ["x"], ("x", False)),
        ([TORCH32], [], (None, False)),
    ],
)
def test_reference(
    backends: list[dict[str, str]], measured: list[str], expected: tuple[str | None, bool]
) -> None:
    assert reference_backend(backends, measured) == expected


def test_speedup_is_the_ratio_in_the_same_cell(tmp_path: Path) -> None:
    data = read_run(write_run(tmp_path / "run", failures=False))
    rows = summarize(data.measurements)
    found = speedups(rows, "torch-cpu-fp32")
    values = {r.point: r.throughput.value for r in rows if r.throughput}
    for point, ratio in found.items():
        place = point.partition("/")[2]
        assert ratio is not None
        assert ratio.value == pytest.approx(values[point] / values[f"torch-cpu-fp32/{place}"])
        assert differs(ratio)
    assert not any(point.startswith("torch") for point in found)
    assert len(found) == 18
    assert cells(rows) == [((b, 0, ""), 0, c, f"c{c}") for b in (1, 4) for c in (1, 2, 4)]


def test_no_speedup_over_an_invalid_or_missing_point(tmp_path: Path) -> None:
    data = read_run(write_run(tmp_path / "run", failures=False))
    rows = [
        replace(r, valid=False) if r.point == "torch-cpu-fp32/b1/c1" else r
        for r in summarize(data.measurements)
        if r.point != "torch-cpu-fp32/b4/c4"
    ]
    found = speedups(rows, "torch-cpu-fp32")
    assert found["onnxruntime-cpu-fp32/b1/c1"] is None
    assert found["onnxruntime-cpu-fp32/b4/c4"] is None
    assert found["onnxruntime-cpu-fp32/b1/c2"] is not None
