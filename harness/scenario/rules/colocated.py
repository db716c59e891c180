"""Rules of `colocated`: other models on the same server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from harness.scenario.metrics import METRICS
from harness.scenario.rules.base import (
    Broken,
    Data,
    as_list,
    as_map,
    as_numbers,
    as_word,
    each,
    is_map,
    twice,
    under,
)
from harness.scenario.rules.load import bound
from harness.scenario.rules.model import input_, model_, source
from harness.scenario.rules.triton import engine_on_server, tf32_on_cuda, varied

SHARED = {m.name: m.shared for m in METRICS.values() if m.shared}
"""Metrics of all models together, not of one colocated: metric → why."""


def colocated(data: Data) -> Iterator[Broken]:
    """Rules of one entry of `colocated` by itself."""
    model = as_map(data.get("model"))
    if is_map(model.get("source")):
        yield from under(("model", "source"), source(model["source"]))
    yield from under(("model",), each(model.get("inputs"), "inputs", input_))
    yield from under(("model",), model_(model))
    yield from varied(data)
    load = as_map(data.get("load"))
    if load:
        yield from under(("load",), colocated_load(load))
    size = max(as_numbers(load.get("batch_size")), default=1)
    for limit in as_numbers(data.get("max_batch_size")):
        if limit < size:
            yield Broken(("max_batch_size",), f"{limit} is less than the batch of its load, {size}")
    for metric, written in as_map(data.get("constraints")).items():
        if metric in SHARED and written is not None:
            message = f"{SHARED[metric]}; write it in the scenario's `constraints`"
            yield Broken(("constraints", metric), message, on_key=True)
        yield from under(("constraints", metric), bound(metric, written))


def colocated_load(data: Data) -> Iterator[Broken]:
    """Rules of the load of a co-located model."""
    given = [key for key in ("concurrency", "request_rate") if data.get(key) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield Broken((), f"needs exactly one of concurrency and request_rate; found {found}",
                     lacks=() if given else ("concurrency", "request_rate"))  # fmt: skip


def colocated_it(data: Data) -> Iterator[Broken]:
    """Rules between a backend and the co-located modelss own."""
    others = [as_map(other) for other in as_list(data.get("colocated"))]
    for index, name in twice(other.get("name") for other in others):
        yield Broken(("colocated", index, "name"), f"two models have the name '{name}'")
    for index, other in enumerate(others):
        device = as_word(other.get("device"))
        if device[:4] in ("GPU-", "MIG-") and device != data.get("device"):
            message = "the server sees the backend's device only; write it there, or `cuda:N`"
            yield Broken(("colocated", index, "device"), message)
        merged = as_backend(other, data)
        if merged.get("serve") is not None:
            found = chain(tf32_on_cuda(merged), engine_on_server(merged))
            yield from under(("colocated", index), of_its_own(found, other))


def as_backend(other: Data, item: Data) -> dict[str, Any]:
    """A co-located model as the backend that it would be alone."""
    own = {key: value for key, value in other.items() if value is not None}
    return {**{key: item.get(key) for key in ("kind", "serve", "device", "server")}, **own}


def of_its_own(broken: Iterable[Broken], other: Data) -> Iterator[Broken]:
    """What the backend does not break itself; a key that it gave is marked on the whole model."""
    for found in broken:
        if found.loc[:1] == ("server",) or found.lacks:
            continue
        key = str(found.loc[0]) if found.loc else ""
        if not key or other.get(key) is not None:
            yield found
        else:
            yield Broken((), f"{key}: {found.message}")
