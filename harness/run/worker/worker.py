"""The worker: a child process that runs one backend and speaks one JSON message a line.

Started as `python -m harness.run.worker.worker IN OUT` with two pipe descriptors of its own;
stdout and stderr are logs, so a chatty library can't break the protocol. It needs numpy, pydantic
and the runtime it measures. Commands (`do`) and answers (`event`):

    prepare  → prepared    export the model, check it, write the reference outputs
    describe → described   inputs of a model that lives on a Triton server
    load     → loaded      import and load the backend, make the first call
    parity   → parity      outputs against the reference
    measure  → progress…, measured
    start    → started     begin a load that goes on while another worker measures
    stop     → stopped     end that load; its samples
    ceiling  → ceiling     what the generator reaches with the latest requests, by a null server
    unload   → unloaded    free the backend; another can be loaded
    close    → closed
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.backends.base import Backend, BackendContext, run_once
from harness.errors import BackendError, HarnessError, MissingPackageError, OutOfMemoryError
from harness.models.tensors import PreparedModel, Tensors
from harness.results.samples import Int64
from harness.system.credentials import redact, redact_all

if TYPE_CHECKING:
    from harness.load.generator import Generator
    from harness.measure.window import Window, WindowSettings
    from harness.results.samples import Samples

COMMANDS = (
    "prepare", "describe", "load", "parity", "measure", "start", "stop", "ceiling", "unload",
    "close",
)  # fmt: skip
OUTPUTS_CHECKED = 1
"""Distinct requests whose outputs under load are compared, in each measurement."""
Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Running:
    """A load that was started and goes on."""

    generator: Generator
    message: dict[str, Any]
    """The command that started it."""
    since: tuple[float, float]
    """Monotonic and this process's CPU seconds at its start."""


class Worker:
    """The state between commands: one loaded backend."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._backend: Backend | None = None
        self._context: BackendContext | None = None
        self._spec: Any = None
        self._quiet: dict[tuple[int, int], Tensors] = {}
        self._requests: list[Any] = []
        """Those of the latest measurement."""
        self._running: Running | None = None

    def handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command and return the answer."""
        command = message["do"]
        if command not in COMMANDS:
            raise BackendError(f"unknown command {command!r}")
        answer: dict[str, Any] = getattr(self, f"_{command}")(message)
        return answer

    # -- commands -----------------------------------------------------------------------------

    def _prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.models.parity import write_references
        from harness.models.prepare import prepare
        from harness.scenario.spec.scenario import ModelSpec

        spec = ModelSpec.model_validate_json(json.dumps(message["model"]))
        cache = Path(message["cache"])
        model, artifacts = prepare(
            spec, message["formats"], message["batch_sizes"], cache, base=Path(message["base"])
        )
        reference = write_references(model, spec.parity, message["batch_sizes"], cache)
        return {
            "event": "prepared", "model": model.to_json(), "reference": str(reference),
            "artifacts": [row.to_event() for row in artifacts],
        }  # fmt: skip

    def _describe(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.backends.registry import from_message
        from harness.scenario.spec.scenario import ServedSettings
        from harness.scenario.spec.server import access_of
        from harness.triton.repository.write import describe

        spec = from_message(message["backend"])
        assert isinstance(spec, ServedSettings)
        inputs, outputs, max_batch_size, config = describe(
            message["url"], message["protocol"], message["name"], access_of(spec.server)
        )
        return {
            "event": "described", "inputs": [asdict(i) for i in inputs],
            "outputs": [asdict(o) for o in outputs], "max_batch_size": max_batch_size,
            "config": config,
        }  # fmt: skip

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.backends.registry import from_message, open_backend

        context = dict(message["context"])
        context["model"] = PreparedModel.from_json(context["model"])
        context["cache"] = Path(context["cache"]) if context.get("cache") else None
        context["batch_sizes"] = tuple(context.get("batch_sizes", ()))
        self._context = BackendContext(**context)
        self._spec = from_message(message["backend"])
        self._backend = open_backend(self._spec, self._context)
        self._backend.__enter__()
        stages = {"baseline": time.monotonic_ns()}
        cost = self._backend.load()
        stages |= cost.details.get("stages_ns", {}) or {"weights": time.monotonic_ns()}
        if not self._context.model.inputs:  # only a loaded engine knows them
            model = replace(self._context.model, inputs=self._backend.signature.inputs)
            self._context = replace(self._context, model=model)
        first = self._inputs(message["first_batch"], 0, 0)
        start = time.monotonic_ns()
        run_once(self._backend, first)
        stages["warm"] = time.monotonic_ns()
        return {
            "event": "loaded", "seconds": cost.seconds, "bytes_on_disk": cost.bytes_on_disk,
            "first_call_ms": (stages["warm"] - start) / 1e6,
            "details": {**cost.details, "stages_ns": stages},
        }  # fmt: skip

    def _parity(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.run.worker.parity import check
        from harness.scenario.spec.scenario import Parity

        assert self._backend is not None
        assert self._context is not None
        rows = check(
            self._backend, self._context.model, self._spec,
            Parity.model_validate(message["parity"]), message["batch_sizes"],
            Path(message["reference"]),
        )  # fmt: skip
        return {"event": "parity", "rows": [row.to_event() for row in rows]}

    def _measure(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.measure.window import WindowSettings

        backend = self._backend
        assert backend is not None
        settings = WindowSettings(**message["settings"])
        batch, seed = message["batch_size"], message["input_seed"]
        generator, size, pause = self._generator(message, settings.request_timeout)
        settings = replace(settings, pause=pause)
        window, samples, metrics = self._watched(backend, generator, settings)
        samples.save(Path(message["samples"]))
        checked, wrong = self._check_outputs(generator.sampled(), batch, seed)
        return {
            "event": "measured", "window": window.to_json(), "messages": dict(samples.messages),
            "outputs_checked": checked, "outputs_wrong": wrong, "metrics": metrics,
            "input_bytes": size,
        }  # fmt: skip

    def _generator(self, message: dict[str, Any], timeout: float) -> tuple[Generator, int, float]:
        """The load of a command, ready to start, the bytes of one request's tensors, and the
        seconds of its longest pause.
        """
        from harness.load.choose import make_generator
        from harness.load.plan import LoadPlan

        backend = self._backend
        assert backend is not None
        self._requests = []
        backend.release()
        batch, seed = message["batch_size"], message["input_seed"]
        inputs = [self._inputs(batch, v, seed) for v in range(message["distinct_inputs"])]
        size = sum(np.asarray(array).nbytes for array in inputs[0].values())
        self._requests = [backend.prepare(tensors) for tensors in inputs]
        asked = LoadPlan.from_json(message["load"])
        generator = make_generator(
            backend, self._requests, asked, request_timeout=timeout,
            processes=getattr(self._spec, "client_processes", 1), wire=self._wire,
        )  # fmt: skip
        return generator, size, asked.pause

    def _start(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.measure.window import cpu_seconds

        generator, _, _ = self._generator(message, message["request_timeout"])
        generator.start()
        self._running = Running(generator, message, (time.monotonic(), cpu_seconds(generator)))
        return {"event": "started"}

    def _stop(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.measure.window import cpu_seconds

        running, self._running = self._running, None
        if running is None:
            raise BackendError("no load is running")
        started = running.message
        seconds = time.monotonic() - running.since[0]
        cpu = cpu_seconds(running.generator) - running.since[1]
        samples = running.generator.stop(started["request_timeout"] + 1.0)
        if running.generator.failure is not None:
            raise running.generator.failure
        samples.save(Path(message["samples"]))
        checked, wrong = self._check_outputs(
            running.generator.sampled(), started["batch_size"], started["input_seed"]
        )
        return {
            "event": "stopped", "messages": dict(samples.messages), "outputs_checked": checked,
            "outputs_wrong": wrong, "cpu_percent": 100 * cpu / max(seconds, 1e-9),
        }  # fmt: skip

    def _watched(
        self, backend: Backend, generator: Generator, settings: WindowSettings
    ) -> tuple[Window, Samples, dict[str, Any] | None]:
        """Measure, and read the server's metrics beside it; None where there are none."""
        from harness.measure.window import measure

        assert self._context is not None
        url = self._context.server_metrics
        if url is None:
            return *measure(backend, generator, settings, self._progress), None
        from harness.scenario.spec.server import access_of
        from harness.triton.counters.scrape import Scraper, same_host

        server = self._spec.server  # its headers and certificates are for its own host only
        access = access_of(server) if same_host(url, server.url) else None
        with Scraper(url, access) as scraper:
            window, samples = measure(backend, generator, settings, self._progress, scraper.mark)
            model = self._context.served_name or self._context.model.name
            return window, samples, {**scraper.finish(), "model": model}

    def _ceiling(self, message: dict[str, Any]) -> dict[str, Any]:
        from harness.load.null.ceiling import backend_ceiling

        found = backend_ceiling(
            self._backend, self._requests, message["slots"], wire=self._wire,
            processes=getattr(self._spec, "client_processes", 1),
        )  # fmt: skip
        return {"event": "ceiling", **asdict(found)}

    def _unload(self, _: dict[str, Any]) -> dict[str, Any]:
        backend, self._backend = self._backend, None
        self._quiet.clear()
        if backend is not None:
            backend.__exit__(None, None, None)
        return {"event": "unloaded"}

    def _close(self, message: dict[str, Any]) -> dict[str, Any]:
        self._unload(message)
        return {"event": "closed"}

    @property
    def _wire(self) -> bool:
        return getattr(self._spec, "client", "") == "wire"

    def _check_outputs(
        self, sampled: Sequence[tuple[int, Any]], batch: int, seed: int
    ) -> tuple[int, list[str]]:
        """Compare outputs kept under load with those of a quiet call; how many, and what differed.

        The quiet call was compared with the reference by the parity check.
        """
        from harness.models.parity import compare
        from harness.scenario.spec.scenario import Parity

        wrong = []
        chosen = list(dict(sampled).items())[:OUTPUTS_CHECKED]
        for which, raw in chosen:
            outputs = self._decode(raw) if isinstance(raw, bytes) else raw
            expected = self._quiet_outputs(batch, which, seed)
            shaped = {
                name: np.reshape(array, expected[name].shape)
                if name in expected and np.size(array) == expected[name].size else array
                for name, array in outputs.items()
            }  # fmt: skip
            precision = getattr(self._spec, "precision", "fp32")
            found = compare(shaped, expected, precision, Parity())
            if found.message:
                wrong.append(found.message)
        return len(chosen), wrong

    def _decode(self, raw: bytes) -> Tensors:
        from harness.load.wire.requests import decode_grpc, decode_http

        return decode_http(raw) if self._spec.protocol == "http" else decode_grpc(raw)

    def _quiet_outputs(self, batch: int, which: int, seed: int) -> Tensors:
        assert self._backend is not None
        if (batch, which) not in self._quiet:
            self._quiet[batch, which] = run_once(self._backend, self._inputs(batch, which, seed))
        return self._quiet[batch, which]

    # -- helpers ------------------------------------------------------------------------------

    def _inputs(self, batch_size: int, variant: int, seed: int) -> Tensors:
        from harness.models.inputs import make_inputs

        assert self._context is not None
        return make_inputs(self._context.model, batch_size, variant, seed)

    def _progress(self, phase: str, requests: int, seconds: float, recent: Int64) -> None:
        p99 = float(np.quantile(recent, 0.99)) / 1e6 if recent.size else None
        self._send(
            {"event": "progress", "phase": phase, "requests": requests, "seconds": seconds,
             "p99_ms": p99}
        )  # fmt: skip


def error_event(error: BaseException) -> dict[str, Any]:
    """The answer to a command that failed: reason, one sentence, fix and the traceback."""
    trace = "".join(traceback.format_exception(error))
    known = _known(error)
    return {
        "event": "error", "reason": known.reason, "message": known.message, "fix": known.fix,
        "traceback": trace,
    }  # fmt: skip


def _known(error: BaseException) -> HarnessError:
    if isinstance(error, HarnessError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError(f"out of host memory: {error}".rstrip(": "))
    if isinstance(error, ModuleNotFoundError) and error.name:
        return MissingPackageError(
            f"{error.name} is not installed", fix=f"pip install {error.name}"
        )
    return BackendError(f"{type(error).__name__}: {error}")


def serve(incoming: int, outgoing: int) -> None:
    """Answer commands until `close` or end of file."""
    with os.fdopen(incoming, encoding="utf-8") as lines, os.fdopen(outgoing, "w") as answers:

        def send(message: dict[str, Any]) -> None:
            answers.write(json.dumps(redact_all(message), default=str) + "\n")
            answers.flush()

        worker = Worker(send)
        for line in lines:
            message = json.loads(line)
            try:
                answer = worker.handle(message)
            except BaseException as error:
                sys.stderr.write(redact(traceback.format_exc()))
                answer = error_event(error)
            send(answer)
            if message["do"] == "close":
                break
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a runtime's own threads must not keep a closed worker alive


if __name__ == "__main__":
    faulthandler.enable()  # a runtime that crashes leaves the stacks of all threads in the log
    serve(int(sys.argv[1]), int(sys.argv[2]))
