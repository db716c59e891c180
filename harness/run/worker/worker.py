"""The worker: a child process that runs one backend and does what it is told.

Started as `python -m harness.run.worker.worker IN OUT` with two pipe descriptors of its own;
stdout and stderr are logs, so a chatty library can't break the protocol, which is
`harness.run.worker.messages`. It needs numpy, pydantic and the runtime it measures.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, assert_never, cast

import numpy as np

from harness.backends.base import Backend, BackendContext, run_once
from harness.backends.registry import open_backend
from harness.errors import BackendError
from harness.measure.quantiles import percentiles
from harness.measure.window import Counters, measure, read_counters, window_between
from harness.models.inputs import make_inputs
from harness.results.events import Progress
from harness.results.samples import Int64, Samples
from harness.run.worker import messages
from harness.run.worker.outputs import OutputCheck
from harness.scenario.sizes import Kind
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.served import ServedSettings
from harness.system.credentials import redact
from harness.system.faults import known

if TYPE_CHECKING:
    from harness.load.generator import Generator
    from harness.triton.counters.scrape import Scraper
    from harness.triton.counters.trace import Tracer

Send = Callable[[messages.Answer | Progress], None]
NEVER_S = 86_400.0
"""How often a load that is started reads the server's metrics between its ends: not at all, for
the measured model's worker does."""


@dataclass(slots=True)
class LoadedBackend:
    """A backend that answers, and what it was made from."""

    backend: Backend
    settings: BackendSettings
    context: BackendContext
    check: OutputCheck
    requests: list[object]
    """Those of the latest load, each once."""
    order: list[int] = field(default_factory=list)
    """Their indices, as they are sent."""
    input_bytes: int = 0
    """Of one request's tensors: of a mix the mean."""

    @property
    def wire(self) -> bool:
        """Whether the harness's own client sends the requests."""
        return getattr(self.settings, "client", "") == "wire"

    def scraper(self, every: float | None = None) -> Scraper | None:
        """Reads the server's metrics, also every so many seconds; None where there are none."""
        url = self.context.server.metrics
        if url is None or not isinstance(self.settings, ServedSettings):
            return None
        from harness.scenario.spec.server import access_of
        from harness.triton.counters.scrape import EVERY_S, Scraper, same_host

        server = self.settings.server  # its headers and certificates are for its own host only
        access = access_of(server) if same_host(url, server.url) else None
        return Scraper(url, access, every or EVERY_S)

    def tracer(self, generator: Generator, window_s: float) -> Tracer | None:
        """Traces requests of a window; None where the server is not the harness's own."""
        there = self.context.server
        if there.trace is None or there.http is None:
            return None
        from harness.triton.counters.trace import Tracer

        began = time.monotonic()

        def expected() -> float:
            return window_s * generator.completed() / (time.monotonic() - began)

        return Tracer(there.http, there.name, there.trace, expected)


@dataclass(frozen=True, slots=True)
class RunningLoad:
    """A load that was started and goes on."""

    command: messages.StartLoad
    generator: Generator
    kinds: list[Kind]
    """What each of its requests is."""
    scraper: Scraper | None
    begin: Counters


class Worker:
    """The state between commands: one loaded backend, and perhaps a load that goes on."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loaded: LoadedBackend | None = None
        self._running: RunningLoad | None = None

    def handle(self, command: messages.AnyCommand) -> messages.AnyAnswer:
        """Carry out one command and return the answer."""
        match command:
            case messages.PrepareModel():
                return self._prepare(command)
            case messages.DescribeModel():
                return _describe(command)
            case messages.LoadBackend():
                return self._load(command)
            case messages.CompareOutputs():
                return self._compare(command)
            case messages.MeasurePoint():
                return self._measure(command)
            case messages.StartLoad():
                return self._start(command)
            case messages.StopLoad():
                return self._stop(command)
            case messages.MeasureCeiling():
                return self._ceiling(command)
            case messages.UnloadBackend():
                return self._unload()
            case messages.CloseWorker():
                self._unload()
                return messages.WorkerClosed()
            case _:
                assert_never(command)

    # -- commands -----------------------------------------------------------------------------

    def _prepare(self, command: messages.PrepareModel) -> messages.ModelPrepared:
        from harness.models.prepare import prepare
        from harness.models.reference import write_references

        spec, batches, cache = command.model, command.batch_sizes, command.cache

        def begin(what: str) -> None:
            self._send(Progress(what, 0, 0.0))

        model, artifacts = prepare(
            spec, command.formats, batches, cache, base=command.base, begin=begin
        )
        begin("reference")
        reference = write_references(model, spec.parity, batches, cache)
        return messages.ModelPrepared(model, reference, tuple(artifacts))

    def _load(self, command: messages.LoadBackend) -> messages.BackendLoaded:
        model = command.model
        context = BackendContext(
            model, command.request_timeout, command.server, command.cache, command.batch_sizes,
            lambda step: self._send(Progress(step, 0, 0.0)),
        )  # fmt: skip
        backend = open_backend(command.backend, context)
        backend.__enter__()
        check = OutputCheck(backend, command.backend, model, command.parity)
        self._loaded = LoadedBackend(backend, command.backend, context, check, [])
        stages = {"baseline": time.monotonic_ns()}
        cost = backend.load()
        stages |= cost.stages_ns or {"weights": time.monotonic_ns()}
        if not model.inputs:  # only a loaded engine knows them
            model = replace(model, inputs=backend.signature.inputs)
            self._loaded.context = replace(context, model=model)
            self._loaded.check = OutputCheck(backend, command.backend, model, command.parity)
        first = make_inputs(model, command.first_batch, 0)
        start = time.monotonic_ns()
        run_once(backend, first)
        stages["warm"] = time.monotonic_ns()
        return messages.BackendLoaded(
            cost.seconds, (stages["warm"] - start) / 1e6, cost.bytes_on_disk, stages, cost.details
        )

    def _compare(self, command: messages.CompareOutputs) -> messages.OutputsCompared:
        from harness.run.worker.parity import check

        loaded = self._ready
        rows = check(
            loaded.backend, loaded.context.model, loaded.settings, command.parity,
            command.batch_sizes, command.reference,
        )  # fmt: skip
        return messages.OutputsCompared(tuple(rows))

    def _measure(self, command: messages.MeasurePoint) -> messages.PointMeasured:
        backend, settings = self._ready.backend, command.settings
        generator, kinds = self._generator(command, settings.request_timeout, again=command.again)
        settings = replace(settings, pause=command.plan.pause)
        scraper = self._ready.scraper()
        tracer = self._ready.tracer(generator, settings.window)
        with scraper or contextlib.nullcontext(), tracer or contextlib.nullcontext():
            window, samples = measure(
                backend, generator, settings, self._progress, _mark(scraper, tracer)
            )  # fmt: skip
            metrics, traces = self._metrics(scraper), tracer.finish() if tracer else ()
        _by_part(samples, kinds).save(command.samples)
        checked, wrong = self._ready.check(
            generator.sampled(), command.batch_size, kinds, command.plan.parts
        )
        size = self._ready.input_bytes
        return messages.PointMeasured(
            window, samples.messages, checked, wrong, size, metrics, traces
        )  # fmt: skip

    def _start(self, command: messages.StartLoad) -> messages.LoadStarted:
        generator, kinds = self._generator(command, command.request_timeout)
        scraper = self._ready.scraper(NEVER_S)
        generator.start()
        try:
            if scraper is not None:
                scraper.__enter__()
            begin = read_counters(self._ready.backend, generator, _mark(scraper))
        except BaseException:  # else the load would go on for ever
            generator.stop(command.request_timeout + 1.0)
            raise
        self._running = RunningLoad(command, generator, kinds, scraper, begin)
        return messages.LoadStarted()

    def _stop(self, command: messages.StopLoad) -> messages.PointMeasured:
        running, self._running = self._running, None
        if running is None:
            raise BackendError("no load is running")
        backend, generator = self._ready.backend, running.generator
        try:
            end = read_counters(backend, generator, _mark(running.scraper))
        finally:
            samples = generator.stop(running.command.request_timeout + 1.0)
            metrics = self._metrics(running.scraper)
        if generator.failure is not None:
            raise generator.failure
        _by_part(samples, running.kinds).save(command.samples)
        checked, wrong = self._ready.check(
            generator.sampled(), running.command.batch_size, running.kinds,
            running.command.plan.parts,
        )  # fmt: skip
        return messages.PointMeasured(
            window_between(running.begin, end, backend), samples.messages, checked, wrong,
            self._ready.input_bytes, metrics,
        )  # fmt: skip

    def _ceiling(self, command: messages.MeasureCeiling) -> messages.CeilingMeasured:
        from harness.load.null.ceiling import backend_ceiling
        from harness.triton.client.backend import TritonBackend

        loaded = self._ready
        found = backend_ceiling(
            cast(TritonBackend, loaded.backend), loaded.requests, command.slots, wire=loaded.wire,
            processes=command.processes, order=loaded.order,
        )  # fmt: skip
        return messages.CeilingMeasured(found.requests_per_s, found.response_bytes)

    def _unload(self) -> messages.BackendUnloaded:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.backend.__exit__(None, None, None)
        return messages.BackendUnloaded()

    # -- helpers ------------------------------------------------------------------------------

    @property
    def _ready(self) -> LoadedBackend:
        if self._loaded is None:
            raise BackendError("no backend is loaded")
        return self._loaded

    def _generator(
        self, command: messages.MeasurePoint | messages.StartLoad, timeout: float, *,
        again: bool = False,
    ) -> tuple[Generator, list[Kind]]:  # fmt: skip
        """The load of a command, ready to start, and what each of its requests is."""
        from harness.load.choose import make_generator

        loaded = self._ready
        turns = command.plan.kinds(command.distinct_inputs)
        kinds = list(dict.fromkeys(turns))
        if not again:
            loaded.requests = []
            loaded.backend.release()
            loaded.order = [kinds.index(kind) for kind in turns]
            models = [loaded.context.model.sized(part.sizes) for part in command.plan.parts]
            inputs = [make_inputs(models[part], command.batch_size, v) for part, v in kinds]
            sizes = [sum(np.asarray(a).nbytes for a in tensors.values()) for tensors in inputs]
            loaded.input_bytes = round(float(np.mean([sizes[which] for which in loaded.order])))
            loaded.requests = [loaded.backend.prepare(tensors) for tensors in inputs]
        generator = make_generator(
            loaded.backend, loaded.requests, command.plan, request_timeout=timeout,
            wire=loaded.wire, order=loaded.order,
        )  # fmt: skip
        return generator, kinds

    def _metrics(self, scraper: Scraper | None) -> dict[str, object] | None:
        """What was read of the server's metrics, and of which model they are to be taken."""
        if scraper is None:
            return None
        context = self._ready.context
        return {**scraper.finish(), "model": context.server.name or context.model.name}

    def _progress(self, phase: str, requests: int, seconds: float, recent: Int64) -> None:
        known = percentiles(recent, np.zeros(recent.shape, bool))
        self._send(Progress(phase, requests, seconds, known["p99"]))


def _by_part(samples: Samples, kinds: list[Kind]) -> Samples:
    """With the part of the mix that each request was of; without one where there is no mix."""
    parts = np.array([part for part, _ in kinds], np.uint16)
    which = parts[samples.which] if parts.any() and samples.which is not None else None
    return replace(samples, which=which)


def _mark(*readers: Scraper | Tracer | None) -> Callable[[], None]:
    def mark() -> None:
        for reader in readers:
            if reader is not None:
                reader.mark()

    return mark


def _describe(command: messages.DescribeModel) -> messages.ModelDescribed:
    from harness.scenario.spec.server import access_of
    from harness.triton.client.backend import fetch
    from harness.triton.client.settings import TritonSettings

    settings, server = command.backend, command.server
    assert isinstance(settings, TritonSettings)
    url = str(server.of(settings.protocol))
    found = fetch(settings.protocol, url, server.name, access_of(settings.server))
    both = found.signature
    needed = tuple(i for i in both.inputs if i.name not in found.optional) or both.inputs
    return messages.ModelDescribed(needed, both.outputs, found.max_batch_size, found.config)


def failed(error: BaseException) -> messages.CommandFailed:
    """The answer to a command that raised: reason, one sentence and fix; the log says more."""
    found = known(error, BackendError)
    return messages.CommandFailed(found.reason, found.message, found.fix)


def _log(text: str) -> None:
    """Into the log, if that can be written; where the disk is full, the answer still says why."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def serve(incoming: int, outgoing: int) -> None:
    """messages.Answer commands until `close` or end of file."""
    with os.fdopen(incoming, "rb") as lines, os.fdopen(outgoing, "wb") as answers:

        def send(answer: messages.Answer | Progress) -> None:
            answers.write(messages.answer_line(answer))
            answers.flush()

        worker = Worker(send)
        for line in lines:
            command: messages.AnyCommand | None = None
            try:
                command = messages.read_command(line)
                answer = worker.handle(command)
            except BaseException as error:
                _log(redact(traceback.format_exc()))
                answer = failed(error)
            send(answer)
            if isinstance(command, messages.CloseWorker):
                break
    _log("")
    os._exit(0)  # a runtime's own threads must not keep a closed worker alive


if __name__ == "__main__":
    faulthandler.enable()  # a runtime that crashes leaves the stacks of all threads in the log
    gc.freeze()  # what is imported by now stays: no collection before a load need look through it
    serve(int(sys.argv[1]), int(sys.argv[2]))
