"""Layers matched and judged: on layers whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.compare.layers.matching import REST, Profile, judge_layers, match, middle

LAYERS = tuple((f"conv{n}", "Conv", f"[[1, {n}]]") for n in range(20))


def profile(
    rng: np.random.Generator, slower: dict[int, float], rest: float = 100.0, scatter: float = 0.03
) -> Profile:
    """20 layers of 50 µs with 3 % of scatter, of which some are slower."""
    shared = rng.normal(0, 0.02)
    times = {
        key: 50 * (1 + slower.get(n, 0.0)) * float(np.exp(shared + rng.normal(0, scatter)))
        for n, key in enumerate(LAYERS)
    }
    whole = sum(times.values()) + rest * float(np.exp(rng.normal(0, 0.03)))
    return Profile(whole, times, dict.fromkeys(LAYERS, "CPU"))


def test_a_planted_slow_layer_is_first_ten_times_of_ten() -> None:
    covered = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found = judge_layers([(profile(rng, {}), profile(rng, {7: 0.5})) for _ in range(9)])
        first = found.changes[0]
        assert first.name == "conv7"
        assert first.named
        covered += first.low_us < 25 < first.high_us
        assert found.candidate_us > found.base_us
    assert covered >= 8  # of 95 % intervals


def test_in_a_a_a_layer_is_named_in_at_most_one_of_twenty() -> None:
    """With so much scatter that most differences exceed the smallest that may be named."""
    named = 0
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        found = judge_layers([
            (profile(rng, {}, scatter=0.6), profile(rng, {}, scatter=0.6)) for _ in range(9)
        ])  # fmt: skip
        named += bool(found.named or found.rest.named)
    assert named / 200 <= 0.05


def test_what_no_layer_explains_is_named() -> None:
    rng = np.random.default_rng(3)
    found = judge_layers([(profile(rng, {}), profile(rng, {}, rest=400.0)) for _ in range(9)])
    assert found.rest.name == REST
    assert found.rest.named
    assert found.rest.change_us == pytest.approx(300, rel=0.1)
    assert not found.named


def test_the_changes_and_the_rest_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(4)
    found = judge_layers([(profile(rng, {}), profile(rng, {1: 1.0})) for _ in range(5)])
    total = sum(c.change_us for c in found.changes) + found.rest.change_us
    assert total == pytest.approx(found.candidate_us - found.base_us)
    sizes = [abs(c.change_us) for c in found.changes]
    assert sizes == sorted(sizes, reverse=True)


def test_layers_are_matched_by_name_type_and_shape_then_by_type_and_shape() -> None:
    conv, relu, fused = ("c", "Conv", "[1]"), ("r", "Relu", "[1]"), ("c_relu", "Conv", "[1]")
    assert match([conv, relu], [relu, conv]) == [(conv, conv), (relu, relu)]
    assert match([conv, relu], [fused]) == [(conv, fused), (relu, None)]
    assert match([conv], [relu]) == [(conv, None), (None, relu)]


def test_tensorrts_layers_are_matched_by_name_wherever_they_stand_in_the_engine() -> None:
    conv = [(f"conv1_myl0_{n}", "correlation", "[-1, 8]") for n in (2, 7)]
    gemm = [(f"mm_myl{n}_{n + 4}", "correlation", "[-1, 8]") for n in (0, 1)]
    assert match([conv[0], gemm[0]], [gemm[1], conv[1]]) == list(
        zip([conv[0], gemm[0]], [conv[1], gemm[1]], strict=True)
    )


def test_a_layer_that_another_build_has_is_counted() -> None:
    """An engine that is built anew each time need not have the same layers."""
    one, two = ("x", "Conv", "[1]"), ("y", "Conv", "[2]")
    a, b = Profile(100.0, {one: 60.0}, {one: "t1"}), Profile(100.0, {one: 60.0, two: 20.0}, {})
    found = judge_layers([(a, a), (a, b), (a, b), (a, b)])
    assert {c.name: c.change_us for c in found.changes} == {"y": 15.0, "x": 0.0}
    assert found.rest.change_us == -15.0


def test_a_layer_that_only_one_side_has_counts_wholly() -> None:
    a = Profile(100.0, {("x", "Conv", ""): 60.0}, {})
    b = Profile(130.0, {("y", "Erf", ""): 90.0}, {("y", "Erf", ""): "CUDA"})
    found = judge_layers([(a, b), (a, b)])
    assert [(c.kind, c.base_us, c.candidate_us, c.change_us) for c in found.changes] == [
        ("Erf", None, 90.0, 90.0), ("Conv", 60.0, None, -60.0)
    ]  # fmt: skip
    assert found.changes[0].candidate_where == "CUDA"
    assert found.rest.change_us == 0.0


def test_the_middle_half() -> None:
    assert middle([1, 2, 3, 1000]) == 2.5
    assert middle([5.0]) == 5.0


def test_one_block_has_no_scatter() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="at least two blocks"):
        judge_layers([(profile(rng, {}), profile(rng, {}))])
