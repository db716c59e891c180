"""What `harness validate` looks at: all that a run would refuse before it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from harness.errors import MissingPackageError, SetupError
from harness.models import prepare
from harness.models.precision import in_own_precision
from harness.run.selection import Selection
from harness.run.session.preparing import Preparing, models
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.server import access_of
from harness.system.paths import cache_directory
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import to_triton
from harness.triton.launch import find_models
from harness.validate.factory import check_factory


def check(loaded: LoadedScenario, *, deep: bool = False) -> list[str]:
    """Find what a run would refuse before it measures; notes on what is guessed, or missing here.

    ONNX files are opened, factories read as text, and nothing is imported; `deep` does in a worker
    all that a run does before its exports: imports, weights, one pass of each model. Raises
    UsageError, and with `deep` what the worker reports.
    """
    base, notes = loaded.path.resolve().parent, []
    scenario = in_own_precision(loaded.scenario, base)
    notes += [f"not on this machine: {why}" for why in _lacking(scenario)]
    for key, (model, _, batch_sizes) in models(scenario).items():
        if model.source.torch is not None:
            check_factory(model.source.torch, model.source.kwargs, base)
        try:
            found = prepare.check(model, batch_sizes, base=base)
        except MissingPackageError as error:
            notes.append(f"{model.name}: not opened: {error.message}")
            continue
        notes += [f"{model.name}: {found.batch_read}"] if found.batch_read else []
        if key or any(isinstance(b, TritonSettings) and b.serve for b in scenario.backends):
            for tensor in (*found.inputs, *found.outputs):
                to_triton(tensor.dtype, tensor.name)
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
