"""The step before the rounds: models exported once, in a worker of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import DeadlineError, HarnessError, WorkerDiedError
from harness.models.inputs import check_memory
from harness.models.precision import check_precision, notes_on
from harness.models.tensors import NotMade
from harness.results.events import Progress, Status
from harness.results.rows import ArtifactRow
from harness.run.waiting import waiting
from harness.run.worker.messages import ModelPrepared, PrepareModel
from harness.run.worker.process import WorkerProcess
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import ModelSpec
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.system.environment import worker_env

Prepared = Mapping[str, ModelPrepared | HarnessError]
"""What the prepare step left: the measured model by an empty name, the others by `BACKEND/NAME`."""
LOADED_S = 300.0
"""How long a model may take to load where `load_timeout` is not written: weights may be fetched."""
MADE_S = 600.0
"""How long each export of a model, and its reference, may take, if loading may not take longer."""


def prepare(
    scenario: Scenario, *, base: Path, logs: Path, cache: Path,
    tell: Callable[[Status], object] = lambda _: None,
) -> Prepared:  # fmt: skip
    """Export the models once, in a worker of its own. Raises why the measured one can't be.

    Of a co-located model that can't be, the error stands in its place. What takes long is told.
    """
    found: dict[str, ModelPrepared | HarnessError] = {}
    loading = loading_s(scenario.measurement)
    with Preparing(base, logs / "prepare.log", cache, loading, tell) as preparing:
        for key, (model, wanted, batch_sizes, specs) in models(scenario).items():
            try:
                found[key] = made = preparing.model(model, wanted, batch_sizes)
                check_precision(made.model, specs)
                check_memory(made.model, max(batch_sizes), scenario.measurement.distinct_inputs)
            except HarnessError as error:
                if not key:
                    raise
                found[key] = error
    return found


def loading_s(measurement: Measurement) -> float:
    """How long a model may take to load before anything is made of it."""
    return measurement.load_timeout if "load_timeout" in measurement.model_fields_set else LOADED_S


class Preparing(contextlib.AbstractContextManager["Preparing"]):
    """The worker that prepares; one that ended is replaced. A context manager.

    A model is loaded within `loading` seconds; each export and the reference have their own.
    """

    def __init__(
        self, base: Path, log: Path, cache: Path, loading: float,
        tell: Callable[[Status], object] = lambda _: None,
    ) -> None:  # fmt: skip
        self._base, self._log, self._cache, self._loading = base, log, cache, loading
        self._tell, self._step, self._said = tell, "", contextlib.ExitStack()
        self._worker = self._start()

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self._log, env=worker_env(self._base))

    def model(
        self, model: ModelSpec, formats: Sequence[str], batch_sizes: tuple[int, ...]
    ) -> ModelPrepared:
        """Prepare a model. Raises what the worker reports.

        A format that ends the worker or takes for ever is a failure of its own, as one that raises
        is, with what is made of it; the others are made.
        """
        failures: dict[str, NotMade] = {}
        while True:
            wanted = [f for f in formats if f not in failures]
            try:
                made = self._ask(model, wanted, batch_sizes)
            except (WorkerDiedError, DeadlineError) as error:
                of_it = [f for f in wanted if self._step and f.startswith(self._step)]
                if not of_it:
                    raise
                failures |= dict.fromkeys(of_it, (error.reason, error.message, error.fix))
                continue
            failures = {**made.model.failures, **failures}
            return replace(made, model=replace(made.model, failures=failures))

    def _ask(
        self, model: ModelSpec, formats: Sequence[str], batch_sizes: tuple[int, ...]
    ) -> ModelPrepared:
        if not self._worker.alive:
            self._worker.kill()
            self._worker = self._start()
        command = PrepareModel(model, tuple(formats), batch_sizes, self._cache, self._base)
        with self._said:
            self._begin("", f"{model.name} to load", self._loading)
            return self._worker.ask(command, deadline=self._loading, listener=self._listen)

    def _listen(self, event: Progress | Status) -> float:
        assert isinstance(event, Progress), "a worker tells nothing else"
        return self._begin(event.phase, f"the model's {event.phase}", max(MADE_S, self._loading))

    def _begin(self, step: str, what: str, seconds: float) -> float:
        self._step = step
        self._said.close()
        self._said.enter_context(waiting(self._tell, what, seconds))
        return seconds

    def __exit__(self, *_: object) -> None:
        self._worker.close()


def prepared_model(prepared: Prepared, key: str) -> ModelPrepared:
    """The model by its key. Raises why it could not be prepared."""
    found = prepared[key]
    if isinstance(found, HarnessError):
        raise found
    return found


def artifacts(prepared: Prepared) -> Iterable[ArtifactRow]:
    """The files that were made or found, each once."""
    known: dict[str, ArtifactRow] = {}
    for model in (model for model in prepared.values() if isinstance(model, ModelPrepared)):
        known |= {a.path: a for a in model.artifacts if a.path not in known}
    return known.values()


def model_notes(prepared: Prepared, scenario: Scenario) -> Iterator[str]:
    """How each model was read, and where it is served in another type than its own."""
    for key, (_, _, _, specs) in models(scenario).items():
        if isinstance(made := prepared[key], ModelPrepared):
            yield from notes_on(made.model, specs)


Asked = tuple[ModelSpec, list[str], tuple[int, ...], tuple[AnyBackend, ...]]


def models(scenario: Scenario) -> dict[str, Asked]:
    """As in `Prepared`: a model, the formats that it needs, the batch sizes of its loads, and the
    backends that run it.
    """
    backends, batch_sizes = scenario.backends, scenario.load.batch_sizes
    found: dict[str, Asked] = {"": (scenario.model, formats(scenario), batch_sizes, backends)}
    for spec in scenario.backends:
        if not isinstance(spec, ServedSettings):
            continue
        for other in spec.colocated:
            there = other.spec.source.kind == "triton"
            alone = spec.alone(other)
            wanted, batches = [] if there else sorted(alone.formats), (other.load.batch_size,)
            found[f"{spec.name}/{other.name}"] = other.spec, wanted, batches, (alone,)
    return found


def formats(scenario: Scenario) -> list[str]:
    """The formats that the scenario's backends need: see `harness.models.prepare.FORMATS`."""
    if scenario.model.source.kind in ("engine", "triton", "fake"):
        return []
    return sorted(frozenset[str]().union(*(b.formats for b in scenario.backends)))
