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
    "serve": None, "precision": "fp32", "device": "cpu", "threads": None,
    "instances": 1, "max_batch_size": None, "dynamic_batching": False, "flavor": "auto",
    "workspace": None, "optimization_level": None, "cuda_graphs": False,
}  # fmt: skip
"""Settings of a model that the harness puts on the server, with their defaults."""
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
        if data.get("io") == "device":
            message = "requests to a server start in host memory; use `io: host`"
            yield Broken(("io",), message)
        if data.get("serve") is not None:
            yield from _engine_on_server(data)


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


_PORTS = ("http_port", "grpc_port", "metrics_port")


def server(data: Data) -> Iterator[Broken]:
    """Rules of a Triton backend's `server`."""
    ports = [key for key in _PORTS if data.get(key) is not None]
    for index, port in _twice(data[key] for key in ports):
        yield Broken((ports[index],), f"port {port} is there twice")
    if data.get("url") is None:
        return
    if data.get("repository") is not None:
        yield Broken((), "give repository or url, not both")
    for key in ("args", *_PORTS):
        if data.get(key):
            message = "goes with a server that the harness starts, not with a url; remove it"
            yield Broken((key,), message, on_key=True)


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


# ------------------------------------------------------------------------------- between the parts


def scenario(data: Data) -> Iterator[Broken]:
    """Rules between model, backends and load."""
    backends = _list(data.get("backends"))
    yield from _names(backends)
    kinds = given_sources(_map(_map(data.get("model")).get("source")))
    batches = _numbers(_map(data.get("load")).get("batch_sizes")) or [1]
    for index, item in enumerate(backends):
        if _is_map(item) and _word(item.get("kind")) in _RUNS:
            yield from under(("backends", index), _largest_batch(item, max(batches)))
            if len(kinds) == 1:
                yield from under(("backends", index), _fits(item, kinds[0]))


def _largest_batch(item: Data, largest: float) -> Iterator[Broken]:
    limit = item.get("max_batch_size")
    if item.get("kind") == "triton" and any(n < largest for n in _numbers(limit)):
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
    for key in _own_server(_map(item.get("server"))):
        message = (
            "goes with `source: {triton: NAME}` only: the harness makes the model's repository"
        )
        yield Broken(("server", key), message, on_key=True)


def _own_server(server_: Data) -> list[str]:
    return [key for key in ("repository", "url") if server_.get(key) is not None]
