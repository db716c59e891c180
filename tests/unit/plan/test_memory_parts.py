"""What a peak is made of, of a recorded GPU run and of made-up rows."""

from __future__ import annotations

import pytest
from support import planned
from support.paths import H200

from harness.plan.memory_parts import UNDER_LOAD, parts_of
from harness.plan.outputs import json_text, memory_lines
from harness.plan.planning import Asked, make_plan
from harness.results.rows import LoadedRow
from harness.results.store import RunData, read_run


@pytest.fixture(scope="module")
def recorded() -> RunData:
    """Of an H200."""
    return read_run(H200)


@pytest.mark.parametrize(
    ("demand", "first"),
    [
        (planned.demand(2000.0), {"context and libraries": 518.0, "weights": 78.0}),
        (planned.demand(30_000.0), {"context and libraries": 518.0}),
    ],
)
def test_the_stages_of_a_recorded_start_add_up_to_the_peak(recorded, demand, first) -> None:
    plan = make_plan(recorded, demand, Asked())
    assert plan.parts is not None
    found = {part.name: part.mib for part in plan.parts.stages}
    assert {name: found[name] for name in first} == first
    assert list(found)[-1] == UNDER_LOAD
    assert sum(found.values()) == pytest.approx(plan.sized.candidate.gpu_mib)
    assert {part.name.partition(" (")[2] for part in plan.parts.allocators} == {"TensorRT)"}
    assert any("context and libraries 518, weights" in line for line in memory_lines(plan))
    assert '"memory_parts": {' in json_text(plan)


def test_pytorch_says_what_its_allocator_only_keeps() -> None:
    said = {"torch_peak_allocated": 200 * 2**20, "torch_peak_reserved": 284 * 2**20}
    data = planned.run(details={"allocators": said})
    stages = {name: {"held_mib": mib, "peak_mib": mib} for name, mib in
              (("baseline", 0.0), ("weights", 700.0), ("warm", 900.0))}  # fmt: skip
    loads = tuple(
        LoadedRow("served", n, 1.0, 2.0, 3, 4.0, 5.0, {"gpu_stages": stages}) for n in range(3)
    )
    candidate = make_plan(data, planned.demand(), Asked()).sized.candidate
    assert parts_of(data, candidate, "torch") is None, "nobody watched its start"
    watched = RunData(data.path, data.manifest, (*data.events, *loads))
    found = parts_of(watched, candidate, "torch")
    assert found is not None
    assert found.round == 2, "the round of the peak"
    assert [(p.name, p.mib) for p in found.stages] == [
        ("context, libraries and weights", 700.0),
        ("first requests: activations and workspace", 200.0), (UNDER_LOAD, 2100.0),
    ]  # fmt: skip
    assert [p.mib for p in found.allocators] == [200.0, 84.0]
    served = parts_of(watched, candidate, "triton")
    assert served is not None


def test_without_a_gpu_there_are_none() -> None:
    data = planned.run(gpu_memory_mib=None)
    assert make_plan(data, planned.demand(), Asked()).parts is None
