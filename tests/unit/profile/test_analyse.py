from __future__ import annotations

import pytest
from support.kineto import CONV, NORM, ROOF, Machine
from support.profiled import gpu_profile

from harness.inspect.trace import Memory, Span, Trace
from harness.profile.analyse import Recorded, analyse, peak_of, rows_of, steady_ms


def test_rows_of_a_gpu_have_the_kernels_times_and_the_operators_work() -> None:
    batch = gpu_profile(Machine(noise=0.0)).backends[0].batches[0]
    by_name = {(r.source, r.name): r for r in batch.rows}
    conv, norm = by_name["torch", CONV[0]], by_name["torch", NORM[0]]
    assert (conv.calls, conv.us, conv.side) == (20, pytest.approx(600), "compute")
    assert (norm.calls, norm.us, norm.side) == (20, pytest.approx(300), "memory")
    assert (conv.flop, norm.bytes, batch.flop) == (20e9, 20e7, 20e9)
    assert by_name["kernel", f"k_{CONV}"].us == pytest.approx(600)
    assert by_name["kernel", "Memcpy HtoD"].calls == 1
    assert batch.gpu is not None
    assert batch.gpu.kernels == 40


def test_operators_outside_of_requests_are_nobodys() -> None:
    trace = Trace(
        (Span("harness.request", 10, 20), Span("harness.request", 30, 40)),
        (Span("a", 0, 5), Span("a", 11, 13), Span("a", 22, 24), Span("a", 31, 34)),
    )
    (row,) = rows_of(Recorded(1, trace, "torch"), None)
    assert (row.calls, row.us, row.share, row.flop, row.side) == (1, 2.5, 0.25, None, "")


def memory_trace(*, on_gpu: bool = False) -> Trace:
    readings = (
        Memory(1, 100, 1100, on_gpu), Memory(3, 500, 1600, on_gpu), Memory(4, -600, 1000, on_gpu),
        Memory(6, 50, 1050, on_gpu), Memory(6, 9999, 99999, not on_gpu),
    )  # fmt: skip
    kernels = (Span("k", 1, 2),) if on_gpu else ()
    operators = (Span("a", 0, 2), Span("b", 2.5, 5), Span("a", 5.5, 7))
    return Trace((Span("harness.request", 0, 10),), operators, kernels, memory=readings)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_memory_is_that_of_the_device_and_of_the_operator_that_ran(on_gpu: bool) -> None:
    trace = memory_trace(on_gpu=on_gpu)
    taken = {r.name: r.memory_bytes for r in rows_of(Recorded(1, trace, "torch"), None)}
    assert (taken["a"], taken["b"]) == (150, 500)
    assert peak_of(trace) == (600, "b")
    assert peak_of(Trace((), ())) == (0, "")


def test_the_steady_state_is_the_median_of_the_later_calls() -> None:
    assert steady_ms([100, 50, 3, 1, 2], 2) == 2
    assert steady_ms([4, 8], 10) == 6
    assert steady_ms([], 10) == 0


def test_what_is_not_known_stays_unknown() -> None:
    trace = Trace((Span("harness.request", 0, 10),), (Span("a", 0, 8),))
    found = analyse(Recorded(3, trace, "tensorrt", flop=7.0, calls_ms=[1.0] * 12), None)
    assert (found.batch, found.flop, found.bound.kind, found.gpu) == (3, 7.0, "mixed", None)
    assert (len(found.calls_ms), found.peak_bytes) == (10, 0)
    assert analyse(Recorded(3, trace, "torch", {("a", ""): (4.0, 1.0)}), ROOF).flop == 4
