"""Which config becomes the directory, and in which words."""

from __future__ import annotations

from support.rows import measurement

from harness.analysis.best import Choice
from harness.analysis.summary import SummaryRow, summarize
from harness.scenario.points import Point
from harness.search.best_config import _serving, pick


def row(config: str) -> SummaryRow:
    point = Point("t", config, 1, concurrency=1)
    (found,) = summarize([measurement(point=point.id, backend="t", config=config)])
    return found


A, B = row("default"), row("i2")


def test_no_candidates_no_directory() -> None:
    assert pick(Choice((), (), None, False)) is None


def test_a_winner() -> None:
    found = pick(Choice((B, A), (B,), B, True))
    assert found is not None
    assert (found.row, found.tied, found.why) == (B, (), "better than every other config")


def test_of_a_tie_the_recommended_one_and_the_others_named() -> None:
    found = pick(Choice((B, A), (B, A), A, True, close=(B, A)))
    assert found is not None
    assert (found.row, found.tied) == (A, ("t/i2",))
    assert found.why == "of those that can't be told apart, the cheapest in memory"


def test_of_a_wide_tie_only_those_near_the_best_are_compared_by_memory() -> None:
    far = row("i4")
    found = pick(Choice((B, A, far), (B, A, far), A, True, close=(B, A)), 0.1)
    assert found is not None
    assert found.why == (
        "of those that can't be told apart and measured within 10 % of the best, the cheapest in "
        "memory"
    )


def test_points_of_one_config_are_no_tie() -> None:
    found = pick(Choice((B, B), (B, B), B, True))
    assert found is not None
    assert (found.tied, found.why) == ((), "the only config that can be ranked")


def test_one_round_decides_nothing_but_the_best_value_is_written() -> None:
    found = pick(Choice((B, A), (B, A), None, False))
    assert found is not None
    assert (found.row, found.tied) == (B, ())
    assert "no difference can be shown" in found.why


def test_of_a_front_the_first_and_the_others_named() -> None:
    found = pick(Choice((B, A), (B, A), None, True, is_front=True))
    assert found is not None
    assert (found.row, found.tied) == (B, ("t/default",))
    assert "Pareto front" in found.why


def config(backend: str, serve: str = "") -> str:
    parameter = f'parameters {{ key: "serve" value {{ string_value: "{serve}" }} }}'
    return f'backend: "{backend}"\n{parameter if serve else ""}'


def test_what_the_directory_needs_is_said() -> None:
    embedded = "harness triton serve --repository best"
    onnx = _serving("A=1 ", [config("python", "onnxruntime")])
    assert f"    A=1 {embedded}" in onnx
    assert "Python with `onnxruntime`" in onnx
    assert "cache" not in onnx
    away = _serving("", [config("python", "onnxruntime"), config("python", "tensorrt")])
    assert "runs TensorRT needs" in away
    assert "files of the harness's cache" in away
    native = _serving("", [config("onnxruntime")])
    assert embedded not in native
    assert "tritonserver --model-repository=$PWD/best" in native
    steps = 'platform: "ensemble" ensemble_scheduling { step { model_name: "a" } }'
    assert "The ensemble's steps are not here" in _serving("", [steps])
