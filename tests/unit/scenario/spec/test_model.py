import pytest
from pydantic import ValidationError

from harness.scenario.spec.model import Files, Input, ModelSpec, Source

X = {"name": "x", "shape": ["batch", "words"]}


def test_a_source_is_of_one_kind():
    assert Source(onnx="m.onnx").kind == "onnx"
    assert Source.model_validate({"fake": {}}).kind == "fake"
    with pytest.raises(ValidationError, match="found torch and onnx"):
        Source(torch="a:b", onnx="m.onnx")
    with pytest.raises(ValidationError, match="found none"):
        Source()
    with pytest.raises(ValidationError, match="weights: goes with a torch source only"):
        Source(onnx="m.onnx", weights="w.pt")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"range": [2, 1]}, r"low must be less than high, found \[2, 1\]"),
        ({"range": [0, 1], "dtype": "bool"}, "bool inputs have no range"),
        ({"range": [-1, 1], "dtype": "uint8"}, r"can't be negative, found \[-1, 1\]"),
        ({"range": [0, 1], "data": "zeros"}, "goes with `data: random` only"),
    ],
)
def test_a_range_that_can_not_be(keys, message):
    with pytest.raises(ValidationError, match=message):
        Input.model_validate({"name": "x", "shape": "batch", **keys})


def test_mean_and_deviation_go_together():
    assert Files.model_validate({"files": "a.png", "mean": 1, "std": 2}).std == (2.0,)
    for keys, message in (
        ({"mean": 1}, "mean: needs `std`"), ({"mean": [1, 2], "std": 1}, "has 1 values"),
        ({"mean": 0, "std": 0}, "must not be 0"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=message):
            Files.model_validate({"files": "a.png", **keys})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"inputs": X}, "inputs.0.shape.1: the dynamic dimension 'words' has no size"),
        ({"inputs": [X, X], "dynamic": {"words": 2}}, "inputs.1.name: two inputs"),
        ({"inputs": X, "dynamic": {"words": 2, "batch": 2}}, "dynamic.batch: the batch dimension"),
        ({"inputs": X, "dynamic": {"words": 2, "other": 2}}, "dynamic.other: is in no input"),
        ({}, "a torch source needs `inputs`"),
        ({"inputs": {"name": "x", "dtype": "string", "shape": ["batch"]}}, "no tensors of strings"),
    ],
)
def test_inputs_and_dimensions(keys, message):
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate({"name": "m", "source": {"torch": "a:b"}, **keys})


SCALAR = {"name": "s", "shape": []}
B = {"name": "b", "shape": ["batch"]}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"inputs": SCALAR},
            r"inputs.0.shape: \[\] has no batch dimension; write one.*batch: none",
        ),
        ({"inputs": [B, SCALAR], "batch": "none"}, "inputs.0.shape: `batch: none` is there"),
        ({"inputs": B, "batch": "N"}, "batch: the word `batch` in the shapes of `inputs` says it"),
        ({"inputs": B, "batch": {"b": 0}}, "batch.b: the shape under `inputs` says it"),
        ({"batch": {"b": -1}}, "greater than or equal to 0"),
    ],
)
def test_the_batch_is_said_once(keys, message):
    onnx = {"name": "m", "source": {"onnx": "m.onnx"}}
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate({**onnx, **keys})
    for good in (
        {"inputs": [B, SCALAR]}, {"inputs": SCALAR, "batch": "none"}, {"batch": "N"},
        {"batch": {"x": 1, "y": "none"}}, {"inputs": B, "batch": {"y": 1}},
    ):  # fmt: skip
        ModelSpec.model_validate({**onnx, **good})


def test_a_name_of_a_dimension_needs_a_file_that_has_names():
    with pytest.raises(ValidationError, match="batch: a dimension's name goes with `onnx` sources"):
        ModelSpec.model_validate({"name": "m", "source": {"triton": "m"}, "batch": "N"})
