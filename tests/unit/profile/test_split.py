"""A request's parts: by hand, and against simulated machines whose truth is walked apart."""

from __future__ import annotations

import numpy as np
import pytest
from support.kineto import CEILINGS, ROOF, WORK, Machine, events_of, truth

from harness.inspect.trace import Span, Trace, kineto, owner_of
from harness.profile.split import Roof, gpu_of, length, split, union, without_profiler

CONV, RELU, VIEW = ("conv", "[1]"), ("relu", "[1]"), ("view", "[1]")
DONE = {CONV: (1e9, 1e6), RELU: (0.0, 1e7), VIEW: (0.0, 0.0)}


def test_intervals_that_overlap_count_once() -> None:
    assert union([(5, 6), (0, 2), (1, 3), (3, 4), (9, 9)]) == [(0, 4), (5, 6)]
    assert length([(0, 2), (1, 3), (10, 11)]) == 4


def test_the_side_is_the_ceiling_that_takes_longer() -> None:
    assert ROOF.least_us(1e9, 1e7) == (10, 10)
    assert ROOF.side(1e9, 1e6) == "compute"
    assert ROOF.side(0.0, 1.0) == "memory"
    assert ROOF.side(None, 1.0) == ROOF.side(0.0, 0.0) == ""
    assert Roof.of(None, "fp32") is Roof.of(CEILINGS, "int8") is None
    assert Roof.of(CEILINGS, "fp16") == Roof(400e12, 1e12, 0.0)


def on_cpu(*spans: Span) -> dict[str, list[float]]:
    trace = Trace((Span("harness.request", 0, 100),), spans)
    return split(trace, DONE, Roof(100e12, 1e12, 2.0))


def test_on_the_cpu_each_operator_costs_its_dispatch_first() -> None:
    parts = on_cpu(
        Span("conv", 0, 40, "[1]"), Span("relu", 40, 50, "[1]"), Span("view", 50, 55, "[1]"),
        Span("who", 60, 61, "[1]"),
    )  # fmt: skip
    outside = 100 - 56
    assert parts == {
        "wall": [100], "waiting": [outside], "launch": [outside + 2 + 2 + 5 + 1], "copies": [0],
        "compute": [38], "memory": [8], "other": [0],
    }  # fmt: skip


def test_operators_of_nothing_that_is_known_are_other() -> None:
    assert on_cpu(Span("who", 0, 60, "[1]"))["other"] == [58]
    trace = Trace((Span("harness.request", 0, 100),), (Span("conv", 0, 60, "[1]"),))
    assert split(trace, DONE, None)["other"] == [60]


def gpu_trace(*kernels: Span, copies: tuple[Span, ...] = ()) -> Trace:
    operators = (Span("conv", 0, 10, "[1]"), Span("relu", 10, 20, "[1]"))
    launches = {1: Span("l", 5, 7, link=1), 2: Span("l", 15, 17, link=2), 3: Span("l", 2, 3)}
    return Trace((Span("harness.request", 0, 100),), operators, kernels, copies, launches)


def test_on_a_gpu_kernels_are_their_operators_and_the_rest_is_idle() -> None:
    trace = gpu_trace(Span("k", 10, 50, link=1), Span("m", 60, 90, link=2))
    parts = split(trace, DONE, ROOF)
    assert (parts["compute"], parts["memory"], parts["launch"]) == ([40], [30], [30])
    # before the first kernel 7 of 10 for the launch, none of the gap, and all after the last
    assert parts["waiting"] == [17]
    gpu = gpu_of(trace)
    assert gpu is not None
    assert (gpu.busy, gpu.kernels, gpu.kernel_us, gpu.gaps) == (0.7, 2, 35, 3)
    assert (gpu.gap_us, gpu.waiting) == (pytest.approx(10), pytest.approx(17 / 30))


def test_a_copy_counts_where_no_kernel_runs_beside_it() -> None:
    trace = gpu_trace(Span("k", 10, 50, link=1), copies=(Span("c", 40, 70, link=3),))
    parts = split(trace, DONE, ROOF)
    assert (parts["compute"], parts["copies"], parts["launch"]) == ([40], [20], [40])


def test_kernels_beside_each_other_count_once() -> None:
    trace = gpu_trace(Span("k", 10, 50, link=1), Span("m", 10, 50, link=2))
    parts = split(trace, DONE, ROOF)
    assert (parts["compute"], parts["memory"], parts["launch"]) == ([20], [20], [60])
    assert [holder.name for holder in owner_of(trace).values()] == ["conv", "relu"]


def test_what_another_request_launched_is_not_this_ones() -> None:
    trace = gpu_trace(Span("k", 10, 50, link=1))
    later = Trace((Span("harness.request", 200, 300), *trace.requests), trace.operators,
                  trace.kernels, (), trace.launches)  # fmt: skip
    assert split(later, DONE, ROOF)["launch"] == [100, 60]
    assert gpu_of(Trace((), ())) is None


@pytest.mark.parametrize(
    "machine",
    [
        Machine(), Machine(launch_us=60.0), Machine(norms=80), Machine(copy_us=3000.0),
        Machine(4, 4, 5.0, 5.0, 20.0),
    ],
)  # fmt: skip
def test_simulated_machines_are_split_as_they_were_built(machine: Machine) -> None:
    trace = kineto(events_of(machine, 10, np.random.default_rng(2)))
    parts = split(trace, WORK, ROOF)
    walls = sum(parts["wall"])
    for part, share in truth(machine).items():
        assert sum(parts[part]) / walls == pytest.approx(share, abs=0.03), part


@pytest.mark.parametrize(
    ("steady_us", "launch", "wall"), [(90, 20, 90), (120, 30, 100), (50, 0, 70), (0, 30, 100)]
)
def test_what_the_profiler_costs_the_host_is_no_launching(
    steady_us: float, launch: float, wall: float
) -> None:
    parts = {"wall": [100.0], "compute": [70.0], "launch": [30.0], "waiting": [25.0]}
    shorter = without_profiler(parts, steady_us)
    assert (shorter["launch"], shorter["wall"]) == ([launch], [wall])
    assert shorter["compute"] == [70]
    assert shorter["waiting"] == [min(25, launch)]


def test_a_slow_recording_says_the_same_of_a_machine_as_a_quick_one() -> None:
    """A host that takes 60 us a launch while it is recorded, and 6 otherwise."""
    quick, slow = (
        split(kineto(events_of(m, 10, np.random.default_rng(2))), WORK, ROOF)
        for m in (Machine(), Machine(launch_us=60.0))
    )
    share = [sum(parts["launch"]) / sum(parts["wall"]) for parts in (quick, slow)]
    assert share[1] > share[0] + 0.1
    corrected = without_profiler(slow, sum(quick["wall"]) / len(quick["wall"]))
    assert sum(corrected["launch"]) / sum(corrected["wall"]) == pytest.approx(share[0], abs=0.02)
