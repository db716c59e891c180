"""The step before the rounds: models exported once, in a worker of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.results.rows import ArtifactRow
from harness.run.worker.messages import ModelPrepared, PrepareModel
from harness.run.worker.process import WorkerProcess
from harness.scenario.spec.model import ModelSpec
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.system.environment import worker_env

Prepared = Mapping[str, ModelPrepared]
"""What the prepare step left: the measured model by an empty name, the others by `BACKEND/NAME`."""


def prepare(scenario: Scenario, *, base: Path, logs: Path, cache: Path) -> Prepared:
    """Export the models once, in a worker of its own."""
    worker = WorkerProcess(logs / "prepare.log", python=sys.executable, env=worker_env(base))
    deadline = max(600.0, scenario.measurement.load_timeout)
    try:
        return {
            key: worker.ask(
                PrepareModel(model, tuple(wanted), batch_sizes, cache, base), deadline=deadline
            )
            for key, (model, wanted, batch_sizes) in _models(scenario).items()
        }
    finally:
        worker.close()


def artifacts(prepared: Prepared) -> Iterator[ArtifactRow]:
    """The files that were made or found, each once."""
    known = set[str]()
    for artifact in (artifact for model in prepared.values() for artifact in model.artifacts):
        if artifact.path not in known:
            yield artifact
        known.add(artifact.path)


def _models(scenario: Scenario) -> dict[str, tuple[ModelSpec, list[str], tuple[int, ...]]]:
    """As in `Prepared`: a model, the formats that it needs, and the batch sizes of its loads."""
    found: dict[str, tuple[ModelSpec, list[str], tuple[int, ...]]] = {
        "": (scenario.model, formats(scenario), scenario.load.batch_sizes)
    }
    for spec in scenario.backends:
        if not isinstance(spec, ServedSettings):
            continue
        for other in spec.colocated:
            there = other.spec.source.kind == "triton"
            wanted = [] if there else sorted(spec.alone(other).formats)
            found[f"{spec.name}/{other.name}"] = other.spec, wanted, (other.load.batch_size,)
    return found


def formats(scenario: Scenario) -> list[str]:
    """The formats that the scenario's backends need: see `harness.models.prepare.FORMATS`."""
    if scenario.model.source.kind in ("engine", "triton", "fake"):
        return []
    return sorted(frozenset[str]().union(*(b.formats for b in scenario.backends)))
