"""`harness prepare`: a scenario's model exported in this process, and a repository filled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import MissingPackageError, SetupError
from harness.models import prepare as prepare_model
from harness.models.precision import in_own_precision
from harness.models.prepare import prepare
from harness.results.rows import ArtifactRow
from harness.run.selection import Selection
from harness.run.session.preparing import Preparing, formats, models
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.server import access_of
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import find_models
from harness.triton.repository.fill import Filled, fill


@dataclass(frozen=True, slots=True)
class Exported:
    """What is in the cache now, and in the repository."""

    artifacts: Sequence[ArtifactRow]
    failures: Mapping[str, str]
    """Format → why it could not be made."""
    repository: Sequence[Filled]


def check(loaded: LoadedScenario, *, deep: bool = False) -> list[str]:
    """Find what a run would refuse before it measures; notes on what is guessed, or missing here.

    ONNX files are opened, factories read as text, and nothing is imported; `deep` does in a worker
    all that a run does before its exports: imports, weights, one pass of each model. Raises
    UsageError, and with `deep` what the worker reports.
    """
    base, notes = loaded.path.resolve().parent, []
    scenario = in_own_precision(loaded.scenario, base)
    notes += [f"not on this machine: {why}" for why in _lacking(scenario)]
    for model, _, batch_sizes in models(scenario).values():
        try:
            read = prepare_model.check(model, batch_sizes, base=base)
        except MissingPackageError as error:
            read = f"not opened: {error.message}"
        notes += [f"{model.name}: {read}"] if read else []
    for spec in scenario.backends:
        if isinstance(spec, TritonSettings) and spec.server.repository is not None:
            find_models(base / spec.server.repository, spec, scenario.model.source.triton or "")
    if deep:
        log = cache_directory() / "validate.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        with Preparing(base, log, cache_directory(), scenario.measurement.load_timeout) as worker:
            for model, _, batch_sizes in models(scenario).values():
                worker.model(model, (), batch_sizes)
    return notes


def _lacking(scenario: Scenario) -> Iterator[str]:
    """What a run would miss on this machine: packages, and variables of the environment."""
    servers = [spec.server for spec in scenario.backends if isinstance(spec, TritonSettings)]
    asks: list[Callable[[], object]] = [partial(access_of, server) for server in servers]
    for ask in (Selection(scenario).check, *asks):
        try:
            ask()
        except SetupError as error:
            yield error.message


def export(loaded: LoadedScenario, repository: Path | None = None) -> Exported:
    """Export the model as every backend needs it and, if given, fill a Triton repository.

    The scenario's folder and the current one can be imported from, as in a worker: after all that
    is installed.
    """
    scenario, base = loaded.scenario, loaded.path.resolve().parent
    sys.path += [str(base), str(Path.cwd())]
    wanted = set(formats(scenario)) | ({"onnx", "onnx_fp16"} if repository is not None else set())
    with temporary_folder():
        model, rows = prepare(
            scenario.model, sorted(wanted), scenario.load.batch_sizes, cache_directory(), base=base
        )
        filled = [] if repository is None else fill(repository, model, cache_directory())
    return Exported(rows, model.failures, filled)
