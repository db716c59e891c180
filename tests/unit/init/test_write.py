"""The scenario as text: it is read as it is meant, whatever was found, and never over a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_onnx import tiny_onnx

from harness.errors import ScenarioError, UsageError
from harness.init.backends import Runnable
from harness.init.found import Found, FoundInput
from harness.init.write import Choices, checked, sensible, text, write
from harness.models.tensors import TensorSpec
from harness.scenario.spec.load import Measurement

ORT = {"kind": "onnxruntime", "provider": "CPUExecutionProvider"}
HERE = Runnable([ORT], [{"kind": "torch", "device": "cpu"}], {"tensorrt": "no GPU here"})
IDS = FoundInput(TensorSpec("input.ids: 1", "int64", ("batch", "words")), {"range": [0, 9]}, "nine")


def found(*inputs: FoundInput, **more: object) -> Found:
    items = inputs or (FoundInput(TensorSpec("x", "float32", ("batch", 3, 8, 8))),)
    return Found("onnx", {"onnx": "a.onnx"}, "a", items, **more)  # type: ignore[arg-type]


def read(made: str, folder: Path) -> object:
    tiny_onnx(folder / "a.onnx")
    return checked(made, folder / "s.yaml").scenario


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    tiny_onnx(tmp_path / "a.onnx")
    what = found(IDS, dynamic={"words": 12}, notes=("# odd: [note\n- kind: x",), max_batch=8)
    made = text(what, HERE, Choices([1, 8], [2], 12.5), tmp_path / "s.yaml", "a: {b\n}")
    scenario = checked(made, tmp_path / "s.yaml").scenario
    (item,) = scenario.model.inputs
    assert (item.name, item.shape, item.range) == ("input.ids: 1", ("batch", "words"), (0, 9))
    assert scenario.model.dynamic == {"words": 12}
    assert [backend.kind for backend in scenario.backends] == ["onnxruntime"]
    assert (scenario.load.batch_sizes, scenario.load.concurrency) == ((1, 8), (2,))
    assert scenario.constraints.items()[0][1].max == 12.5
    assert "# - {kind: torch, device: cpu}" in made
    assert "# not here: tensorrt: no GPU here" in made
    assert "at most 8" in made


def test_the_constraint_to_fill_in_works_when_its_comment_is_taken_away(tmp_path: Path) -> None:
    made = text(found(), HERE, Choices([1], [1]), tmp_path / "s.yaml", "a.onnx")
    tiny_onnx(tmp_path / "a.onnx")
    assert checked(made, tmp_path / "s.yaml").scenario.constraints.items() == []
    filled = made.replace("# constraints:", "constraints:").replace("#   latency", "  latency")
    assert checked(filled, tmp_path / "s.yaml").scenario.constraints.items() != []


def test_a_model_without_a_batch_says_so(tmp_path: Path) -> None:
    what = found(FoundInput(TensorSpec("x", "float32", (4, 4))))
    made = text(what, HERE, sensible(what, on_gpu=True), tmp_path / "s.yaml", "a.onnx")
    tiny_onnx(tmp_path / "a.onnx")
    scenario = checked(made, tmp_path / "s.yaml").scenario
    assert scenario.model.batch == "none"
    assert scenario.load.batch_sizes == (1,)


@pytest.mark.parametrize(
    ("more", "gpu", "sizes"),
    [({}, False, [1, 4]), ({}, True, [1, 8, 32]), ({"fixed_batch": 6}, True, [6]),
     ({"max_batch": 8}, True, [1, 8]), ({"max_batch": 1}, True, [1]),
     ({"max_batch": 4}, True, [1, 4]), ({"max_batch": 16}, True, [1, 8, 16]),
     ({"max_batch": 2}, False, [1, 2])],
)  # fmt: skip
def test_batch_sizes_that_make_sense(more: dict[str, object], gpu: bool, sizes: list[int]) -> None:
    assert sensible(found(**more), gpu).batch_sizes == sizes


def test_the_first_run_on_a_cpu_leaves_time_to_read_in_five_minutes() -> None:
    """Three backends, as where nothing is missing: ONNX Runtime, and Triton over both protocols."""
    choices = sensible(found(), on_gpu=False)
    points = 3 * len(choices.batch_sizes) * len(choices.concurrency)
    quick = Measurement(profile="quick")
    assert points * quick.rounds * (quick.window + quick.warmup) < 120


def test_images_are_offered_where_an_input_is_one(tmp_path: Path) -> None:
    assert "a.jpg" in text(found(), HERE, Choices([1], [1]), tmp_path / "s", "a")
    assert "x.npy" in text(found(IDS), HERE, Choices([1], [1]), tmp_path / "s", "a")


def test_what_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    made = text(found(), Runnable([{"kind": "torch"}]), Choices([1], [1]), tmp_path / "s", "a")
    with pytest.raises(ScenarioError):
        checked(made, tmp_path / "s.yaml")


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s.yaml"
    write("a: 1\n", path)
    with pytest.raises(UsageError, match="is there already"):
        write("b: 2\n", path)
    assert path.read_text() == "a: 1\n"
    with pytest.raises(UsageError, match="can't be written"):
        write("b", path / "below.yaml")
