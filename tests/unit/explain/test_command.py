"""`harness explain`: the list of points, and one of them."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from support import rows
from support.synthetic_run import write_run

from harness.explain.command import command
from harness.results.store import RunStore


def said(*args: object) -> str:
    done = CliRunner().invoke(command, [str(a) for a in args], catch_exceptions=False)
    return done.output


def test_without_a_point_every_point_is_listed_once(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", {"scenario": {"scenario": "x"}}) as store:
        for round_ in range(2):
            store.append(rows.measurement(point="fake/b1/r150", round=round_))
            store.append(rows.capacity(point="fake/b1/find_capacity", round=round_))
    assert said(tmp_path / "run").split() == ["fake/b1/r150", "fake/b1/find_capacity"]
    assert said(tmp_path / "run", "fake/b1/r150").startswith("fake/b1/r150  ")


def test_the_gap_between_two_backends_is_a_line_a_part(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = said(run, "--gap", "torch-cpu-fp32", "triton-http-onnxruntime")
    assert text.startswith("triton-http-onnxruntime/b1/c1 against torch-cpu-fp32/b1/c1, 3 rounds")
    assert "+ Queue" in text and "End to end" in text and "io: shared_memory" in text
    both = CliRunner().invoke(command, [str(run), "a/b1/c1", "--gap", "a", "b"])
    assert both.exit_code == 2 and "not of a point" in both.output
