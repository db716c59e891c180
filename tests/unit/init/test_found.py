"""Sizes and data that a model's inputs begin with."""

from __future__ import annotations

import pytest

from harness.init.found import Found, FoundInput, fixed_batch, holding, lines_of, sizes, usable
from harness.models.inputs import make_inputs
from harness.models.tensors import TensorSpec


def spec(*shape: int | str, name: str = "x", dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        (("batch", 3, "h", "w"), {"h": 224, "w": 224}),
        (("batch", 3, "d_2", "d_3"), {"d_2": 224, "d_3": 224}),
        (("batch", "sequence_length"), {"sequence_length": 128}),
        (("batch", 8, "past_sequence", 64), {"past_sequence": 0}),
        (("batch", "frames", 80), {"frames": 100}),
        (("batch", "unk__7"), {"unk__7": 16}),
    ],
)
def test_a_free_dimension_has_a_size_by_its_name(
    shape: tuple[int | str, ...], found: dict[str, int]
) -> None:
    assert sizes([spec(*shape)]) == found


def test_a_size_keeps_within_its_bounds() -> None:
    assert sizes([spec("batch", "sequence")], {"sequence": (2, 64)}) == {"sequence": 64}
    assert sizes([spec("batch", "odd")], {"odd": (20, 64)}) == {"odd": 20}


@pytest.mark.parametrize(
    ("name", "dtype", "rows", "holds"),
    [
        ("attention_mask", "int64", None, {"value": [1]}),
        ("token_type_ids", "int64", 2, {"value": [0]}),
        ("input_ids", "int64", 30522, {"range": [0, 30522]}),
        ("input_ids", "int64", None, {}),
        ("mask", "float32", None, {}),
    ],
)
def test_whole_numbers_are_what_they_mean(
    name: str, dtype: str, rows: int | None, holds: dict[str, object]
) -> None:
    assert holding(spec("batch", 4, name=name, dtype=dtype), rows).holds == holds


def test_words_become_what_a_scenario_may_say() -> None:
    (found,) = usable([spec("batch", "past + 1", "7th", "", 3)])
    assert found.shape == ("batch", "past_1", "d_7th", "free", 3)


def test_a_fixed_batch_is_found_where_the_batch_is() -> None:
    assert fixed_batch([spec(4, 2, 8)], [spec(4, "batch", 8)]) == 2
    assert fixed_batch([spec("n", 8)], [spec("batch", 8)]) is None


def test_inputs_can_be_made_of_what_was_found() -> None:
    ids = holding(spec("batch", "sequence", name="ids", dtype="int64"), 7)
    found = Found("onnx", {"onnx": "a.onnx"}, "a", (ids,), {"sequence": 5})
    made = make_inputs(found.prepared(), 3, 0)["ids"]
    assert made.shape == (3, 5)
    assert 0 <= made.min() <= made.max() < 7
    assert Found("onnx", {}, "a", (FoundInput(spec(2)),)).batched is False


def test_a_long_error_is_cut_to_a_comment() -> None:
    assert lines_of(ValueError("a\n b")) == "a b"
    assert len(lines_of(ValueError("x" * 500))) == 200
