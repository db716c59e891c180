"""A profile from its beginning to its end: each backend in a worker of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from harness.backends.registry import message_of
from harness.errors import HarnessError, UsageError
from harness.inspect.process import InspectedProcess, Message
from harness.inspect.profilers import KINDS, WARM
from harness.inspect.trace import REQUEST, Span, Trace, Work, kineto, onnxruntime, read_events
from harness.models.precision import in_own_precision
from harness.models.tensors import PreparedModel
from harness.profile import store as files
from harness.profile.analyse import Recorded, analyse
from harness.profile.findings import findings_of
from harness.profile.result import BackendProfile, BatchProfile, Ceilings, Profile, Row
from harness.profile.split import Roof
from harness.results.events import RunEnded, RunStarted
from harness.results.line import adapter
from harness.results.manifest import make_manifest, utc_now
from harness.results.store import RunStore
from harness.run.environments import Interpreters, make_environments
from harness.run.execute import default_directory
from harness.run.session.preparing import prepare, prepared_model
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.scenario import Scenario
from harness.system.environment import worker_env
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder

MODULE = "harness.profile.worker"
RENAMES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
"""Nodes of ONNX that move nothing."""
Tell = Callable[[str], None]


def start(loaded: LoadedScenario, output: Path | None, tell: Tell) -> Path:
    """Profile a scenario into the new directory `output`, by default reports/SCENARIO-profile-TIME.

    A backend that can't be profiled is noted in it. Raises HarnessError where nothing can begin.
    """
    base = loaded.path.resolve().parent
    scenario = in_own_precision(loaded.scenario, base)
    chosen, skipped = choose(scenario)
    scenario = scenario.model_copy(update={"backends": tuple(chosen)})
    directory = output or default_directory(f"{scenario.scenario}-profile")
    manifest = make_manifest(scenario, loaded.text, loaded.path, list(loaded.overrides))
    store = RunStore.create(directory, {**manifest, "kind": files.KIND})
    with store, temporary_folder():
        store.append(RunStarted(utc_now()))
        status = "interrupted"
        try:
            _Profiling(scenario, base, directory, skipped, tell).go()
            status = "complete"
        finally:
            store.append(RunEnded(status, utc_now()))
    return directory


def choose(scenario: Scenario) -> tuple[list[AnyBackend], dict[str, str]]:
    """The backends that run in a process of ours, and why the others are left out.

    Raises UsageError where there is none.
    """
    chosen = [b for b in scenario.backends if b.kind in KINDS]
    skipped = {
        b.name: f"`{b.kind}` does not run in a process that can be profiled here"
        for b in scenario.backends if b.kind not in KINDS
    }  # fmt: skip
    if not chosen:
        raise UsageError(
            "no backend of this scenario can be profiled",
            fix=f"name one of kind {', '.join(KINDS)}, which run in a process of ours",
        )
    return chosen, skipped


@dataclass(slots=True)
class _Profiling:
    scenario: Scenario
    base: Path
    directory: Path
    skipped: Mapping[str, str]
    tell: Tell
    backends: list[BackendProfile] = field(default_factory=list)

    def go(self) -> None:
        """Everything, saved after each backend."""
        logs, cache = self.directory / "logs", cache_directory()
        self._save()
        self.tell("preparing the model")
        prepared = prepare(self.scenario, base=self.base, logs=logs, cache=cache)
        model = prepared_model(prepared, "").model
        made = make_environments(
            self.scenario, self.base, cache, logs / "environments.log", self.tell
        )
        for spec in self.scenario.backends:
            self.tell(f"profiling {spec.name}")
            self.backends.append(self._backend(spec, model, made))
            self._save()

    def _save(self) -> None:
        backends = with_flop(self.backends)
        found = findings_of(self.scenario, backends)
        profile = Profile(
            files.SCHEMA, self.scenario.scenario, self.scenario.model.name, backends, found,
            self.skipped,
        )  # fmt: skip
        files.save(self.directory, profile)

    def _backend(
        self, spec: AnyBackend, model: PreparedModel, made: Interpreters
    ) -> BackendProfile:
        settings = spec.model_dump(mode="json")
        try:
            return self._profiled(spec, settings, list(self._messages(spec, model, made)))
        except HarnessError as error:
            self.tell(f"{spec.name} can't be profiled: {error.message}")
            return BackendProfile(spec.name, settings, failure=error.message)

    def _messages(
        self, spec: AnyBackend, model: PreparedModel, made: Interpreters
    ) -> Iterator[Message]:
        interpreter = made.get(spec.environment or "")
        if isinstance(interpreter, HarnessError):
            raise interpreter
        logs, traces = self.directory / "logs", self.directory / files.TRACES
        task = {
            "backend": message_of(spec), "model": model.to_json(), "folder": str(traces.resolve()),
            "batches": list(self.scenario.load.batch_sizes), "cache": str(cache_directory()),
        }  # fmt: skip
        env = {**worker_env(self.base), **(interpreter.env if interpreter else {})}
        python = interpreter.python if interpreter else sys.executable
        with InspectedProcess(
            f"the profiler of {spec.name}", MODULE, task, logs / f"{spec.name}.log", python, env
        ) as child:
            yield from child.messages(self.scenario.measurement)

    def _profiled(
        self, spec: AnyBackend, settings: Mapping[str, object], messages: Sequence[Message]
    ) -> BackendProfile:
        by_event = {m["event"]: m for m in messages}
        last = by_event["ceilings"]
        found = last["ceilings"] and adapter(Ceilings).validate_python(last["ceilings"])
        roof = Roof.of(found, str(getattr(spec, "precision", "fp32")))
        traces = self.directory / files.TRACES
        batches = [
            analysed(m, traces, spec, roof) for m in messages if m["event"] == "batch"
        ]  # fmt: skip
        return BackendProfile(
            spec.name, settings, batches, found or None, int(last["threads"] or 0),
            float(by_event["loaded"]["seconds"]),
        )  # fmt: skip


def analysed(message: Message, traces: Path, spec: AnyBackend, roof: Roof | None) -> BatchProfile:
    """One batch size, from what the worker said and the traces that it wrote."""
    batch = int(message["batch"])
    folder = traces / f"{spec.name}-b{batch}"
    work: Work = {
        (name, shape): (flop, size) for name, shape, flop, size in message.get("work", ())
    }
    written = [f for key in ("trace", "onnxruntime") if (f := message.get(key))]
    said = Recorded(
        batch, Trace((), ()), "torch", work, message["calls_ms"],
        traces=[f"{files.TRACES}/{folder.name}/{name}" for name in written],
        notes=message["notes"],
    )  # fmt: skip
    if "trace" in message:
        said = replace(said, trace=kineto(read_events(folder / message["trace"])))
    if "onnxruntime" in message:
        said = _with_onnxruntime(said, folder / message["onnxruntime"], spec)
    if "tensorrt" in message:
        said = _with_tensorrt(said, message["tensorrt"])
    if said.source == "onnxruntime" and roof is not None:
        roof = replace(roof, floor_us=node_floor(said.trace))
    return analyse(said, roof)


def node_floor(trace: Trace) -> float:
    """What ONNX Runtime takes for a node that only renames a tensor: the median, 0 without one."""
    return median([o.us for o in trace.operators if o.kind in RENAMES] or [0.0])


def _with_onnxruntime(said: Recorded, path: Path, spec: AnyBackend) -> Recorded:
    trace, work = onnxruntime(read_events(path), WARM)
    alone = replace(said, trace=trace, work=work, source="onnxruntime")
    if not (spec.on_gpu and said.trace.requests):
        return alone
    layers = analyse(alone, None).rows
    note = "ONNX Runtime times the layers of a GPU on the host: launching, not what the GPU does"
    return replace(said, layers=layers, notes=[*said.notes, note])


def _with_tensorrt(said: Recorded, times: Sequence[tuple[str, float]]) -> Recorded:
    wall = said.trace.requests[0].us if said.trace.requests else max(1.0, min(said.calls_ms) * 1e3)
    layers = [
        Row("tensorrt", name, "layer", "", 1.0, us, us / wall) for name, us in times
    ]  # fmt: skip
    if said.trace.requests:
        return replace(said, layers=layers)
    at, spans = 0.0, []
    for name, us in times:
        spans.append(Span(name, at, at + us))
        at += us
    note = "without PyTorch for CUDA beside TensorRT there are neither kernels nor gaps"
    return replace(
        said, trace=Trace((Span(REQUEST, 0.0, max(wall, at)),), tuple(spans)), source="tensorrt",
        notes=[*said.notes, note],
    )  # fmt: skip


def with_flop(backends: Sequence[BackendProfile]) -> list[BackendProfile]:
    """The FLOP of a request where a runtime does not know them, from one that does."""
    known: dict[int, float] = {}
    for backend in backends:
        for batch in backend.batches:
            if batch.flop:
                known.setdefault(batch.batch, batch.flop)
    return [
        replace(b, batches=[replace(x, flop=x.flop or known.get(x.batch)) for x in b.batches])
        for b in backends
    ]
