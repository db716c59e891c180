"""What `harness validate` looks at: all that a run would refuse before it measures."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.errors import (
    BackendError,
    HarnessError,
    MissingPackageError,
    SetupError,
    UsageError,
    translated,
)
from harness.models import prepare
from harness.models.inputs import check_memory, make_inputs
from harness.models.onnx_file import SILENT, cpu_session, external_data
from harness.models.precision import check_precision, fp32_values, in_own_precision, notes_on
from harness.models.reference import check_ignored
from harness.models.tensors import PreparedModel
from harness.run.environments import find_python
from harness.run.selection import Selection
from harness.run.session.preparing import Preparing, loading_s, models
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.server import access_of
from harness.scenario.variants import configs
from harness.system.credentials import expand
from harness.system.machine import package_versions, probe_gpus
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import to_triton
from harness.triton.launch import find_models
from harness.triton.metadata import proto
from harness.triton.repository.write import describe_model
from harness.validate.factory import check_factory
from harness.validate.served import check_served, strings_lacking
from harness.validate.servers import not_here, not_now

LARGEST = 2**30
"""Bytes of an ONNX file and its weights that are loaded to see whether ONNX Runtime takes them."""

TRIED_BYTES = 1 << 16
"""Written to the cache to see whether that can be done."""
HERE, NOW = "not on this machine: ", "not at this moment: "
"""What a note begins with that says why a run would fail at once."""


def check(loaded: LoadedScenario, *, deep: bool = False) -> list[str]:
    """Find what a run would refuse before it measures; notes on what is guessed, or missing here.

    ONNX files are opened, factories read as text, and nothing is imported; `deep` does in a worker
    all that a run does before its exports: imports, weights, one pass of each model. Raises
    UsageError, and with `deep` what the worker reports.
    """
    base, notes = loaded.path.resolve().parent, []
    scenario = in_own_precision(loaded.scenario, base)
    notes += _not_here(_lacking(scenario, base))
    for key, (model, _, batch_sizes, _) in models(scenario).items():
        if model.source.torch is not None:
            check_factory(model.source.torch, model.source.kwargs, base)
        try:
            found = prepare.check(model, batch_sizes, base=base)
        except MissingPackageError as error:
            notes += _not_here([f"{model.name} was not opened: {error.message}"])
            continue
        notes += [f"{model.name}: {note}" for note in found.notes]
        check_ignored(found, model.parity)
        check_memory(found, max(batch_sizes), scenario.measurement.distinct_inputs)
        _check_data(found)
        if key or any(isinstance(b, TritonSettings) and b.serve for b in scenario.backends):
            for tensor in (*found.inputs, *found.outputs):
                to_triton(tensor.dtype, tensor.name)
        if not key and model.source.kind == "onnx":
            notes += _not_here(_check_backends(scenario, found))
    for spec in scenario.backends:
        if isinstance(spec, TritonSettings):
            notes += _check_server(scenario, spec, base)
    if deep:
        cache, timeout = cache_directory(), loading_s(scenario.measurement)
        with temporary_folder() as place, Preparing(base, place / "log", cache, timeout) as worker:
            for model, _, batch_sizes, specs in models(scenario).values():
                made = worker.model(model, (), batch_sizes).model
                check_precision(made, specs)
                notes += notes_on(made, specs)
    return list(dict.fromkeys(notes))


def _check_server(scenario: Scenario, spec: TritonSettings, base: Path) -> list[str]:
    """Raise what a run would of a model that is in a repository or on a server; notes on both."""
    notes, name = list[str](), scenario.model.source.triton or ""
    if spec.server.repository is not None:
        repository = base / spec.server.repository
        find_models(repository, spec, name)
        with contextlib.suppress(MissingPackageError):  # which is noted already
            notes += _not_here(check_served(scenario, spec, repository, base))
    notes += _not_here(not_here(spec, base, name))
    return notes + [f"{NOW}{why}" for why in not_now(scenario, spec, base)]


def _check_data(model: PreparedModel) -> None:
    """Make a request's inputs of what the scenario says of them: files, values, ranges.

    Raises UsageError for what does not fit.
    """
    plain = [{"data": how, "range": None, "value": None} for how in ("random", "zeros")]
    chosen = tuple(i for i in model.inputs if model.data.get(i.name, plain[0]) not in plain)
    for sizes in model.sizes:
        with contextlib.suppress(MissingPackageError):  # which the run needs too
            make_inputs(replace(model.sized(sizes), inputs=chosen, batch="none"), 1, 0)


def _not_here(reasons: Iterable[str]) -> list[str]:
    return [f"{HERE}{why}" for why in reasons]


def _check_backends(scenario: Scenario, model: PreparedModel) -> Iterator[str]:
    """Raise UsageError for an ONNX file that ONNX Runtime refuses, ModelRefusedError for a model
    that Triton can't be given as the scenario asks for it; yield what is not on this machine.
    """
    path = Path(model.source["onnx"])
    for precision in ("fp16", "bf16"):
        if any(f"onnx_{precision}" in spec.formats for spec in scenario.backends):
            fp32_values(path, precision)
    if any(map(_runs_here, scenario.backends)):
        check_session(path)
    for specs in configs(scenario).values():
        for spec in specs.values():
            if isinstance(spec, TritonSettings) and spec.serve:
                with contextlib.suppress(MissingPackageError):  # which is noted already
                    config = proto().ModelConfig(name=model.name, backend="python")
                    describe_model(config, model, spec, model.max_batch_size)
                    yield from strings_lacking(spec, config, model.inputs)


def _runs_here(spec: AnyBackend) -> bool:
    """Whether the ONNX Runtime of this Python runs the file, on the CPU."""
    if spec.on_gpu or spec.environment:
        return False
    if isinstance(spec, TritonSettings):
        ours = spec.server.docker is None and not spec.server.uses_native
        return spec.serve == "onnxruntime" and ours
    return spec.kind == "onnxruntime"


def check_session(path: Path) -> None:
    """Have ONNX Runtime load the file, unless it is large: what it refuses is no model here.

    Raises UsageError; what this machine lacks for it is said by the run.
    """
    files = [path, *(path.parent / name for name in external_data(path))]
    if sum(file.stat().st_size for file in files) > LARGEST:
        return
    try:
        with translated("creating the session"):
            cpu_session(path, optimised=False, severity=SILENT)
    except BackendError as error:
        raise UsageError(error.message, fix=error.fix) from error
    except HarnessError:
        return


def _lacking(scenario: Scenario, base: Path) -> Iterator[str]:
    """What a run would miss on this machine: a GPU, packages, variables, an interpreter."""
    servers = [spec.server for spec in scenario.backends if isinstance(spec, TritonSettings)]
    on_gpu, (_, no_gpu) = [spec.name for spec in scenario.backends if spec.on_gpu], probe_gpus()
    if on_gpu and no_gpu:
        yield f"a GPU for {', '.join(on_gpu)} ({no_gpu})"
    there = package_versions(name for spec in scenario.backends for name in spec.packages)
    for spec in scenario.backends:
        wanted = spec.packages[:1] if spec.remote else spec.packages
        if wanted and not spec.environment and not there.keys() & set(wanted):
            yield f"a Python package for {spec.name}: {wanted[0]}, or another of its kind"
    asks: list[Callable[[], object]] = [partial(access_of, server) for server in servers]
    asks += [partial(expand, s.telemetry.token) for s in servers if s.telemetry is not None]
    used = {spec.environment for spec in scenario.backends}
    given = {name: e for name, e in scenario.environments.items() if name in used}
    asks += [partial(find_python, name, e.python, base) for name, e in given.items() if e.python]
    asks += [partial(expand, u) for e in given.values() for u in (e.index, *e.extra_index) if u]
    asks += [partial(_check_cache, model.name) for model, *_ in models(scenario).values()]
    for ask in (Selection(scenario).check, *asks):
        try:
            ask()
        except SetupError as error:
            yield error.message


def _check_cache(model: str) -> None:
    """Raise SetupError where nothing can be written to the cache, and it has no model so named."""
    cache = cache_directory()
    folder = next(p for p in (cache, *cache.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, TRIED_BYTES)
    except OSError as error:
        if not any(cache.glob(f"{glob.escape(model)}-*/*")):
            words = f"a cache that can be written to: {folder}: {error.strerror}"
            raise SetupError(words) from None
