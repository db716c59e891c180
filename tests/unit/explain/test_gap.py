"""The gap between two backends as text, on the made-up run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic_run import write_run
from unit.gap.test_parts import native, served, the_gap

from harness.errors import UsageError
from harness.explain.gap import gaps_of, lines, page
from harness.gap.advice import Advice
from harness.report.model.context import Context
from harness.results.store import read_run


def test_every_part_has_a_line_with_its_method() -> None:
    tip = Advice("io: shared_memory", None, 0.31, "estimated: wire")
    text = list(lines(the_gap(native([1.0, 1.0]), served([2.0, 2.0])), [tip]))
    assert text[0] == "t/b1/c1 against n/b1/c1, 2 rounds, mean latency in ms"
    assert len([line for line in text if line.startswith("  + ")]) == 8
    assert text[-1].split() == (
        ["io:", "shared_memory", "saves", "at", "most", "0.310", "ms", "(estimated:", "wire)"]
    )


def test_a_pair_that_the_run_does_not_have_is_refused(cpu: Context) -> None:
    assert gaps_of(cpu, "torch-cpu-fp32", "triton-http-onnxruntime")
    with pytest.raises(UsageError, match="no backend 'tritn'") as caught:
        gaps_of(cpu, "torch-cpu-fp32", "tritn")
    assert "triton-http-onnxruntime" in str(caught.value.fix)
    with pytest.raises(UsageError, match="no load in common"):
        gaps_of(cpu, "triton-http-onnxruntime", "torch-cpu-fp32")


def test_each_load_has_its_paragraph(tmp_path: Path) -> None:
    data = read_run(write_run(tmp_path / "run"))
    text = page(data, "torch-cpu-fp32", "triton-http-onnxruntime")
    heads = [each.partition(",")[0] for each in text.split("\n\n")]
    assert heads[0] == "triton-http-onnxruntime/b1/c1 against torch-cpu-fp32/b1/c1"
    assert len(set(heads)) == len(heads) > 1
