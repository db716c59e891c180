"""A session: one backend in one round, with its server and its worker, from start to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from harness.backends.registry import message_of
from harness.errors import HarnessError, ServerDiedError
from harness.load.plan import settings_and_load
from harness.results.rows import ParityRow
from harness.run.session.colocated import SLACK_S, Companion, all_alive, described
from harness.run.session.preparing import Prepared
from harness.run.session.shared import Shared
from harness.run.worker.process import Listener, WorkerProcess
from harness.scenario.points import Point
from harness.scenario.spec.scenario import (
    AnyBackend,
    ColocatedModel,
    Scenario,
    ServedSettings,
    Server,
)
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.paths import worker_env
from harness.telemetry.client import Telemetry
from harness.triton.client.settings import TritonSettings

if TYPE_CHECKING:
    from harness.triton.launch import Sharing
    from harness.triton.server.process import TritonServer

BASELINE_S = 0.02
"""How long the device is read before a server starts: a few readings of its memory."""


class Session:
    """A context manager; `open` does the work, so that its failure is a failure of the points."""

    def __init__(
        self, scenario: Scenario, spec: AnyBackend, prepared: Prepared, *, base: Path, logs: Path,
        stem: str, cache: Path, telemetry: Telemetry, config: str = DEFAULT_CONFIG,
        shared: Shared | None = None,
    ) -> None:  # fmt: skip
        self._scenario, self._spec, self._prepared = scenario, spec, prepared
        self._base, self._logs, self._cache = base, logs, cache
        self._stem = stem if shared is None else shared.stem
        self._telemetry, self.config, self._shared = telemetry, config, shared
        self._opened = False
        self._stack = contextlib.ExitStack()
        self._server: Any = None
        self._worker: WorkerProcess | None = None
        self.model = prepared.model
        self.server_config = ""
        self.notes: tuple[str, ...] = ()
        """What the server was given differently than the scenario asks."""
        self.model_directory: Path | None = None
        self._served: Mapping[str, Any] = {}
        self._served_name = ""
        self._others: list[Companion] = []
        self.telemetry_file = ""
        """Where its readings will be, relative to the run directory."""
        self.empty_for = 0.0
        """Seconds for which a server that is started is watched before it loads a model."""
        self.empty_ns: tuple[int, int] | None = None
        """When that was, monotonic ns."""
        self.stages_ns: dict[str, int] = {}
        """When the stages of bringing a server up ended: see `harness.telemetry.stages`."""

    # -- life ---------------------------------------------------------------------------------

    def open(self, first_batch: int, listener: Listener) -> dict[str, Any]:
        """Start the server and the worker, load, and make the first call; the `loaded` answer."""
        context = self._start_server() if self._spec.remote else {}
        self._worker = self._start_worker()
        if not isinstance(self._spec, ServedSettings):
            self._telemetry.watch([self._worker.pid], gpu_of(self._spec))
        elif self._server is None:
            self._watch_elsewhere(self._spec.server)
        if self._scenario.model.source.kind == "triton":
            self._describe(context)
        loaded = self._ask(
            "load", self._scenario.measurement.load_timeout, listener,
            backend=message_of(self._spec), first_batch=first_batch,
            context={
                "model": self.model.to_json(), "cache": str(self._cache), **context,
                "request_timeout": self._scenario.measurement.request_timeout,
                "batch_sizes": list(self._scenario.load.batch_sizes),
            },
        )  # fmt: skip
        if self._served:  # the engine is in the server, so the worker can't know it
            loaded["details"] = {**self._served, **loaded["details"]}
            loaded["bytes_on_disk"] = self._served.get("engine_bytes")
        others = self._open_others(listener)
        loaded["details"] |= {"colocated": others} if others else {}
        self._opened = True
        return loaded

    def _open_others(self, listener: Listener) -> dict[str, Any]:
        """Bind the workers of the co-located models; facts about each for the `loaded` row."""
        return {
            other.name: other.open(
                self._scenario.measurement, self._cache, listener, self._check_server
            )
            | self._directory_of(other)
            for other in self._others
        }

    def _directory_of(self, other: Companion) -> dict[str, Any]:
        """Where its model directory is, if the run has it."""
        directory, run = other.served.directory, self._logs.parent
        if directory is None or not directory.is_relative_to(run):
            return {}
        return {"model_directory": str(directory.relative_to(run))}

    def close(self) -> None:
        """End worker and server; the worker is asked first, so that it can free its backend.

        What a bench holds is left for its next session, without this one's model, if it is well.
        """
        if self._shared is not None:
            self._give_back(self._shared)
        elif self._worker is not None and self.alive:
            for worker in (*(other.worker for other in self._others), self._worker):
                worker.close()
        self._stack.close()

    def _give_back(self, shared: Shared) -> None:
        try:
            if not (self._opened and self.alive):
                shared.close()
                return
            self._ask("unload", SLACK_S, lambda _: None)
            for other in self._others:
                other.worker.ask("unload", deadline=SLACK_S, check=self._check_server)
            if shared.server is not None:
                for name, directory in self._loaded_models():
                    at_once = _nothing_to_finalize(directory)
                    shared.server.unload(name, at_once=at_once)
        except HarnessError:  # a new server serves the next config
            shared.close()

    def _loaded_models(self) -> list[tuple[str, Path | None]]:
        """Served names and directories of this session's models."""
        others = [(other.served.name, other.served.directory) for other in self._others]
        return [(self._served_name, self.model_directory), *others]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._opened = self._opened and kind is None
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the worker, and the server if there is one, can still take a point."""
        here = self._worker is not None and self._worker.alive and all_alive(self._others)
        return here and not self._server_ended()

    @property
    def remote(self) -> bool:
        """Whether the load generator runs outside the process that runs the model."""
        return self._spec.remote

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self._logs / f"{self._stem}.log"

    def _start_worker(self) -> WorkerProcess:
        if self._shared is not None and self._shared.worker is not None:
            return self._shared.worker
        worker = WorkerProcess.start(self.log, env=worker_env(self._base))
        if self._shared is not None:
            self._shared.worker = worker
        else:
            self._stack.callback(worker.kill)
        return worker

    # -- work ---------------------------------------------------------------------------------

    def parity(self, batch_sizes: Sequence[int], listener: Listener) -> list[ParityRow]:
        """Compare the backend's outputs with the reference."""
        answer = self._ask(
            "parity", self._scenario.measurement.load_timeout, listener,
            parity=self._scenario.model.parity.model_dump(), batch_sizes=list(batch_sizes),
            reference=self._prepared.reference,
        )  # fmt: skip
        return [ParityRow.from_event(row) for row in answer["rows"]]

    def measure(
        self, point: Point, round_: int, samples: Path, listener: Listener
    ) -> dict[str, Any]:
        """Measure one point; raw samples go to the .npz file `samples`."""
        m = self._scenario.measurement
        settings, load = settings_and_load(self._scenario, point, round_)
        longest = 2 * max(settings["warmup"], settings["window_max"]) + settings["window_max"]
        with self._loaded_colocated(round_, longest + SLACK_S, samples) as colocated:
            answer = self._ask(
                "measure", longest + 3 * m.request_timeout + SLACK_S, listener, settings=settings,
                batch_size=point.batch_size, load=load, distinct_inputs=m.distinct_inputs,
                input_seed=0, samples=str(samples),
            )  # fmt: skip
        return {**answer, "colocated": colocated}

    @contextlib.contextmanager
    def _loaded_colocated(
        self, round_: int, longest: float, samples: Path
    ) -> Iterator[dict[str, dict[str, Any]]]:
        """Keep the co-located models under their loads; fills in their answers when that ends.

        Their samples go to files named after `samples`: see `colocated_samples`.
        """
        m, check = self._scenario.measurement, self._check_server
        running: list[Companion] = []
        found: dict[str, dict[str, Any]] = {}
        try:
            for other in self._others:
                running.append(other)
                other.start(m, round_, longest, check)
            yield found
        except BaseException:
            for other in running:
                with contextlib.suppress(HarnessError):
                    other.stop(m, colocated_samples(samples, other.name), check)
            raise
        failed: list[HarnessError] = []
        for other in self._others:  # each load ends, whatever becomes of the others
            try:
                found[other.name] = other.stop(m, colocated_samples(samples, other.name), check)
            except HarnessError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    @property
    def colocated(self) -> list[Companion]:
        """The co-located models, opened."""
        return self._others

    def colocated_parity(self, other: Companion, listener: Listener) -> list[ParityRow]:
        """Compare the outputs of a co-located model with its reference."""
        timeout = self._scenario.measurement.load_timeout
        rows = other.parity(timeout, listener, self._check_server)
        return [replace(row, backend=f"{self._spec.name}+{other.name}") for row in rows]

    def ceiling(self, slots: int) -> dict[str, Any]:
        """What the generator reaches with the latest point's requests against a null server."""
        return self._ask("ceiling", SLACK_S, lambda _: None, slots=slots)

    @property
    def spec(self) -> AnyBackend:
        """The backend's settings."""
        return self._spec

    def _ask(
        self, do: str, deadline: float, listener: Listener, **arguments: Any
    ) -> dict[str, Any]:
        assert self._worker is not None
        return self._worker.ask(
            do, deadline=deadline, listener=listener, check=self._check_server, **arguments
        )

    # -- Triton -------------------------------------------------------------------------------

    def _start_server(self) -> dict[str, Any]:
        """Start or find the server; the part of the worker's context that says where it is."""
        assert isinstance(self._spec, TritonSettings)
        from harness.triton.launch import launch

        self._telemetry.watch([], gpu_of(self._spec))  # the device as it is before
        time.sleep(BASELINE_S)
        self.stages_ns["baseline"] = time.monotonic_ns()
        served = launch(
            self._spec, self.model, max_batch_size=max(self._scenario.load.batch_sizes),
            base=self._base, log=self._logs / f"{self._stem}-server.log",
            repository=self._logs.parent / "triton" / self._stem, cache=self._cache,
            load_timeout=self._scenario.measurement.load_timeout, before_load=self._watch_empty,
            sharing=self._sharing(),
        )  # fmt: skip
        self._server = served.server
        self.server_config, self._served = served.config, served.loaded
        self.notes, self.model_directory = served.notes, served.directory
        self._served_name = served.name
        if self._shared is not None:
            self._shared.server = served.server
        elif served.server is not None:
            self._stack.callback(served.server.stop)
        self._stack.callback(served.release)
        self._others = [self._serve_colocated(i, o) for i, o in enumerate(self._spec.colocated)]
        if served.server is not None:
            self.stages_ns["weights"] = time.monotonic_ns()
        return {
            "server_http": served.http, "server_grpc": served.grpc, "served_name": served.name,
            "server_metrics": served.metrics,
        }  # fmt: skip

    def _serve_colocated(self, index: int, other: ColocatedModel) -> Companion:
        """Load a co-located model on the server, and start the worker that will call it."""
        assert isinstance(self._spec, TritonSettings)
        from harness.triton.launch import Sharing, launch

        spec = self._spec.alone(other)
        prepared = self._prepared.colocated[f"{self._spec.name}/{other.name}"]
        served = launch(
            spec, prepared.model, max_batch_size=other.load.batch_size, base=self._base,
            log=self._logs / f"{self._stem}-server.log",
            repository=self._logs.parent / "triton" / self._stem, cache=self._cache,
            load_timeout=self._scenario.measurement.load_timeout,
            sharing=Sharing(self.config, self._server),
        )  # fmt: skip
        self._stack.callback(served.release)
        self.notes += tuple(f"{other.name}: {note}" for note in served.notes)
        return Companion(
            other, spec, prepared.model, prepared.reference, served,
            self._worker_colocated(other.name), index,
        )  # fmt: skip

    def _worker_colocated(self, name: str) -> WorkerProcess:
        if self._shared is not None and name in self._shared.others:
            return self._shared.others[name]
        log = self._logs / f"{self._stem}-colocated-{name}.log"
        worker = WorkerProcess.start(log, env=worker_env(self._base))
        if self._shared is not None:
            self._shared.others[name] = worker
        else:
            self._stack.callback(worker.kill)
        return worker

    def _sharing(self) -> Sharing | None:
        """The bench's server, if one runs that fits; None for a server with one model alone."""
        assert isinstance(self._spec, TritonSettings)
        if self._shared is None and not self._spec.colocated:
            return None
        from harness.triton.launch import Sharing

        if self._shared is None:
            return Sharing(self.config, None)
        running = self._shared.fitting(self._spec.environment)
        if running is not None:
            self._watch(running)
        return Sharing(self.config, running)

    def _watch_empty(self, server: TritonServer) -> None:
        """Watch a server that has no model yet; for a while, where that is asked for."""
        self._watch(server)
        if self.empty_for:
            begin = time.monotonic_ns()
            time.sleep(self.empty_for)
            self.empty_ns = begin, time.monotonic_ns()
            self.stages_ns["context"] = self.empty_ns[1]

    def _watch(self, server: TritonServer) -> None:
        self._telemetry.watch([server.pid], gpu_of(self._spec), itself=True, keep=True)
        self.stages_ns["context"] = time.monotonic_ns()

    def _watch_elsewhere(self, settings: Server) -> None:
        """Watch a server that is not ours: by the telemetry beside it, or where it is found here.

        Otherwise its memory is not known; that of this host would be the wrong one.
        """
        if settings.telemetry is not None:
            from harness.telemetry.remote import RemoteTelemetry

            remote = RemoteTelemetry(settings.telemetry)
            self._stack.callback(remote.close)
            self._served = {**self._served, "server_host": remote.about}
            self._telemetry.watch([], remote=remote)
            return
        from harness.telemetry.locate import server_pid

        pid = server_pid(str(settings.url))
        here = [] if pid is None else [pid]
        self._telemetry.watch(here, gpu_of(self._spec) if here else None, itself=True)

    def _describe(self, context: Mapping[str, Any]) -> None:
        """Read the inputs of a model that lives on the server, unless the scenario gives them."""
        assert isinstance(self._spec, TritonSettings)
        url = context[f"server_{self._spec.protocol}"]
        answer = self._ask(
            "describe", self._scenario.measurement.load_timeout, lambda _: None,
            url=url, protocol=self._spec.protocol, name=context["served_name"],
            backend=message_of(self._spec),
        )  # fmt: skip
        self.server_config = str(answer["config"])
        self.model = described(self.model, answer)

    def _server_ended(self) -> bool:
        return self._server is not None and not self._server.alive()

    def _check_server(self) -> None:
        if self._server_ended():
            if self._worker is not None:
                self._worker.kill()
            raise ServerDiedError(f"the Triton server {self._server.exit_reason()}")


def _nothing_to_finalize(directory: Path | None) -> bool:
    from harness.triton.repository.change import finalizes

    return directory is not None and not finalizes(directory)


def colocated_samples(samples: Path, name: str) -> Path:
    """Where the samples of a co-located model go, given those of the measured model."""
    return samples.with_name(f"{samples.name}+{name}.npz")


def gpu_of(spec: AnyBackend) -> str | None:
    """The GPU that a backend uses, as scenarios spell it; None on the CPU."""
    if isinstance(spec, ServedSettings) and spec.serve is None:
        return "cuda"  # who knows what an existing server uses: read it if it is there
    if not spec.on_gpu:
        others = spec.colocated if isinstance(spec, ServedSettings) else ()
        devices = (o.device for o in others if o.device not in (None, "cpu"))
        return next(devices, None)
    return getattr(spec, "device", None) or "cuda"
