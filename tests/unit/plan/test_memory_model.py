"""The fitted memory: on truth that is known, and on what a GPU run recorded."""

from __future__ import annotations

import numpy as np
import pytest
from support.paths import H200, SAMPLE
from support.planned import demand, run
from support.rows import measurement, point

from harness.analysis.summary import summarize
from harness.errors import InconclusiveError, UsageError
from harness.plan.memory_model import (
    ALPHA,
    Combination,
    combination_of,
    fit_memory,
    instances_of,
)
from harness.plan.outputs import memory_lines
from harness.plan.planning import Asked, make_plan
from harness.results.rows import LoadedRow
from harness.results.store import read_run

GRID = [(b, c) for b in (1, 4, 16, 64) for c in (1, 4, 16)]


def rows_of(truth, noise=0.0, seed=0, grid=GRID):
    rng = np.random.default_rng(seed)
    return [
        point((100.0, 101.0), backend="a", batch_size=b, concurrency=c, point=f"a/b{b}/c{c}",
              gpu_memory_mib=truth(b, c) * (1 + noise * rng.standard_normal()))
        for b, c in grid
    ]  # fmt: skip


def linear(b, c):
    return 900 + 250 * c + 3 * b + 2.5 * b * c


def test_what_is_linear_is_found_exactly():
    model = fit_memory(rows_of(linear), "a", {})
    assert model.coefficients == pytest.approx({
        "fixed": 900, "a caller": 250, "an item of a batch": 3, "an item of each caller": 2.5,
    })  # fmt: skip
    assert model.worst < 1e-9
    found = model.at(Combination(8, 8))
    assert found.mib == pytest.approx(linear(8, 8))
    assert (found.low, found.high) == pytest.approx((found.mib, found.mib))
    assert not found.extrapolated


@pytest.mark.parametrize(
    ("batch", "callers", "instances", "beyond"),
    [(64, 16, 1, False), (65, 1, 1, True), (1, 17, 1, True), (1, 1, 2, True)],
)
def test_beyond_what_was_measured_is_an_extrapolation(batch, callers, instances, beyond):
    model = fit_memory(rows_of(linear), "a", {})
    assert model.at(Combination(batch, callers, instances)).extrapolated == beyond


def test_more_never_takes_less():
    """Memory that goes down with the batch by chance does not make a negative term."""
    model = fit_memory(rows_of(lambda b, c: 1000 - b, 0.01), "a", {})
    assert min(model.coefficients.values()) >= 0


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_the_range_holds_what_was_not_measured(noise):
    """Jackknife+ promises 1 - 2α; 150 models, each asked for six combinations inside its grid."""
    asked = [(2, 2), (8, 8), (32, 2), (2, 12), (48, 12), (24, 1)]
    held, rng = 0, np.random.default_rng(5)
    for seed in range(150):
        model = fit_memory(rows_of(linear, noise, seed), "a", {})
        for b, c in asked:
            new = linear(b, c) * (1 + noise * rng.standard_normal())
            found = model.at(Combination(b, c))
            held += found.low <= new <= found.high
    assert held / 900 >= 1 - 2 * ALPHA


def test_too_few_points_have_no_error_to_show():
    assert fit_memory(rows_of(linear, grid=GRID[:5]), "a", {}) is None
    assert fit_memory([], "a", {}) is None


def test_a_term_that_does_not_vary_is_not_in_it():
    model = fit_memory(rows_of(linear, grid=[(b, 1) for b in (1, 2, 4, 8)]), "a", {})
    assert set(model.coefficients) == {"fixed", "an item of a batch"}


def test_copies_of_the_model_are_a_term_where_they_vary():
    rows = [
        point(backend="a", config=f"i{i}", batch_size=b, concurrency=1,
              gpu_memory_mib=600 + 800 * i + b)
        for i in (1, 2, 4) for b in (1, 8)
    ]  # fmt: skip
    model = fit_memory(rows, "a", {"i1": 1, "i2": 2, "i4": 4})
    assert model.coefficients["an instance"] == pytest.approx(800)
    assert model.at(Combination(4, 1, 3)).mib == pytest.approx(3004)


def test_the_largest_peak_of_a_point_counts_and_an_open_loop_does_not():
    rows = [
        measurement(point="a/b1/c1", round=n, gpu_memory_mib=m) for n, m in enumerate((10, 30, 20))
    ]
    rows += [measurement(point="a/b1/r9", concurrency=None, request_rate=9.0, gpu_memory_mib=9e9)]
    rows += [
        measurement(point=f"a/b1/c{c}", concurrency=c, gpu_memory_mib=30 + c) for c in (2, 3, 4, 5)
    ]
    model = fit_memory(summarize(rows), "a", {})
    assert dict(model.points)[Combination(1, 1)] == 30
    assert len(model.points) == 5


def test_copies_are_what_the_loads_say():
    loads = tuple(
        LoadedRow("served", 0, 1, 1, 0, 1, None, {"settings": {"instances": n}}, f"i{n}")
        for n in (1, 4)
    )
    data = run(extra=loads)
    assert instances_of(data, "served", 2) == {"i1": 1, "i4": 4}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("batch=16,callers=8", Combination(16, 8)),
        ("callers=8", Combination(1, 8)),
        (" batch = 2 , instances=3", Combination(2, 1, 3)),
    ],
)
def test_a_combination_is_read(text, found):
    assert combination_of(text) == found


@pytest.mark.parametrize(
    "text", ["", "16", "batch=", "batch=x", "batch=1,batch=2", "size=3", "batch=0", "batch=-1"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--at"):
        combination_of(text)


def test_a_run_with_too_few_points_says_so_where_an_estimate_is_asked_for():
    with pytest.raises(InconclusiveError, match="too few points of served"):
        make_plan(run(), demand(), Asked(at=(Combination(4, 4),)))


RECORDED = {
    H200: {"torch-cuda-fp32": 0.05, "torch-cuda-fp16": 0.05, "tensorrt-fp16": 0.02,
           "tensorrt-tf32": 0.02, "onnxruntime-cuda-fp32": 0.25},
    SAMPLE: {"torch-cuda-fp32": 0.3, "torch-cuda-fp16": 0.33, "tensorrt-fp16": 0.02,
             "tensorrt-fp16-graphs": 0.02, "onnxruntime-cuda-fp32": 0.2,
             "triton-http-tensorrt-fp16": 0.05},
}  # fmt: skip
"""The largest error, as docs/benchmarks/memory-model.md has it."""


@pytest.mark.parametrize("run", RECORDED)
def test_on_a_recorded_gpu_run_points_that_are_left_out_are_predicted(run):
    data = read_run(run)
    rows = summarize(data.measurements, data.failures)
    models = {name: fit_memory(rows, name, instances_of(data, name, 1)) for name in RECORDED[run]}
    assert all(m is not None and m.worst <= RECORDED[run][name] for name, m in models.items())


def test_the_page_says_what_was_fitted_how_far_off_it_is_and_that_it_is_an_estimate():
    data = read_run(SAMPLE)
    plan = make_plan(data, demand(1000.0, 500.0), Asked(at=(Combination(1000, 1),)))
    *_, first, second = memory_lines(plan)
    assert first.startswith(f"GPU memory of {plan.sized.candidate.backend}, fitted to 9 points: ")
    assert "A point predicted by the others is off by" in first
    assert second.startswith("Estimate for batch 1000, 1 caller: ")
    assert second.endswith("not measured, and beyond what was: an extrapolation.")
