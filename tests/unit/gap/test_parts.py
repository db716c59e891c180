"""The waterfall over rounds: what it adds up to, with and without a trace, and its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.rows import measurement

from harness.analysis.summary import SummaryRow, summarize
from harness.gap.parts import PARTS, Gap, gaps, pairs_of, round_parts, t_interval
from harness.results.rows import CeilingRow, MeasurementRow

SERVER = {"queue": 100.0, "compute_input": 40.0, "compute_infer": 1500.0, "compute_output": 90.0}
PATH = {
    "late": 0.0, "sending": 20.0, "receiving": 10.0, "wire_out": 50.0, "receive": 15.0,
    "parse": 60.0, "queue": 100.0, "input": 40.0, "infer": 1500.0, "output": 30.0, "answer": 75.0,
    "wire_in": 80.0, "traced": 100.0, "latency": 1980.0,
}  # fmt: skip
TRITON = {"name": "t", "kind": "triton", "protocol": "http", "client": "wire", "io": "host"}


def native(ms: Sequence[float]) -> list[MeasurementRow]:
    return [
        measurement(point="n/b1/c1", backend="n", round=i, latency_mean_ms=each)
        for i, each in enumerate(ms)
    ]


def served(ms: Sequence[float], path: Any = PATH, **changes: Any) -> list[MeasurementRow]:
    return [
        measurement(**{
            "point": "t/b1/c1", "backend": "t", "round": i, "latency_mean_ms": each,
            "server_us": SERVER, "details": {"path": path} if path else {}, **changes,
        })
        for i, each in enumerate(ms)
    ]  # fmt: skip


def points(*rows: list[MeasurementRow]) -> list[SummaryRow]:
    return summarize([r for each in rows for r in each])


def the_gap(*rows: list[MeasurementRow], ceilings: Sequence[CeilingRow] = ()) -> Gap:
    (found,) = gaps(points(*rows), "n", TRITON, ceilings)
    return found


def values(gap: Gap) -> dict[str, float]:
    return {p.name: p.ms.value for p in gap.parts}


def test_the_parts_and_what_they_leave_add_up_to_the_end() -> None:
    gap = the_gap(native([1.0, 1.2, 1.1]), served([2.0, 2.1, 2.0]))
    total = gap.in_process.value + sum(values(gap).values())
    assert total == pytest.approx(gap.end_to_end.value, rel=1e-12)
    assert list(values(gap)) == [n for n in PARTS if n != "outside"]
    assert values(gap) == pytest.approx({
        "compute": 0.4, "input": 0.04, "output": 0.03, "queue": 0.1, "framing": 0.15,
        "wire": 0.13, "client": 0.03, "unexplained": 6.1 / 3 - 1.98,
    })  # fmt: skip
    assert gap.part("unexplained", "queue") == pytest.approx(6.1 / 3 - 1.88)
    assert (gap.rounds, gap.traced, gap.floor_ms) == (3, 300, None)
    assert gap.ms == pytest.approx(6.1 / 3 - 1.1)


def test_what_is_less_than_nothing_is_shown_as_that() -> None:
    gap = the_gap(native([1.9, 1.9]), served([1.5, 1.5]))
    assert values(gap)["compute"] == pytest.approx(-0.4)
    assert values(gap)["unexplained"] == pytest.approx(1.5 - 1.98)


def test_without_a_trace_framing_and_wire_are_one_and_unexplained() -> None:
    rows = served([2.0, 2.0], {k: PATH[k] for k in ("late", "sending", "receiving")})
    found = values(the_gap(native([1.0, 1.0]), rows))
    assert "wire" not in found and "unexplained" not in found
    assert found["output"] == pytest.approx(0.09)
    assert found["outside"] == pytest.approx(2.0 - 1.73 - 0.03)
    old = the_gap(native([1.0, 1.0]), served([2.0, 2.0], None))
    assert "client" not in values(old) and old.traced == 0
    some = served([2.0, 2.0])
    some[1] = served([2.0, 2.0], None)[1]
    mixed = the_gap(native([1.0, 1.0]), some)
    assert "outside" in values(mixed), "one round without a trace leaves no half-known part"


def test_a_round_of_one_side_only_is_not_in_it() -> None:
    gap = the_gap(native([1.0, 1.0, 9.0]), served([2.0, 2.0]))
    assert gap.rounds == 2 and gap.in_process.value == 1.0
    assert gaps(points(native([1.0])), "n", TRITON) == []
    assert gaps(points(native([1.0]), served([2.0], server_us={})), "n", TRITON) == []
    other = served([2.0], point="t/b1/c2", concurrency=2)
    assert gaps(points(native([1.0]), other), "n", TRITON) == [], "another load is another matter"


def test_the_floor_is_the_fastest_null_server_of_such_requests() -> None:
    def row(rate: float | None, **changes: Any) -> CeilingRow:
        fields: dict[str, Any] = {
            "protocol": "http", "client": "wire", "processes": 1, "io": "host", "batch_size": 1,
            "concurrency": 1, "input_bytes": 64, "requests_per_s": rate,
        }  # fmt: skip
        return CeilingRow(**{**fields, **changes})

    ceilings = [row(5000.0), row(8000.0), row(None), row(9e9, protocol="grpc"),
                row(9e9, concurrency=2), row(9e9, io="shared_memory")]  # fmt: skip
    gap = the_gap(native([1.0]), served([2.0]), ceilings=ceilings)
    assert gap.floor_ms == pytest.approx(0.125)


def test_the_methods_say_what_is_not_told_apart() -> None:
    library = {k: v for k, v in PATH.items() if k not in ("late", "sending", "receiving")}
    gap = the_gap(native([1.0]), served([2.0], library))
    methods = {p.name: p.method for p in gap.parts}
    assert "client library" in methods["wire"] and "client" not in methods
    assert "trace" in methods["output"]
    untraced = the_gap(native([1.0]), served([2.0], None))
    assert "after the answer has left" in {p.name: p.method for p in untraced.parts}["output"]


def test_a_part_of_one_round_is_what_the_row_says() -> None:
    found = round_parts(served([2.5])[0], 0.5)
    assert found["compute"] == pytest.approx(1.0)
    assert sum(found.values()) == pytest.approx(2.0)


def test_the_interval_holds_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for values_ in rng.normal(0.3, 0.1, (2000, 5)):
        found = t_interval(list(map(float, values_)))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.3 <= found.high
    assert 0.935 < held / 2000 < 0.965
    assert t_interval([0.5]).low is None


def test_a_served_backend_is_set_beside_what_it_serves() -> None:
    torch = {"name": "torch", "kind": "torch", "precision": "fp32"}
    onnx = {"name": "ort", "kind": "onnxruntime", "precision": "fp32"}
    triton = {**TRITON, "serve": "onnxruntime", "precision": "fp32"}
    assert list(pairs_of([torch, onnx, triton])) == [("ort", "t")]
    assert list(pairs_of([torch, {**triton, "serve": None}])) == [("torch", "t")]
    assert list(pairs_of([torch, onnx])) == list(pairs_of([triton])) == []


def test_numbers_of_a_damaged_journal_have_no_interval() -> None:
    found = t_interval([1e200, 0.0])
    assert (found.value, found.low, found.high) == (5e199, None, None)
