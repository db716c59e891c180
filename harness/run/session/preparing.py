"""The step before the rounds: models exported once, in a worker of their own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.models.tensors import PreparedModel
from harness.run.worker.process import WorkerProcess
from harness.scenario.spec.scenario import ModelSpec, Scenario, ServedSettings
from harness.system.paths import worker_env


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the prepare step left: the model, and the references for parity."""

    model: PreparedModel
    reference: str
    colocated: Mapping[str, Prepared] = field(default_factory=dict)
    """The co-located models, by `BACKEND/NAME`."""


def prepare(
    scenario: Scenario, *, base: Path, logs: Path, cache: Path
) -> tuple[Prepared, list[dict[str, Any]]]:
    """Export the model once, in a worker of its own; the prepared model and its artifact events."""
    worker = WorkerProcess.start(logs / "prepare.log", python=sys.executable, env=worker_env(base))

    def one(model: ModelSpec, wanted: list[str], batch_sizes: Sequence[int]) -> dict[str, Any]:
        return worker.ask(
            "prepare", deadline=max(600.0, scenario.measurement.load_timeout),
            model=model.model_dump(mode="json"), formats=wanted, batch_sizes=list(batch_sizes),
            cache=str(cache), base=str(base),
        )  # fmt: skip

    try:
        answer = one(scenario.model, formats(scenario), scenario.load.batch_sizes)
        artifacts, colocated = list(answer["artifacts"]), {}
        for key, (spec, wanted, size) in _models_colocated(scenario).items():
            found = one(spec, wanted, [size])
            colocated[key] = Prepared(PreparedModel.from_json(found["model"]), found["reference"])
            known = {artifact["path"] for artifact in artifacts}
            artifacts += [a for a in found["artifacts"] if a["path"] not in known]
    finally:
        worker.close()
    model = PreparedModel.from_json(answer["model"])
    return Prepared(model, answer["reference"], colocated), artifacts


def _models_colocated(scenario: Scenario) -> dict[str, tuple[ModelSpec, list[str], int]]:
    """`BACKEND/NAME` → a co-located model, the formats that it needs, and the batch of its load."""
    found = {}
    for spec in scenario.backends:
        if not isinstance(spec, ServedSettings):
            continue
        for other in spec.colocated:
            there = other.spec.source.kind == "triton"
            wanted = [] if there else sorted(spec.alone(other).formats)
            found[f"{spec.name}/{other.name}"] = other.spec, wanted, other.load.batch_size
    return found


def formats(scenario: Scenario) -> list[str]:
    """The formats that the scenario's backends need: see `harness.models.prepare.FORMATS`."""
    if scenario.model.source.kind in ("engine", "triton", "fake"):
        return []
    return sorted(frozenset[str]().union(*(b.formats for b in scenario.backends)))
