"""One model of a session: the measured one, or a co-located one; both live the same life.

It is launched on the server (not where it runs in the worker's own process), called by a worker of
its own, loaded, compared with its reference, put under loads, unloaded and closed. The measured
model's worker warms up and cuts the window itself. A co-located model's load starts before that
and ends after it, so that window and load have nothing to do with each other: what of its requests
counts is cut out afterwards.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.backends.base import ServerAddress
from harness.errors import AFTER_CRASH, CrashedError, WorkerDiedError
from harness.load.plan import LoadPlan, WindowSettings
from harness.models.batch import read_batch
from harness.models.tensors import PreparedModel
from harness.results.events import Progress, Status
from harness.results.rows import ParityRow
from harness.run.limited import Limited
from harness.run.waiting import BUILD_KEY, LOAD_KEY, waiting
from harness.run.worker import messages
from harness.run.worker.messages import A, Command, ModelPrepared
from harness.run.worker.process import Check, Listener, WorkerProcess
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.colocated import ColocatedModel
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import Parity
from harness.system.child import CRASH
from harness.triton.client.settings import TritonSettings
from harness.triton.repository.engine import said
from harness.triton.server.strings import check_strings

if TYPE_CHECKING:
    from harness.triton.launch import Served, Sharing
    from harness.triton.server.process import TritonServer

SLACK_S = 30.0
"""What a deadline allows beyond the lengths the scenario sets: preparing inputs, saving samples."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a session finds and leaves its files."""

    base: Path
    """The scenario's folder."""
    logs: Path
    cache: Path
    stem: str
    """What logs and the model repository are named after."""

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.logs.parent

    @property
    def repository(self) -> Path:
        """Where the harness writes the models of the session's server."""
        return self.run / "triton" / self.stem

    def log(self, whose: str = "") -> Path:
        """What a process of the session printed."""
        return self.logs / f"{self.stem}{whose}.log"


@dataclass(slots=True)
class ServedModel:
    """What the scenario says of a model, and what became of it in this session.

    Everything that asks the worker raises what the worker reports, and what `check` raises.
    """

    spec: AnyBackend
    """As the backend that it would be alone."""
    prepared: ModelPrepared
    rule: Parity
    batch_sizes: tuple[int, ...]
    measurement: Measurement
    folders: Folders
    check: Check
    """Called while a worker is waited for: raises when the server died."""
    colocated: ColocatedModel | None = None
    """As the scenario says it; None for the measured model."""
    label: str = ""
    """Its name in rows: that of the backend, with `+NAME` for a co-located one."""
    limited: Limited = field(default_factory=Limited)
    """What the processes that run it may hold."""
    served: Served | None = field(default=None, init=False)
    loaded: messages.BackendLoaded | None = field(default=None, init=False)
    flags: tuple[str, ...] = field(default=(), init=False)
    """That hold for all of its measurements in this session."""
    config: str = field(default="", init=False)
    """The model configuration that it is served with, as protobuf text."""
    worker: WorkerProcess | None = field(default=None, init=False)
    """The process that calls it."""
    processes: int = field(default=1, init=False)
    """Over how many processes its wire client is spread at the next load."""

    @property
    def name(self) -> str:
        """Of a co-located model, as the scenario says it; empty for the measured one."""
        return self.colocated.name if self.colocated is not None else ""

    @property
    def alive(self) -> bool:
        """Whether the worker can be asked."""
        return self.worker is not None and self.worker.alive

    @property
    def directory(self) -> str:
        """Its model directory relative to the run directory; empty where it is not in there."""
        path = self.served.directory if self.served is not None else None
        if path is None or not path.is_relative_to(self.folders.run):
            return ""
        return str(path.relative_to(self.folders.run))

    @property
    def notes(self) -> list[str]:
        """What the server, or the worker, does differently than the scenario asks."""
        served = self.served.notes if self.served is not None else ()
        said = None if self.loaded is None else self.loaded.details.get("note")
        return [*served, *([str(said)] if said else [])]

    # -- life ---------------------------------------------------------------------------------

    def launch(
        self, sharing: Sharing | None, before_load: Callable[[TritonServer], None] | None = None,
        listener: Listener = lambda _: None,
    ) -> Served:  # fmt: skip
        """Serve it: on a server that runs already, or on one that is started for it."""
        from harness.triton.launch import launch

        assert isinstance(self.spec, TritonSettings)
        builds = self.spec.serve == "tensorrt"  # an engine, if the cache has none
        loading = self.measurement.load_timeout + builds * self.measurement.build_timeout
        limit = self.spec.server.start_timeout + loading
        words = f"{self.label} to be loaded by its server"
        with self.limited.watched(), waiting(listener, words, limit):
            self.served = launch(
                self.spec, self.prepared.model, max_batch_size=max(self.batch_sizes),
                base=self.folders.base, log=self.folders.log("-server"),
                repository=self.folders.repository, cache=self.folders.cache,
                load_timeout=loading, sharing=sharing,
                before_load=before_load or (lambda _: None), prefix=self.limited.prefix,
            )  # fmt: skip
        self.config = self.served.config
        return self.served

    def load(self, first_batch: int, listener: Listener) -> messages.BackendLoaded:
        """Bind the worker to the model and make the first call."""
        served = self.served
        server = ServerAddress() if served is None else served.address
        model = self._model(server)
        if isinstance(self.spec, TritonSettings):
            check_strings(self.spec, self.config, model.inputs)
        command = messages.LoadBackend(
            self.spec, model, first_batch, self.batch_sizes,
            self.measurement.request_timeout, self.folders.cache, server, self.rule,
        )  # fmt: skip
        try:
            loaded = self._loading(f"{self.label} to load", command, listener)
        except WorkerDiedError as error:
            raise self._ended(error) from None
        if served is not None:  # it is in the server: the worker can't know it
            facts = map(dict, (loaded.details, served.engine, *said(served.directory)))
            size, took = served.engine_bytes or loaded.bytes_on_disk, served.load_seconds
            loaded = replace(loaded, seconds=took, bytes_on_disk=size, details={**ChainMap(*facts)})
        self.loaded = loaded
        return loaded

    def _ended(self, error: WorkerDiedError) -> WorkerDiedError:
        """With the runtime and its file, where its own code ended the worker."""
        if CRASH not in error.message or self.spec.remote:
            return error
        model, which = self.prepared.model, self.spec.formats
        file = " or ".join(file for f, file in model.files.items() if f in which) or model.name
        message = f"{self.spec.kind} itself crashed while it loaded {file}: {error.message}"
        return CrashedError(message, fix=AFTER_CRASH)

    def _model(self, server: ServerAddress) -> PreparedModel:
        """The model; one that lives on the server is as that says, but for inputs that the
        scenario gives.
        """
        model = self.prepared.model
        if not isinstance(self.spec, TritonSettings) or not model.source.get("triton"):
            return model
        there = self._ask(messages.DescribeModel(self.spec, server), self.measurement.load_timeout)
        self.config = there.config
        inputs, outputs = there.inputs, there.outputs
        if model.batch is not None:
            reading = read_batch(model.name, inputs, outputs, model.batch, model.dynamic)
            inputs, outputs = reading.inputs, reading.outputs
        return replace(
            model, inputs=model.inputs or inputs, outputs=outputs,
            max_batch_size=there.max_batch_size,
        )  # fmt: skip

    def compare(self, batch_sizes: Sequence[int], listener: Listener) -> list[ParityRow]:
        """Compare its outputs with its own reference."""
        command = messages.CompareOutputs(self.rule, tuple(batch_sizes), self.prepared.reference)
        rows = self._loading(f"{self.label}'s outputs", command, listener).rows
        return [replace(row, backend=self.label) for row in rows]

    def unload(self, server: TritonServer | None) -> None:
        """Free it in its worker, which another model can have then, and on a server of ours."""
        self._ask(messages.UnloadBackend(), SLACK_S)
        if server is not None and self.served is not None:
            from harness.triton.repository.change import finalizes

            directory = self.served.directory
            at_once = directory is not None and not finalizes(directory)
            server.unload(self.served.address.name, at_once=at_once)

    # -- load ---------------------------------------------------------------------------------

    def measure(
        self, batch_size: int, settings: WindowSettings, plan: LoadPlan, samples: Path,
        listener: Listener, *, again: bool = False,
    ) -> messages.PointMeasured:  # fmt: skip
        """Warm up and measure a window; raw samples go to the .npz file `samples`. With the very
        requests of the load before where it is that one `again`.
        """
        m = self.measurement
        plan = replace(plan, processes=self.processes)
        command = messages.MeasurePoint(
            plan, settings, batch_size, m.distinct_inputs, samples, again
        )  # fmt: skip
        deadline = settings.longest + 3 * m.request_timeout + SLACK_S
        return self._ask(command, deadline, listener)

    def start(self, batch_size: int, plan: LoadPlan) -> None:
        """Begin a load that goes on; returns when requests flow."""
        m = self.measurement
        plan = replace(plan, processes=self.processes)
        command = messages.StartLoad(plan, batch_size, m.distinct_inputs, m.request_timeout)
        self._ask(command, SLACK_S + m.request_timeout)

    def stop(self, samples: Path) -> messages.PointMeasured:
        """End that load. Raises what ended it early."""
        return self._ask(messages.StopLoad(samples), SLACK_S + 3 * self.measurement.request_timeout)

    def ceiling(self, slots: int) -> messages.CeilingMeasured:
        """What the generator reaches with the latest load's requests against a null server."""
        return self._ask(messages.MeasureCeiling(slots, self.processes), SLACK_S)

    def _loading(self, what: str, command: Command[A], listener: Listener) -> A:
        """Ask for what has `load_timeout`; an engine that is built on the way has its own limit."""
        limits = self.measurement
        steps = {
            "load": (what, limits.load_timeout, LOAD_KEY),
            "build": (f"{self.label}'s engine to be built", limits.build_timeout, BUILD_KEY),
        }
        with ExitStack() as said:

            def begin(event: Progress | Status) -> float | None:
                if not isinstance(event, Progress) or event.phase not in steps:
                    return listener(event)
                _, seconds, key = step = steps[event.phase]
                said.close()
                said.enter_context(waiting(listener, *step))
                assert self.worker is not None
                self.worker.limit = key.partition(".")[2]
                return seconds

            begin(Progress("load", 0, 0.0))
            return self._ask(command, limits.load_timeout, begin)

    def _ask(self, command: Command[A], deadline: float, listener: Listener | None = None) -> A:
        assert self.worker is not None
        with self.limited.watched():
            return self.worker.ask(command, deadline=deadline, listener=listener, check=self.check)
