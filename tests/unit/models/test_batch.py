"""Where the batch is: said, named in the file, or read from a free first axis."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.models.batch import Reading, read_batch
from harness.models.tensors import TensorSpec


def read(inputs, outputs, said=None, dynamic=None, following=None) -> Reading:
    specs = [
        tuple(TensorSpec(name, "float32", tuple(shape)) for name, shape in tensors.items())
        for tensors in (inputs, outputs)
    ]
    return read_batch("m.onnx", specs[0], specs[1], said, dynamic or {}, following)


def shapes(reading: Reading) -> list[tuple[int | str, ...]]:
    return [spec.shape for spec in (*reading.inputs, *reading.outputs)]


def test_an_axis_that_is_named_so_is_the_batch_wherever_it_is() -> None:
    for name in ("batch", "batch_size", "N", "decoder_batch"):
        found = read({"words": ["seq", name], "h0": [1, name, 16]}, {"tags": ["seq", name, 5]})
        assert shapes(found) == [("seq", "batch"), (1, "batch", 16), ("seq", "batch", 5)]
        assert "axis 1 of words, h0" in found.words
        assert found.guessed


def test_a_usual_model_needs_no_words() -> None:
    found = read({"ids": ["batch", "seq"], "limit": []}, {"y": ["batch", 8]})
    assert shapes(found) == [("batch", "seq"), (), ("batch", 8)]
    assert not found.guessed


def test_a_size_for_what_is_named_batch_is_refused_and_says_what_lacks() -> None:
    with pytest.raises(UsageError, match=r"'batch_size' is the batch .*axis 1 of words") as caught:
        read({"words": ["seq_len", "batch_size"]}, {}, dynamic={"batch_size": 3})
    assert "dynamic: {seq_len: N}" in caught.value.fix


def test_a_free_first_axis_is_a_guess() -> None:
    found = read({"x": ["x_dim0", 3], "sr": []}, {"y": ["y_dim0", 2], "z": [4]})
    assert shapes(found) == [("batch", 3), (), ("batch", 2), (4,)]
    assert found.guessed
    assert "axis 0 of x (a free first axis)" in found.words


def test_a_first_axis_that_is_called_something_else_is_none() -> None:
    for name in ("seq_len", "num_points", "T"):
        found = read({"x": [name, 80]}, {"y": [name, 4]})
        assert shapes(found) == [(name, 80), (name, 4)]
        assert "a request is one inference" in found.words


def test_two_axes_of_one_tensor_never_become_the_batch() -> None:
    graph = read({"x": ["N", 16], "adjacency": ["N", "N"]}, {"y": ["N", 2]})
    assert shapes(graph) == [("N", 16), ("N", "N"), ("N", 2)]
    table = read({"x": ["N", 16]}, {"all against all": ["N", "N"]})
    assert shapes(table) == [("batch", 16), ("batch", "N")]


def test_several_candidates_are_named() -> None:
    clip = {"ids": ["text_batch", 77], "pixels": ["image_batch", 3, 8, 8]}
    scores = {"scores": ["image_batch", "text_batch"]}
    with pytest.raises(UsageError, match=r"text_batch \(axis 0 of ids\) or image_batch") as caught:
        read(clip, scores)
    assert "batch: text_batch" in caught.value.fix
    found = [("text_batch", 77), ("batch", 3, 8, 8), ("batch", "text_batch")]
    assert shapes(read(clip, scores, dynamic={"text_batch": 5})) == found
    assert shapes(read(clip, scores, said="image_batch")) == found


def test_what_is_said_counts() -> None:
    tensors = {"x": ["x_dim0", "x_dim1"]}, {"y": ["x_dim0", "x_dim1", 5], "z": ["x_dim1"]}
    assert shapes(read(*tensors, said="none"))[0] == ("x_dim0", "x_dim1")
    assert shapes(read(*tensors, said={"x": 1})) == [
        ("x_dim0", "batch"), ("x_dim0", "batch", 5), ("batch",)
    ]  # fmt: skip
    assert shapes(read(*tensors, said={"x": 1, "z": "none"}))[2] == ("x_dim1",)
    assert shapes(read({"x": [1, 3]}, {"y": ["y_dim0", "q"]}, said={"x": 0, "y": 1})) == [
        ("batch", 3), ("y_dim0", "batch")
    ]  # fmt: skip


@pytest.mark.parametrize(("said", "message"), [
    ("rows", "no dimension 'rows'; it has seq, N"),
    ({"z": 0}, "no tensor 'z'; it has x, y"),
    ({"x": 2}, r"x has no axis 2: its shape is \[seq, N\]"),
])  # fmt: skip
def test_what_is_said_must_be_there(said, message) -> None:
    with pytest.raises(UsageError, match=message):
        read({"x": ["seq", "N"]}, {"y": ["N"]}, said=said)


def test_a_fixed_batch() -> None:
    assert shapes(read({"x": [1, 3], "size": [2]}, {"y": [1, 5]}))[:2] == [("batch", 3), (2,)]
    assert shapes(read({"x": [8, 3]}, {"y": [8, 5]}))[0] == ("batch", 3)
    image = read({"x": [640, 480, 3]}, {"boxes": [100, 4]})
    assert shapes(image)[0] == (640, 480, 3)
    assert "one inference" in image.words
