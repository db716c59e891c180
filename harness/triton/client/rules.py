"""Rules of what Triton serves: between the settings, the measured model and the co-located ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.scenario.rules.base import WORD, Broken, any_of, repeated, twice, under
from harness.scenario.spec.backend import IN_ONNX, IN_TORCH, tf32_on_gpu
from harness.scenario.spec.colocated import CHOICES, ColocatedModel, broken_choices
from harness.scenario.spec.model import ModelSpec
from harness.scenario.spec.served import ServedSettings

SERVES = {"torch": IN_TORCH, "onnxruntime": IN_ONNX, "tensorrt": IN_ONNX}
"""What a server can run → the sources that it can run from, exported if need be."""
_ENGINE_ONLY = ("flavor", "workspace", "optimization_level", "cuda_graphs")
_OF_OURS = ("serve", "precision", "device", "threads", *_ENGINE_ONLY)
"""Settings of a model that the harness puts on the server; those that only `serve: tensorrt` has.
"""


def alone(spec: ServedSettings) -> Iterator[Broken]:
    """Rules of the settings by themselves."""
    if spec.serve is not None:
        yield from _engine(spec)
    yield from broken_choices(spec)
    for name, value in spec.env.items():
        if not WORD.fullmatch(name):
            message = "an environment variable's name is made of letters, digits and _"
            yield Broken(("env", name), message, on_key=True)
        yield from under(("env",), repeated(name, value))
    for index, name in twice(other.name for other in spec.colocated):
        yield Broken(("colocated", index, "name"), f"two models have the name '{name}'")
    server = spec.server
    if spec.limits.tag and (server.url is not None or server.docker is not None):
        who = "a container's is its engine's: server: {docker: {args: [--memory=2g]}}"
        message = f"only a server that the harness starts itself can be limited; {who}"
        yield Broken(("limits",), message)
    for index, other in enumerate(spec.colocated):
        device = other.device or ""
        if device[:4] in ("GPU-", "MIG-") and device != spec.device:
            message = "the server sees the backend's device only; write it there, or `cuda:N`"
            yield Broken(("colocated", index, "device"), message)
        merged = spec.alone(other)
        if merged.serve is not None:
            found = [*tf32_on_gpu(merged), *_engine(merged)]
            yield from under(("colocated", index), _of_its_own(found, other))


def _engine(spec: ServedSettings) -> Iterator[Broken]:
    """What each `serve` can do, and the settings that only `serve: tensorrt` has."""
    if spec.serve == "tensorrt":
        if not spec.on_gpu:
            message = "TensorRT runs on a GPU; write `device: cuda`"
            yield Broken(("device" if "device" in spec.model_fields_set else "serve",), message)
        yield from spec.idle("is of a CPU's threads, and TensorRT runs on a GPU", "threads")
        return
    yield from spec.idle(f"goes with `serve: tensorrt`, not with {spec.serve}", *_ENGINE_ONLY)


def _of_its_own(broken: Iterable[Broken], other: ColocatedModel) -> Iterator[Broken]:
    """What the backend does not break itself; a key that it gave is marked on the whole model."""
    for found in broken:
        if found.loc[:1] == ("server",) or found.lacks:
            continue
        key = str(found.loc[0]) if found.loc else ""
        yield (
            found
            if not key or key in other.model_fields_set
            else Broken((), f"{key}: {found.message}")
        )


def with_model(spec: ServedSettings, model: ModelSpec, largest: int) -> Iterator[Broken]:
    """Rules between the settings and the measured model, of batches up to `largest`."""
    there, limit = model.source.kind == "triton", spec.max_batch_size
    if isinstance(limit, int) and limit < largest:  # of a list, each takes what it can
        message = f"is {limit}, but load.batch_sizes goes up to {largest}"
        yield Broken(("max_batch_size",), message)
    if model.source.kind in spec.sources:
        yield from _on_server(spec) if there else _served(spec, model.source.kind)
    for index, other in enumerate(spec.colocated):
        loc = ("colocated", index)
        if other.name in (model.name, model.source.triton):
            message = f"'{other.name}' is the measured model's name; give it another"
            yield Broken((*loc, "name"), message)
        if len(other.spec.source.kinds) == 1:
            yield from under(loc, _colocated_source(spec, other, there))


def _colocated_source(spec: ServedSettings, other: ColocatedModel, there: bool) -> Iterator[Broken]:
    """Whether the server can have that model: it holds either its own models, or the harness's."""
    kind = other.spec.source.kind
    if there and kind != "triton":
        message = "the server has models of its own; leave `model` out, or give `{triton: NAME}`"
        yield Broken(("model", "source"), message)
    elif not there and kind == "triton":
        if other.model is None:
            message = "needs `model`: the harness makes the server's repository"
            yield Broken((), message, lacks=("model",))
        else:
            message = "the harness makes the server's repository; give torch, onnx or another"
            yield Broken(("model", "source"), message)
    else:
        merged = spec.alone(other)
        found = _on_server(merged) if there else _served(merged, kind)
        yield from _of_its_own(found, other)


def _on_server(spec: ServedSettings) -> Iterator[Broken]:
    """A model that is on a server already: which server, and nothing about its configuration."""
    if spec.server.repository is None and spec.server.url is None:  # it serves what is made here
        message = "a model from `triton` needs `server: {repository: DIR}` or `server: {url: …}`"
        if "server" in spec.model_fields_set:
            yield Broken(("server",), message, lacks=("repository", "url"))
        else:
            yield Broken((), message, lacks=("server",))
    goes = "goes with a model that the harness serves, not with one"
    yield from spec.idle(f"{goes} from `triton`", *_OF_OURS)
    if spec.server.url is not None:
        yield from spec.idle(f"{goes} behind a url", *CHOICES, "env")


def _served(spec: ServedSettings, source_kind: str) -> Iterator[Broken]:
    """A model that the harness puts on a server of its own."""
    serve = spec.serve
    if serve is None:
        message = "needs `serve`, what the server runs: onnxruntime, torch or tensorrt"
        yield Broken((), message, lacks=("serve",))
    elif source_kind not in SERVES[serve]:
        can = any_of(SERVES[serve])
        message = f"a server can't run a model from `{source_kind}` with {serve}; it needs {can}"
        yield Broken(("serve",), message)
    if serve == "onnxruntime" and spec.precision == "bf16" and source_kind != "onnx":
        message = "ONNX Runtime has no bf16 here; use fp32 or fp16, or `serve: torch`"
        yield Broken(("precision",), message)
    if spec.server.uses_native and serve not in (None, "onnxruntime"):
        message = (
            f"Triton's own backends serve onnxruntime here, not {serve}; for others fill a model "
            "repository (`harness prepare --repository`) and give `server.repository`"
        )
        yield Broken(("serve",), message)
    yield from spec.idle("goes with a model that is on the server already", "composing", "version")
    for key in ("repository", "url"):
        if getattr(spec.server, key) is not None:
            message = "goes with `source: {triton: NAME}` only: the harness makes the model's "
            yield Broken(("server", key), message + "repository", on_key=True)
