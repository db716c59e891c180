"""A session: one config of a backend in one round, its server and workers, from start to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import HarnessError, ServerDiedError
from harness.load.plan import LoadPlan, WindowSettings, plan_colocated, plan_point
from harness.run.environments import Interpreter
from harness.run.limited import Limited
from harness.run.session.preparing import Prepared, prepared_model
from harness.run.session.served_model import SLACK_S, Folders, ServedModel
from harness.run.session.shared import Shared
from harness.run.session.spare import Spare
from harness.run.session.watch import ProcessWatch, gpu_place
from harness.run.worker.messages import PointMeasured
from harness.run.worker.process import Listener, WorkerProcess, start_worker
from harness.scenario.points import Point
from harness.scenario.sizes import Part, parts_of
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.environment import worker_env
from harness.telemetry.client import Telemetry

if TYPE_CHECKING:
    from harness.triton.launch import Sharing
    from harness.triton.server.process import TritonServer


class Session(contextlib.AbstractContextManager["Session"]):
    """A context manager; `open` does the work, so that its failure is a failure of the points."""

    def __init__(
        self, scenario: Scenario, spec: AnyBackend, prepared: Prepared, *, base: Path, logs: Path,
        stem: str, cache: Path, telemetry: Telemetry, config: str = DEFAULT_CONFIG,
        shared: Shared | None = None, interpreter: Interpreter | HarnessError | None = None,
        limited: Limited | None = None, spare: Spare | None = None,
    ) -> None:  # fmt: skip
        self._scenario, self.spec, self._spare = scenario, spec, spare
        self._folders = Folders(base, logs, cache, stem if shared is None else shared.stem)
        self.config, self._shared, self._interpreter = config, shared, interpreter
        self.watch = ProcessWatch(telemetry, spec)
        self._opened = False
        self._stack = contextlib.ExitStack()
        self._server: TritonServer | None = None
        self.limited = limited or (Limited() if shared is None else shared.limited)
        """What its processes that run the model may hold."""
        measurement = scenario.measurement
        self.measured = ServedModel(
            spec, prepared_model(prepared, ""), scenario.model.parity, scenario.load.batch_sizes,
            measurement, self._folders, self._check_server, label=spec.name, limited=self.limited,
        )  # fmt: skip
        self.colocated: list[ServedModel] = []
        if isinstance(spec, ServedSettings):
            self.colocated = [
                ServedModel(
                    spec.alone(other), prepared_model(prepared, f"{spec.name}/{other.name}"),
                    other.spec.parity, (other.load.batch_size,), measurement, self._folders,
                    self._check_server, other, f"{spec.name}+{other.name}", self.limited,
                )
                for other in spec.colocated
            ]  # fmt: skip
        self.telemetry_file = ""
        """Where its readings will be, relative to the run directory."""

    @property
    def models(self) -> list[ServedModel]:
        """All of its models, the measured one first."""
        return [self.measured, *self.colocated]

    @property
    def notes(self) -> list[str]:
        """What was done differently than the scenario asks."""
        return [
            f"{model.name}: {note}" if model.name else note
            for model in self.models
            for note in model.notes
        ]

    @property
    def alive(self) -> bool:
        """Whether the workers, and the server if there is one, can still take a point."""
        return all(model.alive for model in self.models) and not self._server_ended()

    @property
    def remote(self) -> bool:
        """Whether the load generator runs outside the process that runs the model."""
        return self.spec.remote

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self._folders.log()

    # -- life ---------------------------------------------------------------------------------

    def open(self, first_batch: int, listener: Listener) -> None:
        """Start the server and the workers, load, and make the first calls."""
        self.start(listener)
        self.load(first_batch, listener)

    def start(self, listener: Listener = lambda _: None) -> None:
        """Start the server, which loads its models then, and the workers."""
        self._stack.callback(self.watch.close)
        if self._shared is None:
            self._stack.enter_context(self.limited)
        self.limited.enforce(self.spec, gpu_place(self.spec), worker_env(self._folders.base))
        if self.remote:
            self._launch(listener)
        for model in self.models:
            model.worker = self._start_worker(model.name)
        if not isinstance(self.spec, ServedSettings):
            assert self.measured.worker is not None
            self.watch.worker(self.measured.worker.pid)
        elif self._server is None:
            self.watch.elsewhere(self.spec.server)

    def load(self, first_batch: int, listener: Listener) -> None:
        """Have the workers load, and make the first calls."""
        self.measured.load(first_batch, listener)
        for other in self.colocated:
            other.load(other.batch_sizes[0], listener)
        self._opened = True

    def _launch(self, listener: Listener) -> None:
        """Start or find the server, and have every model loaded on it."""
        from harness.triton.launch import Sharing

        self.watch.baseline()
        served = self.measured.launch(self._sharing(), self.watch.empty_server, listener)
        self._server = served.server
        if self._shared is not None:
            self._shared.server = served.server
        elif served.server is not None:
            self._stack.callback(served.server.stop)
        self._stack.callback(served.release)
        for other in self.colocated:
            served = other.launch(Sharing(self.config, self._server), None, listener)
            self._stack.callback(served.release)
        if self._server is not None:
            self.watch.stages_ns["weights"] = time.monotonic_ns()

    def _sharing(self) -> Sharing | None:
        """The shared server, if one runs that fits; None for a server with one model alone."""
        from harness.triton.launch import Sharing

        assert isinstance(self.spec, ServedSettings)
        if self._shared is None:
            return Sharing(self.config, None) if self.colocated else None
        running = self._shared.fitting(self.spec.variables)
        if running is not None:
            self.watch.server(running)
        return Sharing(self.config, running)

    def _start_worker(self, name: str) -> WorkerProcess:
        """The worker of a model by its name: the shared one, or one that ends with the session."""
        workers = {} if self._shared is None else self._shared.workers
        if name not in workers:
            log = self._folders.log(f"-colocated-{name}" if name else "")
            plain = self.remote and self._interpreter is None
            limited = None if self.remote else self.limited
            workers[name] = (
                (self._spare.take(log) if plain and self._spare is not None else None)
                or start_worker(log, self._folders.base, self._interpreter, limited)
            )  # fmt: skip
            if self._shared is None:
                self._stack.callback(workers[name].kill)
        return workers[name]

    def close(self) -> None:
        """End workers and server; workers are asked first, so that they can free their backends.

        What is shared is left for the next session, without this one's models, if it is well.
        """
        if self._shared is not None:
            self._give_back(self._shared)
        elif self.alive:
            for model in reversed(self.models):
                assert model.worker is not None
                model.worker.close()
        self._stack.close()

    def _give_back(self, shared: Shared) -> None:
        try:
            if not (self._opened and self.alive):
                shared.close()
                return
            for model in self.models:
                model.unload(shared.server)
        except HarnessError:  # a new server serves the next config
            shared.close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._opened = self._opened and kind is None
        self.close()

    def _server_ended(self) -> bool:
        return self._server is not None and not self._server.alive()

    def _check_server(self) -> None:
        if self._server is not None and self._server_ended():
            if self.measured.worker is not None:
                self.measured.worker.kill()
            raise ServerDiedError(f"the Triton server {self._server.exit_reason()}")

    def settings(self, point: Point, round_: int) -> WindowSettings:
        """How long a point's warm-up and window are to last."""
        return plan_point(self._scenario, point, round_)[0]

    def parts(self, point: Point) -> tuple[Part, ...]:
        """The sizes of a point's requests, with their shares."""
        return parts_of(self._scenario.model.dynamic)[point.sizes]

    # -- work ---------------------------------------------------------------------------------

    def measure(
        self, point: Point, round_: int, files: Mapping[str, Path], listener: Listener, *,
        settings: WindowSettings | None = None, again: bool = False,
    ) -> list[PointMeasured]:  # fmt: skip
        """Measure one point: what each of `models` did, in their order. Raw samples go to the .npz
        files named in `files`, by the model's name.

        With `settings` other than planned where they are given; a further turn of the point before
        where it is that one `again`.
        """
        planned, plan = plan_point(self._scenario, point, round_)
        settings = settings or planned
        with under_load(self._loads(round_, settings.longest + SLACK_S, files)) as stopped:
            measured = self.measured.measure(
                point.batch_size, settings, plan, files[self.measured.name], listener, again=again
            )
        return [measured, *stopped]

    def _loads(self, round_: int, longest: float, files: Mapping[str, Path]) -> Iterator[Running]:
        """The co-located models with their loads, which may go on for so many seconds."""
        seed = self._scenario.measurement.seed
        for index, other in enumerate(self.colocated):
            assert other.colocated is not None
            plan = plan_colocated(other.colocated.load, seed, round_, index, longest)
            yield Running(other, other.batch_sizes[0], plan, files[other.name])


class Running(NamedTuple):
    """A model, the load that it is under while another is measured, and where its samples go."""

    model: ServedModel
    batch_size: int
    plan: LoadPlan
    samples: Path


@contextlib.contextmanager
def under_load(loads: Iterable[Running]) -> Iterator[list[PointMeasured]]:
    """Keep models under their loads; fills in their answers when that ends."""
    running: list[Running] = []
    stopped: list[PointMeasured] = []
    try:
        for load in loads:
            running.append(load)
            load.model.start(load.batch_size, load.plan)
        yield stopped
    except BaseException:
        for load in running:
            with contextlib.suppress(HarnessError):
                load.model.stop(load.samples)
        raise
    failed: list[HarnessError] = []
    for load in running:  # each load ends, whatever becomes of the others
        try:
            stopped.append(load.model.stop(load.samples))
        except HarnessError as error:
            failed.append(error)
    if failed:
        raise failed[0]
