"""Scenarios for lanes: PyTorch on the devices that are named."""

from __future__ import annotations

from typing import Any

from harness.scenario.spec.scenario import Scenario


def scenario(*named: str, **more: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"torch": "m:make"},
                  "inputs": [{"name": "x", "shape": ["batch", 3]}]},
        "backends": [
            {"kind": "torch", "name": f"b{n}", "device": d} for n, d in enumerate(named)
        ] or [more],
        "load": {"concurrency": [1]},
    })  # fmt: skip
