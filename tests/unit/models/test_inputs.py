from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.errors import UsageError
from harness.models.inputs import DRAWN, check_memory, make_inputs, numpy_dtype, shape_of
from harness.models.tensors import PreparedModel, TensorSpec
from harness.system.machine import memory_bytes


def model(dtype="float32", shape=("batch", 3), dynamic=None, name="x", **data):
    spec = TensorSpec(name, dtype, shape)
    return PreparedModel("m", {"fake": {}}, "k", (spec,), (), {}, dynamic or {}, {name: data})


def files(*paths, **more):
    return {"files": [str(p) for p in paths], **more}


def test_same_arguments_give_the_same_arrays_and_any_other_gives_different_ones():
    m = model(shape=("batch", 64))
    one = make_inputs(m, 2, 0)["x"]
    np.testing.assert_array_equal(one, make_inputs(m, 2, 0)["x"])
    others = [
        make_inputs(m, 2, 1)["x"],
        make_inputs(m, 2, 0, seed=1)["x"],
        make_inputs(m, 3, 0)["x"][:2],
        make_inputs(model(shape=("batch", 64), name="y"), 2, 0)["y"],
    ]
    assert all(not np.array_equal(one, other) for other in others)


def test_random_floats_are_standard_normal_unless_a_range_is_given():
    normal = make_inputs(model(shape=("batch", 20_000)), 1, 0)["x"]
    assert normal.dtype == np.float32
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    ranged = make_inputs(model(shape=("batch", 20_000), range=[-3, 5]), 1, 0)["x"]
    assert ranged.min() >= -3
    assert ranged.max() < 5
    assert abs(ranged.mean() - 1) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool"])
def test_a_large_tensor_repeats_what_it_is_drawn_from_but_no_two_samples_are_alike(dtype):
    images = make_inputs(model(dtype, ("batch", 3, 64, 64)), 40, 0)["x"]
    assert images.shape == (40, 3, 64, 64)
    assert images.dtype == np.dtype(dtype)
    flat = images.reshape(-1)
    np.testing.assert_array_equal(flat[DRAWN:], flat[: flat.size - DRAWN])
    assert len({image.tobytes() for image in images}) == 40


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8", "uint64"])
def test_random_integers_are_bits_by_default_and_stay_within_a_range(dtype):
    assert set(np.unique(make_inputs(model(dtype, ("batch", 100)), 1, 0)["x"])) == {0, 1}
    ranged = make_inputs(model(dtype, ("batch", 500), range=[3, 6.5]), 1, 0)["x"]
    assert ranged.dtype == np.dtype(dtype)
    assert set(np.unique(ranged)) == {3, 4, 5, 6}


@pytest.mark.parametrize(("dtype", "bounds"), [("uint8", [0, 300]), ("int8", [-200, 0]),
                                               ("int64", [0.2, 0.8])])  # fmt: skip
def test_a_range_without_such_integers_is_refused(dtype, bounds):
    with pytest.raises(UsageError, match=f"no {dtype} lies in range"):
        make_inputs(model(dtype, range=bounds), 1, 0)


def test_bool_zeros_and_half():
    assert make_inputs(model("bool", ("batch", 50)), 1, 0)["x"].dtype == bool
    assert not make_inputs(model(data="zeros"), 2, 0)["x"].any()
    assert make_inputs(model("float16"), 2, 0)["x"].dtype == np.float16


def test_bfloat16_is_float32_that_holds_bfloat16_exactly():
    values = make_inputs(model("bfloat16", ("batch", 1000)), 1, 0)["x"]
    assert values.dtype == np.float32
    assert not (values.view(np.uint32) & 0xFFFF).any()
    ml_dtypes = pytest.importorskip("ml_dtypes")
    np.testing.assert_array_equal(values.astype(ml_dtypes.bfloat16).astype(np.float32), values)


def test_bfloat16_rounds_like_ml_dtypes(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    raw = np.random.default_rng(1).standard_normal((4, 500)).astype(np.float32)
    np.save(tmp_path / "x.npy", raw)
    data = files(tmp_path / "x.npy")
    ours = make_inputs(model("bfloat16", ("batch", 500), data=data), 4, 0)["x"]
    np.testing.assert_array_equal(ours, raw.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_inputs_beyond_the_memory_are_refused_with_their_bytes():
    rows = memory_bytes() // 12 + 1  # of three floats
    with pytest.raises(UsageError, match=f"of batch {rows} are {12 * rows:,} bytes"):
        make_inputs(model(), rows, 0)
    check_memory(model(), rows // 4, 2)
    with pytest.raises(UsageError, match="of 8 at a time"):
        check_memory(model(), rows // 4, 8)
    check_memory(model("string"), rows)


def test_dynamic_dimensions_need_a_size():
    spec = TensorSpec("x", "float32", ("batch", "seq"))
    assert shape_of(spec, 2, {"seq": 7}) == (2, 7)
    with pytest.raises(UsageError, match="dynamic dimension 'seq' has no size"):
        shape_of(spec, 2, {})


def test_batch_axis_may_be_anywhere():
    assert make_inputs(model(shape=(5, "batch", 2)), 3, 0)["x"].shape == (5, 3, 2)


@pytest.mark.parametrize(("source", "shape", "right", "wrong"), [
    ({"triton": "m"}, (1, 3), (1,), (8,)),
    ({"triton": "m"}, (8, 3), (1, 8), (4,)),  # a request of it may be one inference
    ({"triton": "m"}, (), (1,), (2,)),
    ({"engine": "e"}, (8, 3), (8,), (1, 4)),
])  # fmt: skip
def test_a_batch_size_that_a_fixed_shape_can_not_follow_is_refused(source, shape, right, wrong):
    m = replace(model(shape=shape), source=source)
    for batch in right:
        assert make_inputs(m, batch, 0)["x"].shape == shape
    for batch in wrong:
        with pytest.raises(UsageError, match=f"asks for {batch}") as caught:
            make_inputs(m, batch, 0)
        assert "input x has the fixed shape" in caught.value.message
        assert caught.value.fix == f"use batch_sizes: [{shape[0] if shape else 1}]"


def test_where_first_sizes_differ_no_one_of_them_is_proposed_as_the_batch():
    m = replace(model(shape=(2, 3)), source={"triton": "m"})
    both = replace(m, inputs=(*m.inputs, TensorSpec("flag", "bool", (1,))))
    with pytest.raises(UsageError, match="has no batch: a request is one inference") as caught:
        make_inputs(both, 3, 0)
    assert "batch_sizes: [1]" in caught.value.fix


def test_inputs_without_a_batch_colocated_one_that_has_it_take_any():
    m = replace(model(), source={"engine": "e"})
    both = replace(m, inputs=(*m.inputs, TensorSpec("table", "float32", (5, 2))))
    made = make_inputs(both, 4, 0)
    assert {k: v.shape for k, v in made.items()} == {"x": (4, 3), "table": (5, 2)}


def test_the_batch_of_an_engine_is_not_that_of_its_input_of_one_row():
    m = replace(model(shape=(8, 3)), source={"engine": "e"})
    both = replace(m, inputs=(TensorSpec("scale", "float32", (1, 2)), *m.inputs))
    assert make_inputs(both, 8, 0)["x"].shape == (8, 3)
    with pytest.raises(UsageError, match=r"input x has the fixed shape \[8, 3\]"):
        make_inputs(both, 1, 0)


# ---------------------------------------------------------------------------------------- files


def test_samples_of_all_files_are_cycled_through(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 0, 0], [1, 1, 1]], np.float32))
    np.save(tmp_path / "b.npy", np.array([2, 2, 2], np.float64))
    m = model(data=files(tmp_path / "a.npy", tmp_path / "b.npy"))
    assert make_inputs(m, 4, 0)["x"][:, 0].tolist() == [0, 1, 2, 0]
    assert make_inputs(m, 4, 1)["x"][:, 0].tolist() == [1, 2, 0, 1]


def test_npz_by_name_or_the_only_array(tmp_path):
    np.savez(tmp_path / "two.npz", x=np.ones((1, 3)), y=np.zeros((1, 3)))
    np.savez(tmp_path / "one.npz", z=np.full((1, 3), 7.0))
    assert make_inputs(model(data=files(tmp_path / "two.npz")), 1, 0)["x"][0, 0] == 1
    assert make_inputs(model(data=files(tmp_path / "one.npz")), 1, 0)["x"][0, 0] == 7
    with pytest.raises(UsageError, match="no array 'q'; it has x, y"):
        make_inputs(model(name="q", data=files(tmp_path / "two.npz")), 1, 0)


def test_a_batch_axis_in_the_middle_of_a_file(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    np.save(tmp_path / "x.npy", array)
    m = model(shape=(2, "batch", 2), data=files(tmp_path / "x.npy"))
    np.testing.assert_array_equal(make_inputs(m, 3, 0)["x"], array)


def test_wrong_shape_says_file_found_and_expected(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 4)))
    with pytest.raises(UsageError) as caught:
        make_inputs(model(data=files(tmp_path / "x.npy")), 1, 0)
    assert f"{tmp_path}/x.npy has shape [2, 4]" in str(caught.value)
    assert "expected [3] (one sample) or [N, 3]" in str(caught.value)


@pytest.mark.parametrize(("array", "dtype", "message"), [
    (np.zeros((1, 3)), "int64", "holds float64, expected int64"),
    (np.full((1, 3), 300), "uint8", "do not fit uint8"),
    (np.zeros((1, 3), complex), "float32", "holds complex128"),
])  # fmt: skip
def test_values_that_do_not_fit_are_refused(tmp_path, array, dtype, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(UsageError, match=message):
        make_inputs(model(dtype, data=files(tmp_path / "x.npy")), 1, 0)


def test_integers_of_another_width_are_cast_when_they_fit(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1, 2, 3]], np.int64))
    assert make_inputs(model("int32", data=files(tmp_path / "x.npy")), 1, 0)["x"].dtype == np.int32


@pytest.mark.parametrize("content", [b"", b"not an array", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.npy"):
        make_inputs(model(data=files(tmp_path / "x.npy")), 1, 0)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(UsageError, match=r"x\.npy"):
        make_inputs(model(data=files(tmp_path / "x.npy")), 1, 0)


# --------------------------------------------------------------------------------------- images


@pytest.fixture
def image(tmp_path):
    """Left half red, right half blue, 8 wide and 4 high."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4, 0], pixels[:, 4:, 2] = 255, 255
    Image.fromarray(pixels).save(tmp_path / "i.png")
    return tmp_path / "i.png"


def test_images_become_chw_scaled_and_normalised(image):
    m = model(shape=("batch", 3, 4, 8), data=files(image))
    plain = make_inputs(m, 2, 0)["x"]
    assert plain.shape == (2, 3, 4, 8)
    assert plain[0, 0, 0, 0] == 1
    assert plain[0, 2, 0, 0] == 0
    m = model(shape=("batch", 3, 4, 8), data=files(image, mean=[0.5, 0, 0.5], std=[0.25, 1, 0.5]))
    scaled = make_inputs(m, 1, 0)["x"]
    assert scaled[0, 0, 0, 0] == 2
    assert scaled[0, 2, 0, 0] == -1


def test_images_become_hwc_by_the_shape_and_are_resized(image):
    found = make_inputs(model(shape=("batch", 2, 4, 3), data=files(image)), 1, 0)["x"]
    assert found.shape == (1, 2, 4, 3)
    assert found[0, 0, 0].tolist() == [1, 0, 0]
    assert found[0, 1, 3].tolist() == [0, 0, 1]


def test_uint8_images_are_taken_as_they_are(image):
    found = make_inputs(model("uint8", ("batch", 4, 8, 3), data=files(image)), 1, 0)["x"]
    assert found.dtype == np.uint8
    assert found.max() == 255


def test_grey_images(image):
    assert make_inputs(model(shape=("batch", 1, 4, 8), data=files(image)), 1, 0)["x"].max() < 1


@pytest.mark.parametrize(("dtype", "shape", "more", "message"), [
    ("float32", ("batch", 7), {}, "needs a shape like"),
    ("int64", ("batch", 3, 4, 8), {}, "use dtype uint8"),
    ("uint8", ("batch", 3, 4, 8), {"mean": [0.5]}, "without mean"),
    ("float32", ("batch", 3, 4, 8), {"std": [1.0, 1.0]}, "std has 2 values, expected 3"),
])  # fmt: skip
def test_images_that_do_not_fit_are_refused(image, dtype, shape, more, message):
    with pytest.raises(UsageError, match=message):
        make_inputs(model(dtype, shape, data=files(image, **more)), 1, 0)


def test_a_broken_image_is_named(tmp_path):
    (tmp_path / "i.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"i\.png can't be read"):
        make_inputs(model(shape=("batch", 3, 4, 8), data=files(tmp_path / "i.png")), 1, 0)


def test_scalars_are_arrays_in_their_range():
    for dtype, bounds in (
        ("int64", [7, 9]), ("float32", [7, 9]), ("bfloat16", [7, 9]), ("bool", None)
    ):  # fmt: skip
        scalar = model(dtype, (), range=bounds)
        (value,) = make_inputs(replace(scalar, batch="none"), 1, 3).values()
        assert isinstance(value, np.ndarray)
        assert (value.shape, value.dtype) == ((), numpy_dtype(dtype))
        assert dtype == "bool" or 7 <= value < 9


def test_a_value_is_in_every_request():
    assert make_inputs(model("int64", (), value=[20], name="n"), 1, 5)["n"].tolist() == 20
    assert make_inputs(model("int64", ("batch", 2), value=[640, 480]), 2, 0)["x"].tolist() == [
        [640, 480], [640, 480]
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"value \[0\.5\] does not fit int64"):
        make_inputs(model("int64", (), value=[0.5]), 1, 0)
    with pytest.raises(UsageError, match=r"3 values do not fit the shape \[1, 2\]"):
        make_inputs(model(value=[1, 2, 3], shape=("batch", 2)), 1, 0)


def test_files_of_an_input_without_a_batch_take_turns(tmp_path):
    np.save(tmp_path / "one.npy", np.float32(0.25))
    np.save(tmp_path / "more.npy", np.float32([0.5, 0.75]))
    rate = model(shape=(), data=files(tmp_path / "one.npy", tmp_path / "more.npy"))
    assert [make_inputs(rate, 1, which)["x"].tolist() for which in range(4)] == [
        0.25, 0.5, 0.75, 0.25
    ]  # fmt: skip


def test_without_a_batch_a_request_is_one_inference():
    fixed = replace(model(shape=(8, 3)), batch="none")
    assert make_inputs(fixed, 1, 0)["x"].shape == (8, 3)
    with pytest.raises(UsageError, match="a request is one inference") as caught:
        make_inputs(fixed, 8, 0)
    assert "batch_sizes: [1]" in caught.value.fix
