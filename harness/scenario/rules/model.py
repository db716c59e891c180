"""Rules of `model`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.scenario.rules.base import (
    BATCH,
    SOURCE_KINDS,
    WORD,
    Broken,
    Data,
    as_list,
    as_map,
    as_numbers,
    is_map,
    twice,
    under,
    with_article,
)


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
        count = as_list(shape).count(BATCH)
        if count != 1:
            shown = "[" + ", ".join(map(str, as_list(shape))) + "]"
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
    bounds = as_numbers(data["range"])
    if len(bounds) != 2 or len(as_list(data["range"])) != 2:
        return
    if not bounds[0] < bounds[1]:
        yield Broken(("range",), f"low must be less than high, found {bounds}")
    if str(data.get("dtype")).startswith("uint") and bounds[0] < 0:
        yield Broken(("range",), f"{data['dtype']} inputs can't be negative, found {bounds}")


def files(data: Data) -> Iterator[Broken]:
    """Rules of `data: {files: …}`."""
    mean, std = as_list(data.get("mean")), as_list(data.get("std"))
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
    inputs = [as_map(i) for i in as_list(data.get("inputs"))]
    for index, name in twice(i.get("name") for i in inputs):
        yield Broken(("inputs", index, "name"), f"two inputs have the name '{name}'")
    for index, item in enumerate(inputs):
        if is_map(item.get("data")):
            yield from under(("inputs", index, "data"), files(item["data"]))
    yield from _dynamic(inputs, data.get("dynamic"))
    kinds = given_sources(as_map(data.get("source")))
    if kinds in (["torch"], ["exported_program"]) and not as_list(data.get("inputs")):
        yield Broken((), f"{with_article(kinds[0])} source needs `inputs`", lacks=("inputs",))


def _dynamic(inputs: list[Data], sizes: Any) -> Iterator[Broken]:
    if not is_map(sizes) and sizes is not None:
        return
    sizes = as_map(sizes)
    words: set[str] = set()
    for index, item in enumerate(inputs):
        for axis, word in enumerate(as_list(item.get("shape"))):
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
