"""What must hold between the keys of a scenario, as functions over plain data.

The models in `schema` apply these rules to themselves; `loader` applies them to the file as it was
written, also when other parts of it are wrong, so that one run shows every mistake. Each rule
therefore skips what it doesn't understand: complaining about types is pydantic's part.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from harness.scenario.rules.backend import backend, default_name
from harness.scenario.rules.base import (
    Broken,
    Data,
    any_of,
    as_list,
    as_map,
    as_numbers,
    as_word,
    each,
    is_map,
    twice,
    under,
    with_article,
)
from harness.scenario.rules.colocated import as_backend, of_its_own
from harness.scenario.rules.load import bound, capacity, load_, measurement, search, weights
from harness.scenario.rules.model import given_sources, input_, model_, source
from harness.scenario.rules.triton import OWN_CONFIG

_IN_TORCH = ("torch", "exported_program")
_IN_ONNX = ("torch", "exported_program", "onnx")
_RUNS: dict[str, tuple[str, ...]] = {
    "torch": _IN_TORCH, "onnxruntime": _IN_ONNX, "tensorrt": (*_IN_ONNX, "engine"),
    "triton": (*_IN_ONNX, "triton"), "fake": ("fake",),
}  # fmt: skip
"""Backend kind → the sources it can run, exported if need be."""
_SERVES = {"torch": _IN_TORCH, "onnxruntime": _IN_ONNX, "tensorrt": _IN_ONNX}
_VARIED = ("instances", "max_batch_size", "dynamic_batching", "config", "env")
"""Settings of a model on a server that the harness starts, which may hold lists."""


def check(data: Data) -> Iterator[Broken]:
    """Every rule, on a whole scenario."""
    model, load = as_map(data.get("model")), as_map(data.get("load"))
    inputs = under(("model",), each(model.get("inputs"), "inputs", input_))
    backends = each(data.get("backends"), "backends", backend)
    limits = as_map(data.get("constraints"))
    return chain(
        under(("model", "source"), source(model["source"])) if is_map(model.get("source")) else (),
        inputs,
        under(("model",), model_(model)),
        backends,
        under(("load",), load_(load)),
        under(("load", "find_capacity"), capacity(load)),
        under(("measurement",), measurement(as_map(data.get("measurement")))),
        under(("objective",), weights(data["objective"])) if is_map(data.get("objective")) else (),
        under(("search",), search(as_map(data.get("search")))),
        chain.from_iterable(under(("constraints", k), bound(k, v)) for k, v in limits.items()),
        scenario(data),
    )


def _colocated_fits(item: Data, model: Data, source_kind: str) -> Iterator[Broken]:
    """Rules between the co-located models, the measured model and the server."""
    main = [model.get("name"), as_map(model.get("source")).get("triton")]
    for index, other in enumerate(map(as_map, as_list(item.get("colocated")))):
        if other.get("name") is not None and other["name"] in main:
            message = f"'{other['name']}' is the measured model's name; give it another"
            yield Broken(("colocated", index, "name"), message)
        theirs = as_map(other.get("model"))
        kinds = given_sources(as_map(theirs.get("source"))) if theirs else ["triton"]
        if len(kinds) == 1:
            found = _colocated_source(other, item, kinds[0], source_kind == "triton")
            yield from under(("colocated", index), found)


def _colocated_source(other: Data, item: Data, kind: str, there: bool) -> Iterator[Broken]:
    """Whether the server can have that model: it holds either its own models, or the harness's."""
    merged = as_backend(other, item)
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
        yield from of_its_own(_there(merged), other)
    else:
        yield from of_its_own(_served(merged, kind), other)


def _colocated_alike(backends: list[Any], objective: Any) -> Iterator[Broken]:
    """Points are compared by what the co-located models do: those of a name must want the same."""
    first: dict[str, Data] = {}
    for index, item in enumerate(map(as_map, backends)):
        for number, other in enumerate(map(as_map, as_list(item.get("colocated")))):
            loc = ("backends", index, "colocated", number)
            known = first.setdefault(str(other.get("name")), other)
            for key in ("constraints", "weight"):
                if (known.get(key) or None) != (other.get(key) or None):
                    message = f"of '{other.get('name')}' is not what another backend says; "
                    yield Broken((*loc, key), message + "points are compared by it")
            if as_numbers(other.get("weight")) not in ([], [0]) and len(as_list(objective)) > 1:
                message = "goes with an objective of one value, not with a list; remove it"
                yield Broken((*loc, "weight"), message, on_key=True)


def _names(backends: list[Any]) -> Iterator[Broken]:
    names = [default_name(b) if is_map(b) else None for b in backends]
    for index, name in twice(names):
        first = names.index(name)
        message = f"has the same name as backends[{first}], '{name}'; give each its own `name`"
        yield Broken(("backends", index), message, lacks=("name",))


def scenario(data: Data) -> Iterator[Broken]:
    """Rules between the parts."""
    backends = as_list(data.get("backends"))
    for index, name in twice(as_list(data.get("objective"))):
        yield Broken(("objective", index), f"{name} is there twice")
    limits = (
        as_map(data.get("search")).get("budget"),
        as_map(data.get("measurement")).get("budget"),
    )
    if all(limit is not None for limit in limits):
        message = "measurement.budget is there already; keep one of the two"
        yield Broken(("search", "budget"), message, on_key=True)
    yield from _names(backends)
    kinds = given_sources(as_map(as_map(data.get("model")).get("source")))
    batches = as_numbers(as_map(data.get("load")).get("batch_sizes")) or [1]
    for index, item in enumerate(backends):
        if is_map(item) and as_word(item.get("kind")) in _RUNS:
            yield from under(("backends", index), _largest_batch(item, max(batches)))
            if len(kinds) == 1:
                yield from under(("backends", index), _fits(item, kinds[0]))
                found = _colocated_fits(item, as_map(data.get("model")), kinds[0])
                yield from under(("backends", index), found)
    yield from _colocated_alike(backends, data.get("objective"))


def _largest_batch(item: Data, largest: float) -> Iterator[Broken]:
    limit = item.get("max_batch_size")
    if (
        item.get("kind") == "triton"
        and len(as_list(limit)) == 1
        and any(n < largest for n in as_numbers(limit))
    ):  # where a list stands, each config is measured at the batches that it takes
        message = f"is {limit}, but load.batch_sizes goes up to {largest}"
        yield Broken(("max_batch_size",), message)


def _fits(item: Data, source_kind: str) -> Iterator[Broken]:
    kind = str(item["kind"])
    if source_kind not in _RUNS[kind]:
        wanted = any_of(_RUNS[kind])
        who = f"{with_article(kind)} backend"
        message = f"{who} can't run a model from `{source_kind}`; it needs {wanted}"
        yield Broken(("kind",), message)
    elif kind == "triton":
        yield from _there(item) if source_kind == "triton" else _served(item, source_kind)


def _there(item: Data) -> Iterator[Broken]:
    """A model that is on a server already: which server, and nothing about its configuration."""
    server_ = item.get("server")
    if server_ is None or (is_map(server_) and not _own_server(server_)):
        message = "a model from `triton` needs `server: {repository: DIR}` or `server: {url: …}`"
        where, lacks = (
            (("server",), ("repository", "url")) if is_map(server_) else ((), ("server",))
        )
        yield Broken(where, message, lacks=lacks)
    for key, default in OWN_CONFIG.items():
        if item.get(key, default) not in (default, None):
            message = "goes with a model that the harness serves, not with one from `triton`"
            yield Broken((key,), f"{message}; remove it", on_key=True)
    if as_map(server_).get("url") is not None:
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
    elif as_word(serve) in _SERVES and source_kind not in _SERVES[serve]:
        wanted = any_of(_SERVES[serve])
        message = f"a server can't run a model from `{source_kind}` with {serve}; it needs {wanted}"
        yield Broken(("serve",), message)
    server_ = as_map(item.get("server"))
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
