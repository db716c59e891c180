import itertools

import numpy as np
import pytest

from harness.models.parity import TOLERANCES, compare, loosest, unlike_itself
from harness.scenario.spec.model import Parity

RNG = np.random.default_rng(0)
B = {"y": RNG.standard_normal((6, 10)).astype(np.float32)}
DEFAULT = Parity()


def moved(by):
    return {"y": B["y"] + np.float32(by)}


def test_identical_outputs_agree_without_error():
    found = compare(B, B, "fp32", DEFAULT)
    assert found.agrees
    assert (found.max_abs, found.mean_abs, found.max_rel, found.top1) == (0, 0, 0, 1)


@pytest.mark.parametrize("precision", TOLERANCES)
def test_each_precision_takes_errors_up_to_its_tolerance_and_no_more(precision):
    atol, rtol = TOLERANCES[precision]
    exact = {"y": B["y"].astype(np.float64)}
    scale = np.sqrt(np.mean(exact["y"] ** 2))
    least = np.abs(exact["y"]).min()
    limit = atol * scale + rtol * least
    within = {"y": exact["y"] + 0.99 * atol * scale}
    assert compare(within, exact, precision, DEFAULT).agrees
    beyond = {"y": exact["y"] + 1.01 * limit}
    assert not compare(beyond, exact, precision, DEFAULT).agrees


def test_the_rounding_of_a_right_engine_is_no_mistake_and_a_wrong_layer_is():
    """TensorRT-RTX, fp16, batch 64 on an H200: 0.0102 of the rms, the largest 0.0535 of it."""
    exact = RNG.standard_normal((192, 1000))
    error = RNG.normal(0, 0.0102, exact.shape)
    near = np.unravel_index(np.abs(exact).argmin(), exact.shape)
    error[near] = 0.0535
    assert compare({"y": exact + error}, {"y": exact}, "fp16", DEFAULT).agrees
    wrong = error.copy()
    wrong[:, 7] += RNG.standard_normal(len(exact))
    assert not compare({"y": exact + wrong}, {"y": exact}, "fp16", DEFAULT).agrees


def test_both_parts_of_complex_numbers_are_compared():
    exact = RNG.standard_normal((6, 4)) + 1j * RNG.standard_normal((6, 4))
    for dtype in (np.complex64, np.complex128):
        b = {"y": exact.astype(dtype), "z": exact[0, 0].astype(dtype)[()]}
        assert compare(b, b, "fp32", DEFAULT).agrees
        assert not compare({**b, "y": b["y"].conj()}, b, "fp32", DEFAULT).agrees
        assert not compare({**b, "z": b["z"].conj()}, b, "fp32", DEFAULT).agrees


def test_a_double_that_was_computed_in_fp32_disagrees_and_one_that_is_only_given_in_it_does_not():
    x, weights = RNG.standard_normal((64, 32)), RNG.standard_normal((32, 8))
    exact = {"y": x @ weights}
    single = {"y": (x.astype(np.float32) @ weights.astype(np.float32)).astype(np.float64)}
    assert not compare(single, exact, "fp64", DEFAULT).agrees
    given = {"y": exact["y"].astype(np.float32)}
    next_one = {"y": np.nextafter(given["y"], np.float32(9))}
    assert compare(next_one, given, "fp64", DEFAULT).agrees


def test_tolerances_grow_with_the_unit_roundoff():
    order = ["fp64", "fp32", "tf32", "bf16"]
    assert all(TOLERANCES[a] < TOLERANCES[b] for a, b in itertools.pairwise(order))


def test_tolerance_follows_the_outputs_scale():
    for factor in (1e-6, 1.0, 1e6):
        scaled = {"y": B["y"].astype(np.float64) * factor}
        assert compare({"y": scaled["y"] * 1.0005}, scaled, "fp32", DEFAULT).agrees
        assert not compare({"y": scaled["y"] * 1.1}, scaled, "fp32", DEFAULT).agrees


def test_errors_are_what_numpy_says():
    a = {"y": B["y"] + RNG.standard_normal(B["y"].shape) * 1e-4}
    found = compare(a, B, "fp32", DEFAULT)
    error = np.abs(a["y"] - B["y"])
    assert found.max_abs == pytest.approx(error.max())
    assert found.mean_abs == pytest.approx(error.mean())


def test_the_scenario_overrides_the_tolerance_in_absolute_units():
    assert compare(moved(0.5), B, "fp32", Parity(max_abs_error=0.6)).agrees
    assert not compare(moved(0.5), B, "bf16", Parity(max_abs_error=0.01, max_rel_error=1e-6)).agrees


def test_top1_counts_rows_whose_class_agrees():
    a = {"y": B["y"].copy()}
    a["y"][0] = np.roll(a["y"][0], 1)
    assert compare(a, B, "fp32", DEFAULT).top1 == pytest.approx(5 / 6)
    flat = {"y": B["y"][:, 0]}
    assert compare(flat, flat, "fp32", DEFAULT).top1 is None
    integers = {"y": np.ones((2, 3), np.int64)}
    assert compare(integers, integers, "fp32", DEFAULT).top1 is None


def test_integers_and_booleans_must_be_equal():
    b = {"y": np.arange(1000, 1006)}
    a = {"y": b["y"] + np.array([0, 1, 0, 0, 0, 0])}
    found = compare(a, b, "bf16", DEFAULT)
    assert found.message == "y: 1 of 6 values differ"
    assert compare(a, b, "bf16", Parity(max_abs_error=1.0)).agrees
    flags = {"y": np.array([True, False])}
    assert not compare({"y": ~flags["y"]}, flags, "fp32", DEFAULT).agrees


def test_nan_and_infinity_must_stand_in_the_same_places():
    b = {"y": np.array([np.nan, np.inf, -np.inf, 1.0])}
    assert compare(b, b, "fp32", DEFAULT).agrees
    for wrong in ([0, np.inf, -np.inf, 1], [np.nan, -np.inf, -np.inf, 1], [np.nan] * 4):
        found = compare({"y": np.array(wrong, float)}, b, "fp32", DEFAULT)
        assert "NaN or infinite on one side only" in found.message
        assert np.isfinite(found.max_abs)


def test_zeros_leave_room_for_small_numbers_only():
    b = {"y": np.zeros((2, 3))}
    assert compare({"y": b["y"] + 1e-4}, b, "fp32", DEFAULT).agrees
    assert not compare({"y": b["y"] + 1.0}, b, "fp32", DEFAULT).agrees


def test_outputs_match_by_name_whatever_their_order():
    b = {"p": np.zeros((2, 3)), "q": np.ones((2, 4))}
    assert compare({"q": b["q"], "p": b["p"]}, b, "fp32", DEFAULT).agrees


def test_outputs_with_other_names_match_by_position_if_the_shapes_agree():
    b = {"p": np.zeros((2, 3)), "q": np.ones((2, 4))}
    assert compare({"o0": b["p"], "o1": b["q"]}, b, "fp32", DEFAULT).agrees
    found = compare({"o0": b["q"], "o1": b["p"]}, b, "fp32", DEFAULT)
    assert found.message == "outputs are o0 [2, 4], o1 [2, 3], the reference has p [2, 3], q [2, 4]"
    assert found.mean_abs is None


def test_another_shape_disagrees_even_if_it_would_broadcast():
    found = compare({"y": B["y"][:1]}, B, "fp32", DEFAULT)
    assert found.message == "y has shape [1, 10], the reference [6, 10]"


def test_comparisons_add_up():
    total = compare(moved(1e-5), B, "fp32", DEFAULT) + compare(moved(1.0), B, "fp32", DEFAULT)
    assert total.values == 120
    assert total.max_abs == pytest.approx(1.0)
    assert total.mean_abs == pytest.approx((1e-5 + 1.0) / 2, rel=1e-3)
    assert len(total.problems) == 1


def test_the_same_problem_of_several_inputs_is_said_once():
    few, all_ = {"y": B["y"].copy()}, moved(1.0)
    few["y"][0, 0] += 1
    total = compare(few, B, "fp32", DEFAULT) + compare(all_, B, "fp32", DEFAULT)
    assert total.message == "y: 61 of 120 values break |a−b| ≤ 0.001·rms(b) + 0.001·|b|"


def test_fp16_has_room_for_the_errors_measured_but_not_for_a_wrong_weight():
    """Normal errors of 0.0093 rms are the largest that a runtime gave (docs/models.md)."""
    b = {"y": np.random.default_rng(1).standard_normal((192, 1000))}
    rounded = {"y": b["y"] + 0.0093 * RNG.standard_normal(b["y"].shape)}
    assert compare(rounded, b, "fp16", DEFAULT).agrees
    wrong = {"y": b["y"] + 0.1 * RNG.standard_normal((1, 1000))}
    assert not compare(wrong, b, "fp16", DEFAULT).agrees


def test_numbers_that_cancel_have_a_floor_from_the_precision():
    """An output of rounding errors only: the mean after a normalisation."""
    noise = {"y": RNG.standard_normal((6, 10)) * 1e-8}
    other = {"y": RNG.standard_normal((6, 10)) * 1e-8}
    assert compare(other, noise, "fp32", DEFAULT).agrees
    assert compare({"y": noise["y"] + 5e-6}, noise, "fp16", DEFAULT).agrees
    assert not compare({"y": noise["y"] + 5e-6}, noise, "fp32", DEFAULT).agrees
    assert not compare(other, noise, "fp32", Parity(max_abs_error=1e-9)).agrees


def test_int8_rounds_to_other_steps():
    step = 8 / 255  # of ±4 rms
    steps = {"y": B["y"] + np.float32(step) * RNG.integers(-3, 4, B["y"].shape)}
    assert not compare(steps, B, "fp32", DEFAULT).agrees
    assert compare(steps, B, "int8", DEFAULT).agrees
    assert not compare({"y": np.roll(B["y"], 1)}, B, "int8", DEFAULT).agrees
    eight = {"y": np.arange(100, dtype=np.uint8)}
    assert compare({"y": eight["y"] + np.uint8(3)}, eight, "int8", DEFAULT).agrees
    assert not compare({"y": eight["y"] + np.uint8(9)}, eight, "int8", DEFAULT).agrees
    assert not compare({"y": eight["y"] + np.uint8(3)}, eight, "fp32", DEFAULT).agrees
    classes = {"y": np.arange(100)}
    assert not compare({"y": classes["y"] + 1}, classes, "int8", DEFAULT).agrees


def test_a_file_in_fewer_bits_is_judged_so_whatever_a_backend_asks_for():
    assert loosest("int8", "fp32") == loosest("fp16", "int8") == "int8"
    assert loosest("fp32", "fp16") == "fp16"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_output_without_one_finite_value_never_agrees(value):
    b = {"y": np.full((2, 3), value), "z": np.ones(2)}
    found = compare(b, b, "fp32", DEFAULT)
    assert found.message == (
        "y: 6 of 6 values are NaN or infinite, on both sides "
        "(has model.inputs the values that it takes?)"
    )
    assert compare(b, b, "fp32", Parity(ignore=("y",))).agrees


def test_outputs_are_left_out_by_name_also_where_the_names_differ():
    b = {"y": B["y"], "seconds": np.zeros(2), "z": np.ones(3)}
    a = {"y": B["y"], "seconds": np.ones(5), "z": np.ones(3)}
    assert not compare(a, b, "fp32", DEFAULT).agrees
    rule = Parity(ignore=("seconds",))
    assert compare(a, b, "fp32", rule).agrees
    assert compare(a, b, "fp32", DEFAULT, ["seconds"]).agrees
    other_names = dict(zip(("o1", "o2", "o3"), a.values(), strict=True))
    assert compare(other_names, b, "fp32", rule).agrees
    other_names["o3"] = np.zeros(3)
    assert compare(other_names, b, "fp32", rule).message.startswith("z: 3 of 3")


def test_two_runs_tell_which_outputs_are_noise():
    one = {"y": B["y"], "noise": RNG.random(4), "count": np.arange(3), "nan": np.full(2, np.nan)}
    two = {**one, "y": B["y"] * np.float32(1 + 1e-6), "noise": RNG.random(4)}
    assert unlike_itself(one, one) == []
    assert unlike_itself(one, two) == ["noise"]
    two["count"], two["noise"] = np.arange(1, 4), one["noise"]
    assert unlike_itself(one, two) == ["count"]
    assert unlike_itself(one, {**one, "y": B["y"][:1]}) == ["y"]
    assert unlike_itself(one, {"y": B["y"]}) == ["noise", "count", "nan"]  # a shorter sequence


def test_the_rounding_of_a_low_precision_is_no_noise():
    """A kernel that sums in another order each time; what is left out is compared with nothing."""
    one, two = {"y": B["y"]}, {"y": B["y"] * np.float32(1 + 5e-4)}
    assert unlike_itself(one, two) == ["y"]
    assert unlike_itself(one, two, "fp16") == []
    assert unlike_itself(one, {"y": B["y"][::-1]}, "fp16") == ["y"]


def test_strings_must_be_equal() -> None:
    words = np.array(["cat", "dog"])
    assert compare({"s": words}, {"s": words.copy()}, "fp32", Parity()).agrees
    other = compare({"s": words}, {"s": np.array(["cat", "cow"])}, "fp32", Parity())
    assert other.message == "s: 1 of 2 values differ"
    assert not compare({"s": words}, {"s": np.ones(2)}, "fp32", Parity()).agrees
