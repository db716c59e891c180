"""One request: to a model on a server, or through a backend of a scenario, in this process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.backends.base import Backend, BackendContext
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import open_backend
from harness.errors import AFTER_CRASH, CrashedError, UsageError
from harness.infer.fit import Wanted
from harness.models.prepare import prepare
from harness.models.tensors import Array, PreparedModel, TensorSpec
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.served import ServedSettings
from harness.scenario.variants import configs
from harness.system.check import probe
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.triton.client import common
from harness.triton.client.backend import TritonBackend, TritonCaller
from harness.triton.client.settings import TritonSettings
from harness.triton.client.url import ServerUrl
from harness.triton.metadata import Description

OPEN = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}
options.log_severity_level = 4
onnxruntime.InferenceSession({path!r}, options, providers=["CPUExecutionProvider"])
"""
Inputs = Mapping[str, Array]
Fit = Callable[[Wanted], Inputs]
"""Makes the inputs of what the model wants. Raises UsageError where what is given does not fit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What went in, what came out, and who answered."""

    model: str
    by: str
    """The server's URL, or the backend's name."""
    version: str
    inputs: Inputs
    outputs: Inputs
    contradictions: tuple[str, ...] = ()
    """What of the outputs is not as the server describes it."""


def to_server(url: ServerUrl, model: str, fit: Fit) -> Answer:
    """Ask a server. Metadata and configuration are read first.

    Raises ServerError, BackendError for what the model answers, and what `fit` raises.
    """
    if not model:
        with url.connect() as connection:
            ready = connection.ready()
        if len(ready) != 1:
            there = ", ".join(ready) or "none"
            raise UsageError(f"{url.text} has several models or none ready: {there}",
                             fix="--model NAME")  # fmt: skip
        model = ready[0]
    with url.connect(model) as connection:
        found = connection.describe()
        inputs = fit(wanted_by(found))
        request = common.request_inputs(found, inputs, url.protocol)
        reply = connection.infer(request)
        wrong = connection.contradictions(reply, found, inputs)
        outputs = connection.outputs(reply)
        return Answer(model, url.text, found.latest, inputs, outputs, (*wrong.values(),))


def wanted_by(found: Description, model: PreparedModel | None = None) -> Wanted:
    """What a served model takes, with the data that a scenario has for it."""
    wanted = Wanted(found.name, found.signature.inputs, found.optional, found.max_batch_size)
    if model is None:
        return wanted
    return replace(wanted, data=model.data, dynamic=model.dynamic, fills=True)


def through_backend(loaded: LoadedScenario, backend: str, fit: Fit) -> Answer:
    """Prepare the model, start a server if the backend needs one, load, and ask once.

    Raises what each of these raises; UsageError for a backend that the scenario has not.
    """
    spec = choose(loaded, backend)
    scenario, base = loaded.scenario, loaded.path.resolve().parent
    sys.path += [str(base), str(Path.cwd())]
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        model, _ = prepare(
            scenario.model, sorted(spec.formats), scenario.load.batch_sizes, cache_directory(),
            base=base,
        )  # fmt: skip
        context = BackendContext(
            model,
            scenario.measurement.request_timeout,
            cache=cache_directory(),
            batch_sizes=scenario.load.batch_sizes,
        )
        if isinstance(spec, TritonSettings):
            context = stack.enter_context(
                _served(spec, context, base, folder, scenario.measurement)
            )
        if isinstance(spec, OnnxRuntimeSettings):
            _opens(spec, model)
        runs = stack.enter_context(open_backend(spec, context))
        runs.load()
        inputs = fit(_wanted(runs, model))
        request = runs.prepare(inputs)
        caller = stack.enter_context(runs.caller())
        reply, version, wrong = caller.infer(request), "", dict[str, str]()
        outputs = {k: np.asarray(v) for k, v in caller.outputs(reply).items()}
        if isinstance(runs, TritonBackend) and isinstance(caller, TritonCaller):
            version = runs.found.latest
            wrong = caller.connection.contradictions(reply, runs.found, inputs)
        return Answer(model.name, spec.name, version, inputs, outputs, (*wrong.values(),))


def _opens(spec: OnnxRuntimeSettings, model: PreparedModel) -> None:
    """Raise CrashedError where ONNX Runtime ends the process that opens a file made in fp16, before
    it is this one: its optimiser crashes on some.
    """
    if spec.precision != "fp16" or spec.on_gpu or "onnx_fp16" not in model.files:
        return
    path = model.file("onnx_fp16")
    said = probe(OPEN.format(path=str(path), level=spec.graph_optimization_level))
    if isinstance(said, str) and said.startswith("ended by signal"):
        raise CrashedError(f"onnxruntime itself crashes while it loads {path}: the process {said}",
                           fix=AFTER_CRASH)  # fmt: skip


def choose(loaded: LoadedScenario, name: str) -> BackendSettings:
    """The backend of that name, or the first, as its first config. Raises UsageError."""
    found = configs(loaded.scenario)
    if name and name not in found:
        raise UsageError(f"{loaded.path} has no backend '{name}'; it has {', '.join(found)}")
    spec = next(iter(found[name or next(iter(found))].values()))
    if spec.environment:
        raise UsageError(
            f"{spec.name} runs in the environment '{spec.environment}'; this runs in the harness's",
            fix="choose another with --backend, or leave its `environment` out with --set",
        )
    if isinstance(spec, ServedSettings) and spec.colocated:
        spec = spec.model_copy(update={"colocated": ()})
    return spec


def _wanted(runs: Backend, model: PreparedModel) -> Wanted:
    """By the server for a model that it has already, else by the model or the loaded engine."""
    own = model.source.get("triton") is not None
    if isinstance(runs, TritonBackend) and (own or not model.inputs):
        wanted = wanted_by(runs.found, model)
        specs = {spec.name: spec for spec in model.inputs}  # the scenario's words for free sizes
        inputs = tuple(_worded(i, specs.get(i.name)) for i in wanted.inputs)
        return replace(wanted, inputs=inputs)
    inputs = model.inputs or runs.signature.inputs
    largest = runs.found.max_batch_size if isinstance(runs, TritonBackend) else None
    return Wanted(model.name, inputs, max_batch=largest, data=model.data, dynamic=model.dynamic,
                  fills=True)  # fmt: skip


def _worded(spec: TensorSpec, ours: TensorSpec | None) -> TensorSpec:
    if ours is None or len(ours.shape) != len(spec.shape):
        return spec
    shape = tuple(
        o if isinstance(s, str) else s for s, o in zip(spec.shape, ours.shape, strict=True)
    )
    return replace(spec, shape=shape)


@contextlib.contextmanager
def _served(
    spec: TritonSettings, context: BackendContext, base: Path, folder: Path, limits: Measurement
) -> Iterator[BackendContext]:
    """The model on its server, which is stopped afterwards where it is ours."""
    from harness.triton.launch import launch

    served = launch(
        spec, context.model, max_batch_size=max(context.batch_sizes), base=base,
        log=folder / "server.log", repository=folder / "repository", cache=context.cache,
        load_timeout=limits.load_timeout + (spec.serve == "tensorrt") * limits.build_timeout,
    )  # fmt: skip
    try:
        yield replace(context, server=served.address)
    finally:
        served.release()
        if served.server is not None:
            served.server.stop()
