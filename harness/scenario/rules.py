"""What must hold between the keys of a scenario, as functions over plain data.

The models in `schema` apply these rules to themselves; `loader` applies them to the file as it was
written, also when other parts of it are wrong, so that one run shows every mistake. Each rule
therefore skips what it doesn't understand: complaining about types is pydantic's part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from harness.scenario import profiles, units
from harness.scenario.suggest import nearest
from harness.secrets import is_sensitive

Data = Mapping[str, Any]
Loc = tuple[str | int, ...]

SOURCE_KINDS = ("torch", "onnx", "exported_program", "engine", "triton", "fake")
BATCH = "batch"
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""The name of a dimension."""
_IN_TORCH = ("torch", "exported_program")
_IN_ONNX = ("torch", "exported_program", "onnx")
_RUNS: dict[str, tuple[str, ...]] = {
    "torch": _IN_TORCH, "onnxruntime": _IN_ONNX, "tensorrt": (*_IN_ONNX, "engine"),
    "triton": (*_IN_ONNX, "triton"), "fake": ("fake",),
}  # fmt: skip
"""Backend kind → the sources it can run, exported if need be."""
_SERVES = {"torch": _IN_TORCH, "onnxruntime": _IN_ONNX, "tensorrt": _IN_ONNX}
_OWN_CONFIG = {
    "serve": None, "precision": "fp32", "device": "cpu", "threads": None, "flavor": "auto",
    "workspace": None, "optimization_level": None, "cuda_graphs": False,
}  # fmt: skip
"""Settings of a model that the harness puts on the server, with their defaults."""
_VARIED = ("instances", "max_batch_size", "dynamic_batching", "config", "env")
"""Settings of a model on a server that the harness starts, which may hold lists."""
MODEL_CONFIG_FIELDS = (
    "platform", "backend", "runtime", "version_policy", "max_batch_size", "input", "output",
    "batch_input", "batch_output", "optimization", "dynamic_batching", "sequence_batching",
    "ensemble_scheduling", "instance_group", "default_model_filename", "cc_model_filenames",
    "metric_tags", "parameters", "model_warmup", "model_operations", "model_transaction_policy",
    "model_repository_agents", "response_cache", "model_metrics",
)  # fmt: skip
"""Fields of Triton's ModelConfig message, but for the name, which the harness gives."""
_OWN_KEYS = {"instance_group": "instances", "max_batch_size": "max_batch_size",
             "dynamic_batching": "dynamic_batching"}  # fmt: skip
"""Fields of ModelConfig that have a key of the backend's own."""
_ENGINE_ONLY = ("flavor", "workspace", "optimization_level", "cuda_graphs")
"""Of those, the ones that only `serve: tensorrt` has."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that doesn't hold: where, and in words. `on_key` puts the mark on the key."""

    loc: Loc
    message: str
    on_key: bool = False
    lacks: tuple[str, ...] = ()
    """Keys of the mapping at `loc` that would mend it: a misspelt one is mistake enough."""


def under(loc: Loc, broken: Iterable[Broken]) -> Iterator[Broken]:
    """The same, seen from a mapping further out."""
    return (replace(b, loc=(*loc, *b.loc)) for b in broken)


def check(data: Data) -> Iterator[Broken]:
    """Every rule, on a whole scenario."""
    model, load = _map(data.get("model")), _map(data.get("load"))
    inputs = under(("model",), _each(model.get("inputs"), "inputs", input_))
    backends = _each(data.get("backends"), "backends", backend)
    limits = _map(data.get("constraints"))
    return chain(
        under(("model", "source"), source(model["source"])) if _is_map(model.get("source")) else (),
        inputs,
        under(("model",), model_(model)),
        backends,
        under(("load",), load_(load)),
        under(("load", "find_capacity"), _capacity(load)),
        under(("measurement",), measurement(_map(data.get("measurement")))),
        under(("objective",), weights(data["objective"])) if _is_map(data.get("objective")) else (),
        under(("search",), search(_map(data.get("search")))),
        chain.from_iterable(under(("constraints", k), bound(k, v)) for k, v in limits.items()),
        scenario(data),
    )


def _each(value: Any, key: str, rule: Any) -> Iterator[Broken]:
    for index, item in enumerate(_list(value)):
        if _is_map(item):
            yield from under((key, index), rule(item))


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _map(value: Any) -> Data:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    """As `schema` reads lists: one value stands for a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _numbers(value: Any) -> list[Any]:
    return [v for v in _list(value) if isinstance(v, int | float) and not isinstance(v, bool)]


def _twice(words: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    seen: list[Any] = []
    for index, word in enumerate(words):
        if word is not None and word in seen:
            yield index, word
        seen.append(word)


# ---------------------------------------------------------------------------------------- model


def given_sources(data: Data) -> list[str]:
    """Which of `SOURCE_KINDS` are set."""
    return [kind for kind in SOURCE_KINDS if data.get(kind) is not None]


def source(data: Data) -> Iterator[Broken]:
    """Rules of `model.source`."""
    kinds = given_sources(data)
    if len(kinds) != 1:
        found = " and ".join(kinds) if kinds else "none"
        yield Broken((), f"needs exactly one of {', '.join(SOURCE_KINDS)}; found {found}",
                     lacks=() if kinds else SOURCE_KINDS)  # fmt: skip
    if kinds and "torch" not in kinds:
        for key in ("kwargs", "seed", "weights"):
            if data.get(key):
                yield Broken((key,), "goes with a torch source only; remove it", on_key=True)


def input_(data: Data) -> Iterator[Broken]:
    """Rules of one entry of `model.inputs`."""
    shape = data.get("shape")
    if isinstance(shape, list | tuple | str | int) and not isinstance(shape, bool):
        count = _list(shape).count(BATCH)
        if count != 1:
            shown = "[" + ", ".join(map(str, _list(shape))) + "]"
            how = "no" if count == 0 else "more than one"
            yield Broken(
                ("shape",),
                f"{shown} has {how} batch dimension; write one, like [batch, 3, 224, 224]",
            )
    yield from _range(data)


def _range(data: Data) -> Iterator[Broken]:
    if data.get("range") is None:
        return
    if data.get("data", "random") != "random":
        yield Broken(("range",), "goes with `data: random` only; remove it", on_key=True)
    if data.get("dtype") == "bool":
        yield Broken(("range",), "bool inputs have no range; remove it", on_key=True)
    bounds = _numbers(data["range"])
    if len(bounds) != 2 or len(_list(data["range"])) != 2:
        return
    if not bounds[0] < bounds[1]:
        yield Broken(("range",), f"low must be less than high, found {bounds}")
    if str(data.get("dtype")).startswith("uint") and bounds[0] < 0:
        yield Broken(("range",), f"{data['dtype']} inputs can't be negative, found {bounds}")


def files(data: Data) -> Iterator[Broken]:
    """Rules of `data: {files: …}`."""
    mean, std = _list(data.get("mean")), _list(data.get("std"))
    if bool(mean) != bool(std):
        present = "mean" if mean else "std"
        other = "std" if mean else "mean"
        yield Broken((present,), f"needs `{other}` beside it", on_key=True)
    elif len(mean) != len(std):
        yield Broken(("std",), f"has {len(std)} values, but mean has {len(mean)}")
    if 0 in std:
        yield Broken(("std",), "must not be 0: images are divided by it")


def model_(data: Data) -> Iterator[Broken]:
    """Rules of `model` between its inputs, its dynamic dimensions and its source."""
    inputs = [_map(i) for i in _list(data.get("inputs"))]
    for index, name in _twice(i.get("name") for i in inputs):
        yield Broken(("inputs", index, "name"), f"two inputs have the name '{name}'")
    for index, item in enumerate(inputs):
        if _is_map(item.get("data")):
            yield from under(("inputs", index, "data"), files(item["data"]))
    yield from _dynamic(inputs, data.get("dynamic"))
    kinds = given_sources(_map(data.get("source")))
    if kinds in (["torch"], ["exported_program"]) and not _list(data.get("inputs")):
        yield Broken((), f"{_a(kinds[0])} source needs `inputs`", lacks=("inputs",))


def _dynamic(inputs: list[Data], sizes: Any) -> Iterator[Broken]:
    if not _is_map(sizes) and sizes is not None:
        return
    sizes = _map(sizes)
    words: set[str] = set()
    for index, item in enumerate(inputs):
        for axis, word in enumerate(_list(item.get("shape"))):
            if not isinstance(word, str) or not WORD.fullmatch(word) or word in {BATCH, *words}:
                continue
            words.add(word)
            if word not in sizes:
                fix = f"add `dynamic: {{{word}: N}}` to the model"
                message = f"the dynamic dimension '{word}' has no size; {fix}"
                yield Broken(("inputs", index, "shape", axis), message)
    for word in sizes:
        if word == BATCH:
            message = "the batch dimension gets its sizes from load.batch_sizes; remove it"
            yield Broken(("dynamic", word), message, on_key=True)
        elif inputs and word not in words:
            yield Broken(("dynamic", word), "is in no input's shape", on_key=True)


# ------------------------------------------------------------------------------------- backends


def backend(data: Data) -> Iterator[Broken]:
    """Rules of one backend by itself."""
    kind = data.get("kind")
    if data.get("precision") == "tf32" and not on_cuda(data):
        where = "provider: CUDAExecutionProvider" if kind == "onnxruntime" else "device: cuda"
        yield Broken(("precision",), f"tf32 exists on a GPU only; use fp32, or `{where}`")
    if kind == "onnxruntime":
        yield from _provider(data)
    if kind == "tensorrt":
        yield from _tensorrt(data)
    if kind == "triton":
        yield from under(("server",), server(_map(data.get("server"))))
        if data.get("serve") is not None:
            yield from _engine_on_server(data)
        yield from _varied(data)
        yield from _each(data.get("beside"), "beside", beside)
        yield from _beside_it(data)


def on_cuda(data: Data) -> bool:
    """Whether the backend runs on a GPU."""
    if data.get("kind") == "onnxruntime":
        return data.get("provider") in _GPU_PROVIDERS
    if data.get("kind") == "tensorrt":
        return True
    return str(data.get("device") or "cpu") != "cpu"


_GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
_CUDA_ONLY = ("gpu_memory_limit", "arena_extend_strategy", "cudnn_conv_algo_search", "cuda_graphs")


def _provider(data: Data) -> Iterator[Broken]:
    device = data.get("device")
    provider = data.get("provider") or "CPUExecutionProvider"
    for key in _CUDA_ONLY if provider == "CPUExecutionProvider" else ():
        if data.get(key):
            message = "goes with a GPU's provider, and this one runs on the CPU; remove it"
            yield Broken((key,), message, on_key=True)
    if data.get("cuda_graphs") and data.get("io") != "device":
        message = "ONNX Runtime replays a graph on fixed device memory; add `io: device`"
        yield Broken(("cuda_graphs",), message, lacks=("io",))
    if device is None:
        return
    if provider == "CPUExecutionProvider" and device != "cpu":
        message = f"{device} needs `provider: CUDAExecutionProvider`; this one runs on the CPU"
        yield Broken(("device",), message)
    if provider in _GPU_PROVIDERS and device == "cpu":
        words = {"CUDAExecutionProvider": "CUDA"}.get(str(provider), "TensorRT")
        yield Broken(("device",), f"the {words} provider runs on a GPU; write `device: cuda`")


def _tensorrt(data: Data) -> Iterator[Broken]:
    if data.get("device") == "cpu":
        yield Broken(("device",), "TensorRT runs on a GPU; write `device: cuda`")
    profile = _map(data.get("profile"))
    low, best, high = (profile.get(key) for key in ("min", "opt", "max"))
    if profile.get("each") is True and any(n is not None for n in (low, best, high)):
        yield Broken(("profile",), "give `each`, or min, opt and max, not both")
    sizes = _numbers([n for n in (low, best, high) if n is not None])
    if sizes != sorted(sizes):
        yield Broken(("profile",), "min ≤ opt ≤ max must hold")
    for word, three in _map(profile.get("dynamic")).items():
        if _numbers(three) != sorted(_numbers(three)):
            yield Broken(("profile", "dynamic", word), "write [min, opt, max], smallest first")


def _engine_on_server(data: Data) -> Iterator[Broken]:
    if data.get("serve") == "tensorrt":
        if not on_cuda(data):
            message = "TensorRT runs on a GPU; write `device: cuda`"
            yield Broken(("device" if data.get("device") else "serve",), message)
        return
    for key in _ENGINE_ONLY:
        if data.get(key, _OWN_CONFIG[key]) not in (_OWN_CONFIG[key], None):
            message = f"goes with `serve: tensorrt`, not with {data['serve']}; remove it"
            yield Broken((key,), message, on_key=True)


def _varied(data: Data) -> Iterator[Broken]:
    """Rules of what makes the configs of a Triton backend."""
    for key in ("instances", "max_batch_size", "dynamic_batching", "config"):
        if isinstance(data.get(key), list | tuple):
            for index, value in _twice(data[key]):
                shown = value if isinstance(value, int) else "the same"
                shown = str(shown).lower() if isinstance(shown, bool) else shown
                yield Broken((key, index), f"{shown} is there twice")
    for name, value in _map(data.get("env")).items():
        if not WORD.fullmatch(str(name)):
            message = "an environment variable's name is made of letters, digits and _"
            yield Broken(("env", name), message, on_key=True)
        if isinstance(value, list | tuple):
            for index, item in _twice(value):
                yield Broken(("env", name, index), f"{item} is there twice")
    written = data.get("config")
    many = isinstance(written, list | tuple)
    for index, fields in enumerate(_list(written)):
        yield from under(("config", index) if many else ("config",), _fields(_map(fields), data))


def _fields(fields: Data, item: Data) -> Iterator[Broken]:
    """Rules of `config`: fields that Triton has, each said in one place only."""
    for key in fields:
        if key == "name":
            yield Broken((key,), "the harness names the model; remove it", on_key=True)
        elif key not in MODEL_CONFIG_FIELDS:
            near = nearest(str(key), MODEL_CONFIG_FIELDS)
            hint = f"; did you mean '{near}'?" if near else ""
            yield Broken((key,), f"config.pbtxt has no such field{hint}", on_key=True)
        elif (own := _OWN_KEYS.get(key)) and item.get(own) is not None:
            yield Broken((key,), f"is set by `{own}` already; keep one of the two", on_key=True)


# ------------------------------------------------------------------------------- models beside


def beside(data: Data) -> Iterator[Broken]:
    """Rules of one entry of `beside` by itself."""
    model = _map(data.get("model"))
    if _is_map(model.get("source")):
        yield from under(("model", "source"), source(model["source"]))
    yield from under(("model",), _each(model.get("inputs"), "inputs", input_))
    yield from under(("model",), model_(model))
    yield from _varied(data)
    load = _map(data.get("load"))
    if load:
        yield from under(("load",), beside_load(load))
    size = max(_numbers(load.get("batch_size")), default=1)
    for limit in _numbers(data.get("max_batch_size")):
        if limit < size:
            yield Broken(("max_batch_size",), f"{limit} is less than the batch of its load, {size}")
    for metric, written in _map(data.get("constraints")).items():
        if str(metric).endswith("memory_mib") and written is not None:
            message = "memory is the whole server's; write it in the scenario's `constraints`"
            yield Broken(("constraints", metric), message, on_key=True)
        yield from under(("constraints", metric), bound(metric, written))


def beside_load(data: Data) -> Iterator[Broken]:
    """Rules of the load of a model beside."""
    given = [key for key in ("concurrency", "request_rate") if data.get(key) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield Broken((), f"needs exactly one of concurrency and request_rate; found {found}",
                     lacks=() if given else ("concurrency", "request_rate"))  # fmt: skip


def _beside_it(data: Data) -> Iterator[Broken]:
    """Rules between a backend and the models beside its own."""
    others = [_map(other) for other in _list(data.get("beside"))]
    for index, name in _twice(other.get("name") for other in others):
        yield Broken(("beside", index, "name"), f"two models have the name '{name}'")
    for index, other in enumerate(others):
        device = _word(other.get("device"))
        if device[:4] in ("GPU-", "MIG-") and device != data.get("device"):
            message = "the server sees the backend's device only; write it there, or `cuda:N`"
            yield Broken(("beside", index, "device"), message)
        merged = _as_backend(other, data)
        if merged.get("serve") is not None:
            yield from under(("beside", index), _of_its_own(_engine_on_server(merged), other))


def _as_backend(other: Data, item: Data) -> dict[str, Any]:
    """A model beside as the backend that it would be alone."""
    own = {key: value for key, value in other.items() if value is not None}
    return {**{key: item.get(key) for key in ("kind", "serve", "device", "server")}, **own}


def _of_its_own(broken: Iterable[Broken], other: Data) -> Iterator[Broken]:
    """What the backend does not break itself; a key that it gave is marked on the whole model."""
    for found in broken:
        if found.loc[:1] == ("server",) or found.lacks:
            continue
        key = str(found.loc[0]) if found.loc else ""
        if not key or other.get(key) is not None:
            yield found
        else:
            yield Broken((), f"{key}: {found.message}")


def _beside_fits(item: Data, model: Data, source_kind: str) -> Iterator[Broken]:
    """Rules between the models beside, the measured model and the server."""
    main = [model.get("name"), _map(model.get("source")).get("triton")]
    for index, other in enumerate(map(_map, _list(item.get("beside")))):
        if other.get("name") is not None and other["name"] in main:
            message = f"'{other['name']}' is the measured model's name; give it another"
            yield Broken(("beside", index, "name"), message)
        theirs = _map(other.get("model"))
        kinds = given_sources(_map(theirs.get("source"))) if theirs else ["triton"]
        if len(kinds) == 1:
            found = _beside_source(other, item, kinds[0], source_kind == "triton")
            yield from under(("beside", index), found)


def _beside_source(other: Data, item: Data, kind: str, there: bool) -> Iterator[Broken]:
    """Whether the server can have that model: it holds either its own models, or the harness's."""
    merged = _as_backend(other, item)
    if there and kind != "triton":
        message = "the server has models of its own; leave `model` out, or give `{triton: NAME}`"
        yield Broken(("model", "source"), message)
    elif not there and kind == "triton":
        if other.get("model") is None:
            message = "needs `model`: the harness makes the server's repository"
            yield Broken((), message, lacks=("model",))
        else:
            message = "the harness makes the server's repository; give torch, onnx or another"
            yield Broken(("model", "source"), message)
    elif there:
        yield from _of_its_own(_there(merged), other)
    else:
        yield from _of_its_own(_served(merged, kind), other)


def _beside_alike(backends: list[Any], objective: Any) -> Iterator[Broken]:
    """Points are compared by what the models beside do: those of a name must want the same."""
    first: dict[str, Data] = {}
    for index, item in enumerate(map(_map, backends)):
        for number, other in enumerate(map(_map, _list(item.get("beside")))):
            loc = ("backends", index, "beside", number)
            known = first.setdefault(str(other.get("name")), other)
            for key in ("constraints", "weight"):
                if (known.get(key) or None) != (other.get(key) or None):
                    message = f"of '{other.get('name')}' is not what another backend says; "
                    yield Broken((*loc, key), message + "points are compared by it")
            if _numbers(other.get("weight")) not in ([], [0]) and len(_list(objective)) > 1:
                message = "goes with an objective of one value, not with a list; remove it"
                yield Broken((*loc, "weight"), message, on_key=True)


_PORTS = ("http_port", "grpc_port", "metrics_port")
_OURS_ONLY = ("args", *_PORTS, "backend_directory", "native")
_THEIRS_ONLY = ("tls", "headers", "load", "metrics_url", "telemetry")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def server(data: Data) -> Iterator[Broken]:
    """Rules of a Triton backend's `server`."""
    ports = [key for key in _PORTS if data.get(key) is not None]
    for index, port in _twice(data[key] for key in ports):
        yield Broken((ports[index],), f"port {port} is there twice")
    kinds = [key for key in ("binary", "docker", "url") if data.get(key) is not None]
    if len(kinds) > 1:
        yield Broken((), f"give one of binary, docker and url; found {' and '.join(kinds)}")
    yield from _of_the_other_kind(data)
    if data.get("url") is not None and data.get("repository") is not None:
        yield Broken((), "give repository or url, not both")
    yield from _headers(_map(data.get("headers")))
    if _is_map(data.get("docker")):
        yield from under(("docker",), docker(data["docker"]))
    yield from under(("tls",), tls(_map(data.get("tls"))))
    if _is_map(data.get("telemetry")):
        yield from under(("telemetry",), telemetry_source(data["telemetry"]))


def _of_the_other_kind(data: Data) -> Iterator[Broken]:
    """Keys of a server that the harness starts beside a url, and the other way round."""
    theirs = data.get("url") is not None
    for key in _OURS_ONLY if theirs else _THEIRS_ONLY:
        if data.get(key) or (key == "tls" and _is_map(data.get(key))):
            message = (
                "goes with a server that the harness starts, not with a url; remove it"
                if theirs else "goes with the `url` of a server that already runs; remove it"
            )  # fmt: skip
            yield Broken((key,), message, on_key=True)
    if data.get("backend_directory") and data.get("binary") is None and not theirs:
        yield Broken(("backend_directory",), "goes with `binary`; remove it", on_key=True)


def _headers(headers: Data) -> Iterator[Broken]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(str(name)):
            yield Broken(("headers", name), "no header has such a name", on_key=True)
        if isinstance(value, str) and not value.isprintable():
            yield Broken(("headers", name), "must be one line of printable characters")
        if is_sensitive(str(name)) and not _VARIABLE.search(_word(value)):
            message = (
                "would be written into the run directory; put the secret into an environment "
                "variable and write ${NAME} in its place"
            )
            yield Broken(("headers", name), message, on_key=True)
        if str(name).lower() in _HTTP_OWN:
            yield Broken(("headers", name), "is set by the client itself; remove it", on_key=True)


_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_HTTP_OWN = ("host", "content-length", "inference-header-content-length", "transfer-encoding",
             "connection", "te", "content-type", "user-agent")  # fmt: skip


def tls(data: Data) -> Iterator[Broken]:
    """Rules of `tls`."""
    for key, other in (("cert", "key"), ("key", "cert")):
        if data.get(key) is not None and data.get(other) is None:
            yield Broken((key,), f"needs `{other}` beside it", on_key=True)
    if data.get("verify") is False and data.get("ca") is not None:
        yield Broken(("ca",), "is not used with `verify: false`; remove one of them", on_key=True)


_RUN_OWN = ("--name", "--rm", "--detach", "-d", "--gpus", "--network", "--net", "--shm-size",
            "--publish", "-p", "--cidfile")  # fmt: skip


def docker(data: Data) -> Iterator[Broken]:
    """Rules of `server.docker`."""
    for index, mount in enumerate(_list(data.get("mounts"))):
        parts = _word(mount).split(":")
        if isinstance(mount, str) and (len(parts) not in (2, 3) or not all(parts)):
            yield Broken(("mounts", index), f"must look like HOST:CONTAINER[:ro], found '{mount}'")
    for index, argument in enumerate(_list(data.get("args"))):
        name = _word(argument).partition("=")[0]
        if name in _RUN_OWN:
            yield Broken(("args", index), f"{name} is set by the harness; remove it")


def telemetry_source(data: Data) -> Iterator[Broken]:
    """Rules of `server.telemetry`."""
    token = data.get("token")
    if isinstance(token, str) and not _VARIABLE.fullmatch(token):
        message = "must be ${NAME}, an environment variable; the token itself would be written "
        yield Broken(("token",), message + "into the run directory")
    yield from under(("tls",), tls(_map(data.get("tls"))))


def _names(backends: list[Any]) -> Iterator[Broken]:
    names = [default_name(b) if _is_map(b) else None for b in backends]
    for index, name in _twice(names):
        first = names.index(name)
        message = f"has the same name as backends[{first}], '{name}'; give each its own `name`"
        yield Broken(("backends", index), message, lacks=("name",))


def default_name(data: Data) -> str | None:
    """The backend's name: as written, or made from the settings that tell backends apart."""
    if data.get("name"):
        return str(data["name"])
    kind, precision = data.get("kind"), data.get("precision") or "fp32"
    device = "cpu" if kind == "torch" else "cuda"
    device = str(data.get("device") or device).replace(":", "")
    mode = f"{precision}-graphs" if data.get("cuda_graphs") else str(precision)
    if kind == "torch":
        return f"torch-{device}-{mode}" + ("-compiled" if data.get("compile") else "")
    if kind == "onnxruntime":
        provider = str(data.get("provider") or "CPUExecutionProvider")
        return f"onnxruntime-{provider.removesuffix('ExecutionProvider').lower()}-{mode}"
    if kind == "tensorrt":
        flavor = data.get("flavor") or "auto"
        return f"{'tensorrt' if flavor == 'auto' else flavor}-{mode}"
    if kind == "triton" and data.get("protocol") in ("http", "grpc"):
        served = [data["serve"]] if data.get("serve") else []
        words = ["triton", data["protocol"], *served, *([mode] if mode != "fp32" else [])]
        words += ["tritonclient"] if data.get("client") == "tritonclient" else []
        words += {"shared_memory": ["shm"], "cuda_shared_memory": ["cudashm"]}.get(
            str(data.get("io")), []
        )
        others = [_map(other).get("name") for other in _list(data.get("beside"))]
        words += ["with", *filter(None, others)] if others else []
        return "-".join(map(str, words))
    return "fake" if kind == "fake" else None


# ------------------------------------------------------------------ load, measurement, constraints


def load_(data: Data) -> Iterator[Broken]:
    """Rules of `load`."""
    for key in ("batch_sizes", "concurrency", "request_rate"):
        for index, value in _twice(_numbers(data.get(key))):
            yield Broken((key, index), f"{value} is there twice")
    shapes = [key for key in ("steps", "ramp", "trace") if data.get(key) is not None]
    for key in shapes[1:]:
        yield Broken((key,), f"give one of steps, ramp and trace; {shapes[0]} is there already")


def _capacity(load: Data) -> Iterator[Broken]:
    written = load.get("find_capacity")
    if _is_map(written):
        yield from find_capacity(_map(written))


def find_capacity(data: Data) -> Iterator[Broken]:
    """Rules of `load.find_capacity`: one target."""
    given = [k for k in data if k.startswith("latency_") and data[k] is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        yield Broken((), f"needs exactly one latency target, like latency_p99_ms: 50; {found}")


def measurement(data: Data) -> Iterator[Broken]:
    """Rules of `measurement`; what isn't written comes from the profile."""
    filled = profiles.fill(data)
    try:
        window, longest = (units.parse_duration(filled[k]) for k in ("window", "window_max"))
    except ValueError:
        return
    least, most = filled["rounds"], filled["rounds_max"]
    if type(least) is int and type(most) is int and 0 < most < least <= 1000:
        key = "rounds_max" if "rounds_max" in data else "rounds"
        yield Broken((key,), f"rounds_max ({most}) is less than rounds ({least})")
    if longest < window:
        key = "window_max" if "window_max" in data else "window"
        sizes = f"window_max ({filled['window_max']}) is shorter than window ({filled['window']})"
        yield Broken((key,), sizes)


def bound(metric: str, data: Any) -> Iterator[Broken]:
    """Rules of one constraint: more throughput is better, less of everything else."""
    if not _is_map(data):
        return
    useful, useless = ("min", "max") if metric == "throughput" else ("max", "min")
    if data.get(useless) is not None:
        words = "more is better" if useful == "min" else "less is better"
        yield Broken((useless,), f"{words} of {metric}; write `{useful}`", on_key=True)
    elif data.get(useful) is None:
        yield Broken((), f"write the bound, like {{{useful}: 100}}", lacks=(useful,))


def weights(data: Data) -> Iterator[Broken]:
    """Rules of a weighted objective."""
    if not any(value is not None for value in data.values()):
        yield Broken((), "write the weights, like {throughput: 2, latency_p99_ms: 1}")


def search(data: Data) -> Iterator[Broken]:
    """Rules of `search`."""
    method = data.get("method") or "grid"
    if data.get("trials") is not None and method != "bayesian":
        yield Broken(("trials",), f"goes with `method: bayesian`, not {method}; remove it",
                     on_key=True)  # fmt: skip
    if data.get("top") is not None and method not in ("quick", "bayesian"):
        message = f"goes with `method: quick` or `bayesian`, not {method}; remove it"
        yield Broken(("top",), message, on_key=True)


# ------------------------------------------------------------------------------- between the parts


def scenario(data: Data) -> Iterator[Broken]:
    """Rules between the parts."""
    backends = _list(data.get("backends"))
    for index, name in _twice(_list(data.get("objective"))):
        yield Broken(("objective", index), f"{name} is there twice")
    limits = (_map(data.get("search")).get("budget"), _map(data.get("measurement")).get("budget"))
    if all(limit is not None for limit in limits):
        message = "measurement.budget is there already; keep one of the two"
        yield Broken(("search", "budget"), message, on_key=True)
    yield from _names(backends)
    kinds = given_sources(_map(_map(data.get("model")).get("source")))
    batches = _numbers(_map(data.get("load")).get("batch_sizes")) or [1]
    for index, item in enumerate(backends):
        if _is_map(item) and _word(item.get("kind")) in _RUNS:
            yield from under(("backends", index), _largest_batch(item, max(batches)))
            if len(kinds) == 1:
                yield from under(("backends", index), _fits(item, kinds[0]))
                found = _beside_fits(item, _map(data.get("model")), kinds[0])
                yield from under(("backends", index), found)
    yield from _beside_alike(backends, data.get("objective"))


def _largest_batch(item: Data, largest: float) -> Iterator[Broken]:
    limit = item.get("max_batch_size")
    if (
        item.get("kind") == "triton"
        and len(_list(limit)) == 1
        and any(n < largest for n in _numbers(limit))
    ):  # where a list stands, each config is measured at the batches that it takes
        message = f"is {limit}, but load.batch_sizes goes up to {largest}"
        yield Broken(("max_batch_size",), message)


def _fits(item: Data, source_kind: str) -> Iterator[Broken]:
    kind = str(item["kind"])
    if source_kind not in _RUNS[kind]:
        wanted = _or(_RUNS[kind])
        message = f"{_a(kind)} backend can't run a model from `{source_kind}`; it needs {wanted}"
        yield Broken(("kind",), message)
    elif kind == "triton":
        yield from _there(item) if source_kind == "triton" else _served(item, source_kind)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def _or(words: tuple[str, ...]) -> str:
    *most, last = (f"`{word}`" for word in words)
    return f"{', '.join(most)} or {last}" if most else last


def _there(item: Data) -> Iterator[Broken]:
    """A model that is on a server already: which server, and nothing about its configuration."""
    server_ = item.get("server")
    if server_ is None or (_is_map(server_) and not _own_server(server_)):
        message = "a model from `triton` needs `server: {repository: DIR}` or `server: {url: …}`"
        where, lacks = (
            (("server",), ("repository", "url")) if _is_map(server_) else ((), ("server",))
        )
        yield Broken(where, message, lacks=lacks)
    for key, default in _OWN_CONFIG.items():
        if item.get(key, default) not in (default, None):
            message = "goes with a model that the harness serves, not with one from `triton`"
            yield Broken((key,), f"{message}; remove it", on_key=True)
    if _map(server_).get("url") is not None:
        for key in _VARIED:
            if item.get(key) not in (None, {}):
                message = "goes with a model that the harness serves, not with one behind a url"
                yield Broken((key,), f"{message}; remove it", on_key=True)


def _served(item: Data, source_kind: str) -> Iterator[Broken]:
    """A model that the harness puts on a server of its own."""
    serve = item.get("serve")
    if serve is None:
        message = "needs `serve`, what the server runs: onnxruntime, torch or tensorrt"
        yield Broken((), message, lacks=("serve",))
    elif _word(serve) in _SERVES and source_kind not in _SERVES[serve]:
        wanted = _or(_SERVES[serve])
        message = f"a server can't run a model from `{source_kind}` with {serve}; it needs {wanted}"
        yield Broken(("serve",), message)
    server_ = _map(item.get("server"))
    if _native(server_) and serve not in (None, "onnxruntime"):
        message = (
            f"Triton's own backends serve onnxruntime here, not {serve}; for others fill a model "
            "repository (`harness prepare --repository`) and give `server.repository`"
        )
        yield Broken(("serve",), message)
    if item.get("composing"):
        message = "goes with a model that is on the server already; remove it"
        yield Broken(("composing",), message, on_key=True)
    for key in _own_server(server_):
        message = (
            "goes with `source: {triton: NAME}` only: the harness makes the model's repository"
        )
        yield Broken(("server", key), message, on_key=True)


def _native(server_: Data) -> bool:
    """Whether the server runs the model by a backend of its own, as containers do by default."""
    native = server_.get("native")
    return native is True or (native is None and server_.get("docker") is not None)


def _own_server(server_: Data) -> list[str]:
    return [key for key in ("repository", "url") if server_.get(key) is not None]
