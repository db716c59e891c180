"""What is decided when a session opens: what loading cost, and whether the outputs are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ParityError
from harness.results.rows import ParityRow, ServerOnlyRow
from harness.results.series import SeriesKey, TelemetrySeries
from harness.results.store import RunStore
from harness.run.session.loading import compare_outputs, judge, server_only_row
from harness.run.state import RunState
from harness.scenario.spec.model import Parity

ROWS = [
    ParityRow("f", 1, "agrees", "eager"),
    ParityRow("f", 4, "disagrees", "eager", message="output: 7 of 3000 values break the rule"),
    ParityRow("f", 16, "disagrees", "eager", message="output: 90 of 48000 values break the rule"),
]
SKIP, MEASURE = Parity(on_mismatch="skip"), Parity(on_mismatch="measure")


def test_outputs_that_disagree_are_said_once_and_short() -> None:
    with pytest.raises(ParityError) as caught:
        judge(ROWS, SKIP)
    assert caught.value.message == (
        "batch 4: output: 7 of 3000 values break the rule; also at batch 16"
    )
    with pytest.raises(ParityError) as caught:
        judge(ROWS[:2], SKIP, "detector")
    assert caught.value.message == "detector, batch 4: output: 7 of 3000 values break the rule"


def test_outputs_that_disagree_are_timed_where_the_scenario_says_so() -> None:
    assert judge(ROWS, MEASURE) == ("parity",)
    assert judge(ROWS[:1], MEASURE) == judge(ROWS[:1], SKIP) == ()


# ---------------------------------------------------------- a server before it loads a model

key = SeriesKey.parse
MIB = 2**20
S = 1_000_000_000


def series(*pairs: tuple[float, float]) -> TelemetrySeries:
    seconds, values = zip(*pairs, strict=True)
    return TelemetrySeries((np.array(seconds) * S).astype(np.int64), np.array(values, float))


HOST = {
    key("host_bytes"): series((0, 0.0), (1, 30 * MIB), (1.5, 40 * MIB), (3, 900 * MIB)),
    key("tree_cpu_s"): series((0, 0.0), (1, 2.0), (2, 2.1), (3, 9.0)),
}


def test_only_its_own_second_counts() -> None:
    row = server_only_row("t", 0, HOST, (1 * S, 2 * S))
    assert (row.host_memory_mib, row.seconds) == (40, 1)
    assert row.cpu_percent == pytest.approx(10)
    assert (row.gpu_memory_mib, row.gpu_memory_scope) == (None, "")
    assert ServerOnlyRow.from_event(row.to_event()) == row


def test_on_a_gpu_the_device_before_the_server_is_the_baseline() -> None:
    gpu = {
        key("gpu0_device_bytes"): series((0, 100 * MIB), (1, 600 * MIB), (3, 9000 * MIB)),
        key("gpu0_process_bytes"): series((0, 0.0), (3, 8000 * MIB)),
        key("gpu0_utilization_percent"): series((0, 0.0), (1.2, 3.0), (3, 90.0)),
        key("gpu0_energy_j"): series((0, 0.0), (1, 100.0), (2, 180.0), (3, 900.0)),
    }
    row = server_only_row("t", 0, {**HOST, **gpu}, (1 * S, 2 * S))
    assert (row.gpu_memory_mib, row.gpu_memory_scope) == (500, "device")
    assert row.gpu_power_w == pytest.approx(80)
    assert row.gpu_utilization_percent == pytest.approx(1.5)


# ----------------------------------------------------------------------- the outputs of a model


class Compared:
    """A model whose outputs are as `rows` say; notes what it was asked."""

    def __init__(self, *rows: ParityRow, rule: Parity = MEASURE, name: str = "") -> None:
        self.label, self.name, self.rule, self.flags = "f", name, rule, ("old",)
        self.rows = {row.batch_size: row for row in rows}
        self.asked: list[list[int]] = []

    def compare(self, batches: list[int], _: object) -> list[ParityRow]:
        self.asked.append(list(batches))
        return [self.rows[batch] for batch in batches]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[RunState]:
    with RunStore.create(tmp_path / "run", {"a": 1}) as store:
        yield RunState(store, lambda _: None)


def test_what_was_compared_is_not_compared_again_but_judged(state: RunState) -> None:
    model: Any = Compared(*ROWS)
    compare_outputs(model, [1, 4], state)
    assert model.flags == ("parity",)
    compare_outputs(model, [1], state)
    assert model.flags == ()  # the batch that disagrees is not among these points
    compare_outputs(model, [1, 16], state)
    assert model.asked == [[1, 4], [16]]
    assert [row.batch_size for row in state.parity["f"]] == [1, 4, 16]


def test_a_co_located_model_is_named_where_it_disagrees(state: RunState) -> None:
    model: Any = Compared(*ROWS, rule=SKIP, name="detector")
    with pytest.raises(ParityError, match="detector, batch 4"):
        compare_outputs(model, [4], state)
