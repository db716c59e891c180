"""What would close a gap: measured where the run has it, estimated otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.gap.test_parts import TRITON, native, points, served

from harness.analysis.summary import SummaryRow
from harness.gap.advice import Advice, advice, differing, effective
from harness.gap.parts import gaps

SPEC = {
    **TRITON, "serve": "onnxruntime", "instances": None, "dynamic_batching": None,
    "server": {"docker": None, "native": None},
}  # fmt: skip


def advised(rows: list[SummaryRow], *others: dict[str, Any], **changes: Any) -> list[Advice]:
    spec = effective({**SPEC, **changes}, "default", {})
    (gap,) = gaps(rows, "n", spec)
    return advice(gap, [spec, *(effective(o, "default", {}) for o in others)], rows)


def test_a_backend_that_differs_in_one_key_is_the_measurement() -> None:
    shared = served([1.5, 1.6, 1.4], point="s/b1/c1", backend="s")
    two = {**SPEC, "name": "s", "io": "shared_memory", "client_processes": 2}
    rows = points(native([1.0] * 3), served([2.0, 2.0, 2.0]), shared)
    found = advised(rows, two)
    assert found[0].line == "io: shared_memory" and found[0].at_most_ms is None
    assert found[0].saves is not None and found[0].saves.value == pytest.approx(0.5)
    assert found[0].why == "measured: s/b1/c1 against t/b1/c1, 3 rounds"
    assert [a.line for a in found].count("io: shared_memory") == 1
    wrong = [replace(row, flags=("wrong_outputs",)) for row in shared]
    unfit = advised(points(native([1.0] * 3), served([2.0, 2.0, 2.0]), wrong), two)
    assert all(a.saves is None for a in unfit), "what answers wrongly is no advice"
    both = {**two, "protocol": "grpc"}
    assert all(a.saves is None for a in advised(rows, both)), "two changes at once prove neither"


def test_what_was_not_measured_is_at_most_its_parts() -> None:
    found = {a.line: a for a in advised(points(native([1.0]), served([2.0])))}
    carried = 0.15 + 0.13 + 0.03
    assert found["io: shared_memory"].at_most_ms == pytest.approx(carried)
    assert found["protocol: grpc"].at_most_ms == pytest.approx(carried)
    native_ = found["server: {docker: {image: …}, native: true}"]
    assert native_.at_most_ms == pytest.approx(0.5 + 0.04 + 0.03)
    assert native_.why.startswith("estimated: compute")
    assert not any(line.startswith(("instances", "dynamic_batching", "client")) for line in found)


def test_a_queue_asks_for_instances_or_batching_where_callers_wait() -> None:
    load = {"point": "t/b1/c8", "concurrency": 8}
    own = [replace(r, point="n/b1/c8", concurrency=8) for r in native([1.0])]
    found = {a.line for a in advised(points(own, served([2.0], **load)))}
    assert {"instances: 2", "dynamic_batching: true"} <= found
    alone = advised(points(native([1.0]), served([2.0])), dynamic_batching={"max_delay": 0.002})
    assert "dynamic_batching: false" in {a.line for a in alone}


def test_what_can_not_apply_is_not_advised() -> None:
    rows = points(native([1.0]), served([2.0]))
    changed = advised(
        rows, io="shared_memory", protocol="grpc", serve="torch", client="tritonclient"
    )
    lines = {a.line for a in changed}
    assert lines == {"protocol: http", "client: wire"}


def test_a_config_is_a_backend_with_what_it_sets() -> None:
    spec = effective({"name": "t", "instances": [1, 2]}, "i2", {"instances": 2})
    assert spec["instances"] == 2 and spec["config_name"] == "i2"
    assert differing(spec, {**spec, "config_name": "i1", "instances": 1}) == ["instances"]
