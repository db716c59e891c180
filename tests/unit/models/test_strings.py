"""Strings, sequences and maps as plain arrays, and strings as inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness.models.strings import (
    all_plain,
    as_text,
    from_bytes,
    plain,
    string_input,
    text,
    to_bytes,
)
from harness.models.tensors import TensorSpec

WORDS = ["a", "", "zoë", "long enough"]


def test_arrays_of_objects_become_text_of_fixed_width() -> None:
    found = as_text(np.array([[b"cat", "dög"], [b"\xff", b""]], object))
    assert found.dtype.kind == "U"
    assert found.tolist() == [["cat", "dög"], ["\\xff", ""]]
    numbers = np.ones(3)
    assert as_text(numbers) is numbers
    assert text(b"x") == text("x") == "x"


def test_maps_become_values_and_keys_and_sequences_one_output_each() -> None:
    rows = [{"cat": 0.25, "dog": 0.75}, {"dog": 1.0, "cat": 0.0}]
    found = plain("p", rows)
    assert found["p"].tolist() == [[0.25, 0.75], [0.0, 1.0]]
    assert found["p_keys"].tolist() == ["cat", "dog"]
    lacking = plain("p", [{1: 0.5}, {2: 0.5}])
    np.testing.assert_array_equal(lacking["p"], [[0.5, np.nan], [np.nan, 0.5]])
    assert {k: v.tolist() for k, v in plain("m", {3: 1.0}).items()} == {"m": [1.0], "m_keys": [3]}
    several = all_plain({"s": [np.ones(2), np.array(["x"], object)], "y": np.zeros(1)})
    assert list(several) == ["s_0", "s_1", "y"]
    assert all(array.dtype.kind != "O" for array in several.values())


def test_strings_travel_as_bytes_with_their_lengths() -> None:
    raw = to_bytes(np.array(WORDS, object)).tobytes()
    assert raw[:5] == b"\1\0\0\0a"
    assert from_bytes(raw + b"\xa5" * 9, len(WORDS)).tolist() == WORDS
    assert from_bytes(b"", 0).shape == (0,)


def made(data: Any, variant: int = 0, shape: Any = ("batch", 2), batch: int = 3) -> Any:
    sizes = tuple(batch if d == "batch" else d for d in shape)
    return string_input(TensorSpec("t", "string", shape), data, sizes, variant, [0, variant])


def test_strings_of_a_list_fill_one_sample_after_the_other() -> None:
    data = {"values": WORDS}
    assert made(data, batch=1).tolist() == [WORDS[:2]]
    assert made(data, variant=1, batch=1).tolist() == [WORDS[2:]]
    assert made(data).tolist() == [WORDS[:2], WORDS[2:], WORDS[:2]]
    assert made(data, shape=(2, "batch")).tolist() == [["a", "zoë", "a"], ["", "long enough", ""]]
    assert made(data, shape=()).tolist() == "a"


def test_random_strings_differ_and_repeat_and_zeros_are_empty() -> None:
    one, two = made("random"), made("random", variant=1)
    assert one.shape == (3, 2) and one.tolist() != two.tolist()
    assert one.tolist() == made("random").tolist()
    assert all(len(word) == 8 and word.isalpha() for word in one.ravel())
    assert made("zeros").tolist() == [["", ""]] * 3


def test_strings_of_files_and_files_without_any(tmp_path: Any) -> None:
    (tmp_path / "words.txt").write_text("one\ntwo\n", encoding="utf-8")
    np.save(tmp_path / "more.npy", np.array([["three"], ["four"]]))
    np.save(tmp_path / "numbers.npy", np.ones(3))
    np.save(tmp_path / "objects.npy", np.array(["x"], object))
    (tmp_path / "none.txt").write_text("")
    paths = [str(tmp_path / name) for name in ("words.txt", "more.npy")]
    assert made({"files": paths}, batch=2).tolist() == [["one", "two"], ["three", "four"]]
    for name, said in (("numbers.npy", "holds float64, expected strings"),
                       ("objects.npy", "can't be read as strings"),
                       ("none.txt", "hold no strings")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            made({"files": [str(tmp_path / name)]})
