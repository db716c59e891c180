"""Which dimension of which tensor is the batch, where the scenario's inputs do not say it.

What the scenario says under `model.batch` counts. Otherwise the file's own names decide, on any
axis; else a free first axis is the batch. Dimensions of one name are one size; those whose names an
exporter made up may be, and how sizes really propagate decides (`harness.models.propagation`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.models.tensors import BATCH, BatchSaid, TensorSpec
from harness.results.grouping import grouped

Specs = tuple[TensorSpec, ...]
Following = Callable[[Specs, Sequence[str]], frozenset[str] | None]
"""Inputs and names of dimensions that may be the batch, the first of which is; the names of all
dimensions, of inputs and outputs, that have its size. None where it can't be found out."""

NAMED = re.compile(r"n|b|bs|bsz|\w*batch\w*", re.I)
"""What people and exporters call the batch."""
MADE_UP = re.compile(
    r"unk__\d+|p2o\.DynamicDimension\.\d+|s\d+|dim_?\d+|\w*(_dim_?|dynamic_axes_)\d+"
)
"""What exporters call a dimension that nobody named."""
OTHER = re.compile(
    r"\w*(seq|len|time|token|frame|height|width|point|past|step|word|char|node|edge)\w*|[hwtl]",
    re.I,
)
"""What people call a dimension that is not the batch, also where it is the first."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Inputs and outputs with the batch where it was found, and how it was, in words.

    `guessed`: neither the scenario nor the file's names on the first axes say it.
    """

    inputs: Specs
    outputs: Specs
    words: str = ""
    guessed: bool = False


def read_batch(
    where: object, inputs: Specs, outputs: Specs, said: BatchSaid, dynamic: Mapping[str, int],
    following: Following | None = None,
) -> Reading:  # fmt: skip
    """Find the batch of tensors as a file or a server describes them.

    Raises UsageError where the scenario names what is not there, and where several dimensions may
    be the batch and nothing tells which.
    """
    if said == "none":
        return Reading(inputs, outputs)
    if said is not None:
        axes = dict(_said(where, (*inputs, *outputs), said))
        found = apply(inputs, outputs, axes, following)
        none = (
            {k for k, axis in said.items() if axis == "none"} if not isinstance(said, str) else ()
        )
        back = {s.name: s for s in (*inputs, *outputs) if s.name in none}
        read, outside = (tuple(back.get(s.name, s) for s in specs) for specs in found)
        return Reading(read, outside)
    names, why = _names(where, inputs, dynamic)
    if not names:
        return _fixed(inputs, outputs)
    ran = following(inputs, names) if following else None
    same = ran or _by_name(names)
    if distinct := [n for n in names if n not in same]:
        raise _unclear(where, inputs, [names[0], *distinct])
    axes = _first_axes(inputs, same)
    found = apply(inputs, outputs, axes, (lambda *_: ran) if ran else None)
    plain = why == "named so" and not any(axes.values())
    why += ", followed by running the file at two sizes" if ran else ""
    return Reading(*found, f"the batch is {_places(inputs, axes)} ({why})", not plain)


def _names(where: object, inputs: Specs, dynamic: Mapping[str, int]) -> tuple[list[str], str]:
    """Dimensions that may be the batch, best first, and why. Raises UsageError."""
    free = [d for spec in inputs for d in dict.fromkeys(spec.shape)
            if isinstance(d, str) and spec.shape.count(d) == 1]  # fmt: skip
    square = {d for spec in inputs for d in spec.shape if spec.shape.count(d) > 1}
    free = [d for d in dict.fromkeys(free) if d not in square]
    if named := [d for d in free if NAMED.fullmatch(d)]:
        if chosen := [d for d in named if d not in dynamic]:
            return chosen, "named so"
        places = _places(inputs, _first_axes(inputs, {named[0]}))
        every = dict.fromkeys(d for s in inputs for d in s.shape if isinstance(d, str))
        lacks = ", ".join(f"{d}: N" for d in every if d not in dynamic)
        instead = f"write `dynamic: {{{lacks}}}` instead" if lacks else "remove it there"
        raise UsageError(
            f"model.dynamic: '{named[0]}' is the batch of {where} ({places}): its sizes come from "
            "load.batch_sizes",
            fix=f"{instead}, or say `batch: none` of the model",
        )
    first = dict.fromkeys(spec.shape[0] for spec in inputs if spec.shape)
    chosen = [d for d in free if d in first and d not in dynamic and not OTHER.fullmatch(d)]
    return chosen, "a free first axis"


def _by_name(names: Sequence[str]) -> frozenset[str]:
    """What is the same size where only names are known: one name, or names that were made up."""
    made_up = [n for n in names if MADE_UP.fullmatch(n)]
    return frozenset(made_up if names[0] in made_up else names[:1])


def _fixed(inputs: Specs, outputs: Specs) -> Reading:
    """No dimension is free to be the batch: it is fixed, or there is none.

    It is fixed at 1, or at another first size that every input and an output have.
    """
    firsts = {spec.shape[0] for spec in inputs if spec.shape}
    size = next(iter(firsts)) if len(firsts) == 1 else 1 if 1 in firsts else None
    there = size == 1 or size in {spec.shape[0] for spec in outputs if spec.shape}
    if isinstance(size, int) and there:
        axes = {spec.name: 0 for spec in inputs if spec.shape[:1] == (size,)}
        words = f"the batch is {_places(inputs, axes)} (fixed at {size})"
        return Reading(*apply(inputs, outputs, axes), words, len(axes) < len(inputs))
    words = "no dimension is read as a batch: a request is one inference"
    return Reading(inputs, outputs, words, guessed=True)


def _unclear(where: object, inputs: Specs, names: Sequence[str]) -> UsageError:
    places = [_places(inputs, _first_axes(inputs, {name})) for name in names]
    shown = [f"{name} ({place})" for name, place in zip(names, places, strict=True)]
    return UsageError(
        f"which dimension of {where} is the batch is not clear: {' or '.join(shown)}",
        fix=f"say `batch: {names[0]}` of the model (or `none`), and sizes of the others "
        "under `dynamic`",
    )


def _said(
    where: object, specs: Specs, said: str | Mapping[str, int | str]
) -> Iterator[tuple[str, int]]:
    known = {spec.name: spec.shape for spec in specs}
    if isinstance(said, str):
        found = _first_axes(specs, {said})
        if not found:
            words = dict.fromkeys(d for s in specs for d in s.shape if isinstance(d, str))
            there = ", ".join(words) or "none"
            raise UsageError(f"model.batch: {where} has no dimension '{said}'; it has {there}")
        yield from found.items()
        return
    for name, axis in said.items():
        if name not in known:
            raise UsageError(
                f"model.batch: {where} has no tensor '{name}'; it has {', '.join(known)}"
            )
        if isinstance(axis, int) and axis >= len(known[name]):
            shape = ", ".join(map(str, known[name]))
            raise UsageError(f"model.batch: {name} has no axis {axis}: its shape is [{shape}]")
        if isinstance(axis, int):
            yield name, axis


def apply(
    inputs: Specs, outputs: Specs, axes: Mapping[str, int], following: Following | None = None
) -> tuple[Specs, Specs]:
    """The tensors with the batch on these axes, and wherever its size goes from there."""
    given = {s.name: s.shape[axes[s.name]] for s in inputs if s.name in axes}
    names = [d for d in dict.fromkeys(given.values()) if isinstance(d, str)]
    ran = following(inputs, names) if following and names else None
    same = ran or frozenset(names)
    front = not ran and bool(axes) and all(axes[name] == 0 for name in given)
    read = tuple(_placed(s, axes, same) for s in inputs)
    unknown = frozenset(d for s in inputs for d in s.shape) | same
    return read, tuple(_placed(s, axes, same, unknown if front else None) for s in outputs)


def _placed(
    spec: TensorSpec, axes: Mapping[str, int], same: frozenset[str],
    known: frozenset[int | str] | None = None,
) -> TensorSpec:  # fmt: skip
    """One tensor; a free first axis of an output that is no input's is the batch, as inputs' is."""
    axis = axes.get(spec.name, next((i for i, d in enumerate(spec.shape) if d in same), None))
    if axis is None and known is not None and spec.shape and isinstance(spec.shape[0], str):
        axis = 0 if spec.shape[0] not in known else None
    if axis is None:
        return spec
    return replace(spec, shape=(*spec.shape[:axis], BATCH, *spec.shape[axis + 1 :]))


def _first_axes(specs: Specs, names: Iterable[str]) -> dict[str, int]:
    """Tensor → its first axis of one of these names."""
    wanted = set(names)
    found = ((s.name, next((i for i, d in enumerate(s.shape) if d in wanted), -1)) for s in specs)
    return {name: axis for name, axis in found if axis >= 0}


def _places(specs: Specs, axes: Mapping[str, int]) -> str:
    """`axis 1 of words, axis 0 of h0`."""
    found = grouped((s.name for s in specs if s.name in axes), lambda name: axes[name])
    return "; ".join(f"axis {axis} of {', '.join(names)}" for axis, names in found.items())
