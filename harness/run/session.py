"""A session: one backend in one round, with its server and its worker, from start to end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from harness.backends.base import PreparedModel, TensorSpec
from harness.errors import PointError, ServerDiedError
from harness.load.schedule import read_trace
from harness.run.process import Listener, WorkerProcess
from harness.run.rows import ParityRow
from harness.scenario.expand import Point
from harness.scenario.rules import on_cuda
from harness.scenario.schema import AnyBackend, Load, Scenario, TritonBackend
from harness.telemetry.client import Telemetry

SLACK_S = 30.0
"""What a deadline allows beyond the lengths the scenario sets: preparing inputs, saving samples."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the prepare step left: the model, and the references for parity."""

    model: PreparedModel
    reference: str


class Session:
    """A context manager; `open` does the work, so that its failure is a failure of the points."""

    def __init__(
        self, scenario: Scenario, spec: AnyBackend, prepared: Prepared, *, base: Path, logs: Path,
        stem: str, cache: Path, telemetry: Telemetry,
    ) -> None:  # fmt: skip
        self._scenario, self._spec, self._prepared = scenario, spec, prepared
        self._base, self._logs, self._stem, self._cache = base, logs, stem, cache
        self._telemetry = telemetry
        self._stack = contextlib.ExitStack()
        self._server: Any = None
        self._worker: WorkerProcess | None = None
        self.model = prepared.model
        self.server_config = ""
        self._served: Mapping[str, Any] = {}

    # -- life ---------------------------------------------------------------------------------

    def open(self, first_batch: int, listener: Listener) -> dict[str, Any]:
        """Start the server and the worker, load, and make the first call; the `loaded` answer."""
        context = self._start_server() if self._spec.kind == "triton" else {}
        self._worker = WorkerProcess.start(self.log, env=worker_env(self._base))
        self._stack.callback(self._worker.kill)
        root = self._server.pid if self._server else self._worker.pid
        self._telemetry.watch([root], gpu_of(self._spec))
        if self._scenario.model.source.kind == "triton":
            self._describe(context)
        loaded = self._ask(
            "load", self._scenario.measurement.load_timeout, listener,
            backend=self._spec.model_dump(mode="json"), first_batch=first_batch,
            context={
                "model": self.model.to_json(), "cache": str(self._cache), **context,
                "request_timeout": self._scenario.measurement.request_timeout,
                "batch_sizes": list(self._scenario.load.batch_sizes),
            },
        )  # fmt: skip
        if self._served:  # the engine is in the server, so the worker can't know it
            loaded["details"] = {**self._served, **loaded["details"]}
            loaded["bytes_on_disk"] = self._served.get("engine_bytes")
        return loaded

    def close(self) -> None:
        """End worker and server; the worker is asked first, so that it can free its backend."""
        if self._worker is not None and self.alive:
            self._worker.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the worker, and the server if there is one, can still take a point."""
        return self._worker is not None and self._worker.alive and not self._server_ended()

    @property
    def remote(self) -> bool:
        """Whether the load generator runs outside the process that runs the model."""
        return self._spec.kind == "triton"

    @property
    def log(self) -> Path:
        """What the worker printed."""
        return self._logs / f"{self._stem}.log"

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
        longest += 3 * m.request_timeout + SLACK_S
        return self._ask(
            "measure", longest, listener, settings=settings, batch_size=point.batch_size,
            load=load, distinct_inputs=m.distinct_inputs, input_seed=0,
            samples=str(samples),
        )  # fmt: skip

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
        assert isinstance(self._spec, TritonBackend)
        from harness.triton.launch import launch

        served = launch(
            self._spec, self.model, max_batch_size=max(self._scenario.load.batch_sizes),
            base=self._base, log=self._logs / f"{self._stem}-server.log",
            repository=self._logs.parent / "triton" / self._stem, cache=self._cache,
            load_timeout=self._scenario.measurement.load_timeout,
        )  # fmt: skip
        self._server = served.server
        self.server_config, self._served = served.config, served.loaded
        if served.server is not None:
            self._stack.callback(served.server.stop)
        return {
            "server_http": served.http, "server_grpc": served.grpc, "served_name": served.name,
        }  # fmt: skip

    def _describe(self, context: Mapping[str, Any]) -> None:
        """Read the inputs of a model that lives on the server, unless the scenario gives them."""
        assert isinstance(self._spec, TritonBackend)
        url = context[f"server_{self._spec.protocol}"]
        answer = self._ask(
            "describe", self._scenario.measurement.load_timeout, lambda _: None,
            url=url, protocol=self._spec.protocol, name=context["served_name"],
        )  # fmt: skip
        inputs, outputs = (
            tuple(TensorSpec(t["name"], t["dtype"], tuple(t["shape"])) for t in answer[key])
            for key in ("inputs", "outputs")
        )
        self.server_config = str(answer["config"])
        self.model = replace(
            self.model, inputs=self.model.inputs or inputs, outputs=outputs,
            max_batch_size=answer["max_batch_size"],
        )  # fmt: skip

    def _server_ended(self) -> bool:
        return self._server is not None and not self._server.alive()

    def _check_server(self) -> None:
        if self._server_ended():
            if self._worker is not None:
                self._worker.kill()
            raise ServerDiedError(f"the Triton server {self._server.exit_reason()}")


def gpu_of(spec: AnyBackend) -> str | None:
    """The GPU that a backend uses, as scenarios spell it; None on the CPU."""
    if spec.kind == "triton" and spec.serve is None:
        return "cuda"  # who knows what an existing server uses: read it if it is there
    if not on_cuda(spec.model_dump()):
        return None
    return getattr(spec, "device", None) or "cuda"


def settings_and_load(
    scenario: Scenario, point: Point, round_: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """What a worker is told of a point: lengths of warm-up and window, and the load.

    A constant rate is warmed up and measured as a closed loop is. A shape is measured from its
    begin to its end, after a warm-up at the rate it begins with.
    """
    m, load = scenario.measurement, scenario.load
    settings = {
        "warmup": m.warmup, "warmup_requests": m.warmup_requests, "window": m.window,
        "window_requests": m.window_requests, "window_max": m.window_max,
        "request_timeout": m.request_timeout,
    }  # fmt: skip
    if point.concurrency is not None:
        return settings, {"concurrency": point.concurrency}
    asked: dict[str, Any] = {
        "arrivals": load.arrivals, "cv": load.cv, "seed": m.seed * 1000 + round_,
        "max_outstanding": load.max_outstanding, "shed": load.overload == "shed",
    }  # fmt: skip
    if point.request_rate is not None:
        longest = 2 * max(m.warmup, m.window_max) + m.window_max
        asked["segments"] = [(point.request_rate, point.request_rate, longest)]
        return settings, asked
    segments = shape_segments(load)
    if segments is None:
        asked["trace"] = load.trace
        times = read_trace(Path(str(load.trace)))
        length, warmup = float(times[-1]) / 1e9 + 0.1, 0.0
    else:
        length, warmup = sum(s[2] for s in segments), m.warmup
        first = segments[0][0]
        asked["segments"] = ([(first, first, warmup)] if warmup and first else []) + segments
        warmup = warmup if first else 0.0
    settings |= {
        "warmup": warmup, "warmup_requests": 0, "window": length, "window_requests": 0,
        "window_max": length,
    }  # fmt: skip
    return settings, asked


def shape_segments(load: Load) -> list[tuple[float, float, float]] | None:
    """(begin rate, end rate, seconds) of steps or a ramp; None for a trace."""
    if load.steps is not None:
        return [(s.rate, s.rate, s.duration) for s in load.steps]
    if load.ramp is not None:
        return [(load.ramp.begin, load.ramp.end, load.ramp.duration)]
    return None


def worker_env(base: Path) -> dict[str, str]:
    """Environment of a worker: the scenario's folder and the current one can be imported from."""
    paths = [str(base), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(p for p in paths if p))}


def prepare(
    scenario: Scenario, *, base: Path, logs: Path, cache: Path
) -> tuple[Prepared, list[dict[str, Any]]]:
    """Export the model once, in a worker of its own; the prepared model and its artifact events."""
    worker = WorkerProcess.start(logs / "prepare.log", python=sys.executable, env=worker_env(base))
    try:
        answer = worker.ask(
            "prepare", deadline=max(600.0, scenario.measurement.load_timeout),
            model=scenario.model.model_dump(mode="json"), formats=formats(scenario),
            batch_sizes=list(scenario.load.batch_sizes), cache=str(cache), base=str(base),
        )  # fmt: skip
    finally:
        worker.close()
    model = PreparedModel.from_json(answer["model"])
    return Prepared(model, answer["reference"]), answer["artifacts"]


def formats(scenario: Scenario) -> list[str]:
    """The formats that the scenario's backends need: see `harness.models.prepare.FORMATS`."""
    from harness.models.prepare import formats_for

    if scenario.model.source.kind in ("engine", "triton", "fake"):
        return []
    return sorted(set[str]().union(*map(formats_for, scenario.backends)))


__all__ = ["PointError", "Prepared", "Session", "formats", "prepare"]
