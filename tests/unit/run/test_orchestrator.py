"""What the orchestrator decides by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import ParityError
from harness.run.orchestrator import Orchestrator, Paths
from harness.run.rows import ParityRow
from harness.scenario.schema import Scenario


def orchestrator(on_mismatch: str) -> Orchestrator:
    scenario = Scenario.model_validate({
        "scenario": "s",
        "model": {
            "name": "m", "source": {"fake": {}}, "inputs": [{"name": "x", "shape": ["batch", 3]}],
            "parity": {"on_mismatch": on_mismatch},
        },
        "backends": [{"kind": "fake"}],
        "load": {"batch_sizes": [1, 4, 16], "concurrency": [1]},
    })  # fmt: skip
    unused: Any = None
    return Orchestrator(scenario, unused, Paths(Path(), Path()), unused)


ROWS = [
    ParityRow("f", 1, "agrees", "eager"),
    ParityRow("f", 4, "disagrees", "eager", message="output: 7 of 3000 values break the rule"),
    ParityRow("f", 16, "disagrees", "eager", message="output: 90 of 48000 values break the rule"),
]


def test_outputs_that_disagree_are_said_once_and_short() -> None:
    with pytest.raises(ParityError) as caught:
        orchestrator("skip")._judge(ROWS)
    assert caught.value.message == (
        "batch 4: output: 7 of 3000 values break the rule; also at batch 16"
    )
    with pytest.raises(ParityError) as caught:
        orchestrator("skip")._judge(ROWS[:2])
    assert caught.value.message.endswith("break the rule")


def test_outputs_that_disagree_are_timed_where_the_scenario_says_so() -> None:
    assert orchestrator("measure")._judge(ROWS) == ("parity",)
    assert orchestrator("measure")._judge(ROWS[:1]) == ()
