"""What does not match is said all at once; what does becomes one request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import UsageError
from harness.infer.fit import Pixels, Wanted, fit
from harness.infer.given import ONLY, Given, Images
from harness.models.tensors import TensorSpec

PLAIN = Pixels()
X = TensorSpec("x", "float32", ("batch", 3, 4))
IDS = TensorSpec("ids", "int32", ("batch", "words"))
MASK = TensorSpec("mask", "int64", ("batch", "words"))


def wanted(*specs: TensorSpec, **more: object) -> Wanted:
    return Wanted("net", specs, **more)  # type: ignore[arg-type]


def problems(what: Wanted, given: dict[str, Given]) -> tuple[list[str], str]:
    with pytest.raises(UsageError) as caught:
        fit(what, given, PLAIN)
    return caught.value.message.split("; "), str(caught.value.fix)


def test_a_sample_gets_its_batch_and_its_type() -> None:
    made = fit(wanted(X), {ONLY: np.ones((3, 4))}, PLAIN)
    assert (made["x"].shape, made["x"].dtype) == ((1, 3, 4), np.float32)
    assert fit(wanted(X), {"x": np.ones((5, 3, 4), np.int64)}, PLAIN)["x"].shape == (5, 3, 4)


def test_everything_that_does_not_match_is_one_error() -> None:
    given: dict[str, Given] = {
        "idz": np.zeros((1, 2), np.int64), "mask": np.zeros((2, 2)), "x": np.zeros((1, 3, 5)),
    }  # fmt: skip
    found, fix = problems(wanted(X, IDS, MASK), given)
    assert found == [
        "there is no input 'idz'", "did you mean 'ids'?",
        "input 'ids' is not given",
        "input 'mask' is float64 here, int64 (INT64) is wanted",
        "input 'x' has the shape [1, 3, 5] here, [batch, 3, 4] is wanted",
    ]  # fmt: skip
    assert "'net' wants x float32 (FP32) [batch, 3, 4], ids int32 (INT32) [batch, words]" in fix


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((1, 2), np.float32), "is float32 here, int32"),
        (np.full((1, 2), 2**40), "is int64 here, int32"),
        (np.array([["a", "b"]]), "is string here, int32"),
        (np.zeros(()), r"has the shape \[\] here, \[batch, words\]"),
        (np.zeros((1, 2, 3), np.int32), r"has the shape \[1, 2, 3\] here"),
    ],
)
def test_a_type_or_shape_that_does_not_fit(array: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fit(wanted(IDS), {"ids": array}, PLAIN)


def test_sizes_of_one_name_are_one_size() -> None:
    given: dict[str, Given] = {"ids": np.zeros((2, 5), int), "mask": np.zeros((2, 6), int)}
    found, _ = problems(wanted(IDS, MASK), given)
    assert found == ["input 'mask' has words 6, but 'ids' has 5"]
    given["mask"] = np.zeros((3, 5), int)
    assert problems(wanted(IDS, MASK), given)[0] == ["input 'mask' has batch 3, but 'ids' has 2"]


def test_a_batch_over_the_servers_limit() -> None:
    found, fix = problems(wanted(X, max_batch=4), {"x": np.zeros((5, 3, 4))})
    assert found == ["batch 5 is more than max_batch_size 4"]
    assert fix.endswith("batches up to 4")


def test_optional_inputs_may_lack_and_strings_are_strings() -> None:
    text = TensorSpec("t", "string", ("batch",))
    made = fit(wanted(text, X, optional=frozenset({"x"})), {ONLY: np.array(["a", "b"])}, PLAIN)
    assert {name: array.tolist() for name, array in made.items()} == {"t": ["a", "b"]}


def test_data_without_a_name_needs_one_input() -> None:
    with pytest.raises(UsageError, match="not clear: ids, mask") as caught:
        fit(wanted(IDS, MASK), {ONLY: np.zeros(3, int)}, PLAIN)
    assert "--input NAME=FILE" in str(caught.value.fix)


def test_a_scenario_fills_what_is_not_given() -> None:
    what = wanted(IDS, MASK, fills=True, dynamic={"words": 7}, data={"mask": {"value": [1]}})
    made = fit(what, {"ids": np.zeros((2, 5), int)}, PLAIN)
    assert made["mask"].tolist() == [[1] * 5] * 2
    assert fit(what, {}, PLAIN)["ids"].shape == (1, 7)


@pytest.fixture
def red(tmp_path: Path) -> Images:
    Image.new("RGB", (6, 4), (255, 0, 51)).save(tmp_path / "red.png")
    return Images((tmp_path / "red.png",))


def test_images_are_resized_scaled_and_normalised(red: Images) -> None:
    spec = TensorSpec("x", "float32", ("batch", 3, 2, 2))
    made = fit(wanted(spec), {ONLY: red}, PLAIN)["x"]
    assert made.shape == (1, 3, 2, 2)
    assert made[0, :, 0, 0] == pytest.approx([1.0, 0.0, 0.2])
    pixels = Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.1))
    assert fit(wanted(spec), {ONLY: red}, pixels)["x"][0, :, 1, 1] == pytest.approx([1, -1, -3])


def test_a_scenarios_normalisation_holds_unless_said_otherwise(red: Images) -> None:
    spec = TensorSpec("x", "float32", ("batch", 2, 2, 3))
    own = {"x": {"data": {"files": ["a.jpg"], "mean": [1.0], "std": [1.0]}}}
    what = wanted(spec, data=own, fills=True)
    made = fit(what, {"x": Images(red.files * 2)}, PLAIN)["x"]
    assert made.shape == (2, 2, 2, 3)
    assert made[1, 0, 0] == pytest.approx([0, -1, -0.8])


def test_free_sides_are_the_images_own(red: Images) -> None:
    spec = TensorSpec("x", "uint8", ("batch", 3, "h", "w"))
    assert fit(wanted(spec), {ONLY: red}, PLAIN)["x"].shape == (1, 3, 4, 6)


def test_an_image_for_what_is_none(red: Images, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a shape like"):
        fit(wanted(X), {"x": red}, PLAIN)
    (tmp_path / "no.png").write_text("no")
    spec = TensorSpec("x", "float32", ("batch", 3, 2, 2))
    with pytest.raises(UsageError, match="can't be read"):
        fit(wanted(spec), {"x": Images((tmp_path / "no.png",))}, PLAIN)
