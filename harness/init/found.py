"""What was found out about a model: all that a scenario says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.models.tensors import BATCH, PreparedModel, TensorSpec
from harness.scenario.rules.base import WORD

Kind = Literal["onnx", "torch", "exported_program", "triton"]
Holds = Mapping[str, object]
"""What an input's data is made from: the keys `range` or `value`; empty for the default."""

_SIZES = (
    (re.compile(r"\w*past\w*", re.I), 0),
    (re.compile(r"\w*(seq|len|token|word|char|step)\w*|[lt]", re.I), 128),
    (re.compile(r"\w*(height|width)\w*|[hw]", re.I), 224),
    (re.compile(r"\w*(time|frame)\w*", re.I), 100),
)
"""A free dimension's name → a size to begin with."""
_OTHER = 16


@dataclass(frozen=True, slots=True)
class FoundInput:
    """One input, and how its data is made."""

    spec: TensorSpec
    holds: Holds = field(default_factory=dict)
    note: str = ""
    """Why that."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model, and what can be asked of it."""

    kind: Kind
    source: Mapping[str, object]
    """As the scenario says it."""
    name: str
    inputs: tuple[FoundInput, ...]
    dynamic: Mapping[str, int] = field(default_factory=dict)
    """Sizes that were chosen for the free dimensions other than the batch."""
    fixed_batch: int | None = None
    """The only batch size that it takes."""
    max_batch: int | None = None
    """The largest; None where nothing says it."""
    precision: str = "fp32"
    """What its weights are in."""
    packed: bool = False
    """Whether it is a module with quantized layers."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how this was found out."""
    servers: Sequence[Mapping[str, object]] = ()
    """Of a model on a Triton server: the backends' entries, one a protocol."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs without their data."""
        return tuple(item.spec for item in self.inputs)

    @property
    def batched(self) -> bool:
        """Whether any input follows the batch size; if none does, a request is one inference."""
        return any(BATCH in spec.shape for spec in self.specs)

    def prepared(self) -> PreparedModel:
        """The model as far as inputs are made from it."""
        return PreparedModel(
            self.name, self.source, "", self.specs, (), dynamic=self.dynamic,
            data={i.spec.name: i.holds for i in self.inputs if i.holds},  # type: ignore[misc]
            batch=None if self.batched else "none",
        )  # fmt: skip


def usable(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The same with words that a scenario may have for the free dimensions."""
    return tuple(
        TensorSpec(s.name, s.dtype, tuple(d if isinstance(d, int) else _word(d) for d in s.shape))
        for s in specs
    )


def _word(text: str) -> str:
    plain = re.sub(r"\W+", "_", text).strip("_") or "free"
    return plain if WORD.fullmatch(plain) else f"d_{plain}"


def sizes(
    specs: Sequence[TensorSpec], bounds: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, int]:
    """A size to begin with for each free dimension but the batch, within its bounds if known."""
    found: dict[str, int] = {}
    for spec in specs:
        for axis, word in enumerate(spec.shape):
            if isinstance(word, str) and word != BATCH and word not in found:
                low, high = (bounds or {}).get(word, (0, 10**9))
                found[word] = min(max(_size(spec, axis, word), low), high)
    return found


def _size(spec: TensorSpec, axis: int, word: str) -> int:
    """By the dimension's name; the last two of an image are its sides."""
    image = len(spec.shape) == 4 and spec.dtype.startswith(("float", "bfloat", "uint8"))
    if image and axis >= 2 and spec.shape[1] in (1, 3, 4):
        return 224
    return next((size for pattern, size in _SIZES if pattern.fullmatch(word)), _OTHER)


def holding(spec: TensorSpec, rows: int | None = None) -> FoundInput:
    """An input with what its data should be: of whole numbers, that depends on what they mean.

    `rows` is the length of the table that they are looked up in, where the model has one.
    """
    name = spec.name.lower()
    if not spec.dtype.startswith(("int", "uint")):
        return FoundInput(spec)
    if "mask" in name:
        return FoundInput(spec, {"value": [1]}, "nothing is masked")
    if "type" in name or "segment" in name:
        return FoundInput(spec, {"value": [0]}, "one segment")
    if rows is not None:
        return FoundInput(spec, {"range": [0, rows]}, f"looked up in a table of {rows} rows")
    return FoundInput(spec, {}, "drawn from [0, 2) unless `range: [0, N]` says more")


def lines_of(error: Exception) -> str:
    """An error's message in one line of a length that a comment may have."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:199]}…"


def fixed_batch(before: Sequence[TensorSpec], after: Sequence[TensorSpec]) -> int | None:
    """The batch size that a model is made for, where its batch dimension is a number."""
    return next(_fixed(before, after), None)


def _fixed(before: Sequence[TensorSpec], after: Sequence[TensorSpec]) -> Iterator[int]:
    for old, new in zip(before, after, strict=True):
        if BATCH in new.shape:
            size = old.shape[new.shape.index(BATCH)]
            if isinstance(size, int):
                yield size
