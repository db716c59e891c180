"""A model in PyTorch: a factory that is called, or an exported program that is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from harness.errors import UsageError
from harness.init import found as of
from harness.init.found import Found, FoundInput
from harness.models.batch import read_batch
from harness.models.binding import ways
from harness.models.factory import build
from harness.models.inputs import make_inputs
from harness.models.program import program_inputs, read_program
from harness.models.tensors import BATCH, TensorSpec
from harness.models.torch_model import WIDENED, in_fp32
from harness.models.weights import weights_precision

IMAGE_SIDES = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)
"""Tried in this order for a network of convolutions: networks are made for some of these."""
Guess = tuple[str, tuple[int | str, ...]]
"""A dtype and a shape."""
_FIX = "say them: --input 'NAME=float32:batch,3,224,224', one for each argument of forward"


def examine_factory(
    reference: str, name: str, base: Path, said: Sequence[TensorSpec] = ()
) -> Found:
    """What a factory makes; its inputs are `said`, or guessed from its layers and tried.

    Raises UsageError where it can't be called, or no guess runs.
    """
    module = build({"torch": reference, "base": str(base), "seed": 0, "kwargs": {}})
    source = {"torch": reference}
    weights = _weights(module)
    guesses = [_said(said)] if said else list(_guesses(module, weights.precision))
    reasons: list[str] = []
    for guess in guesses:
        found = Found("torch", source, name, guess, of.sizes([i.spec for i in guess]))
        why = _fails(module, found)
        if not why:
            note = "as you said them" if said else "guessed from the first layer"
            return Found(
                "torch", source, name, guess, found.dynamic,
                precision=weights.precision, packed=weights.packed,
                notes=(f"inputs {note}, and tried once: forward runs", *weights.notes),
            )  # fmt: skip
        reasons.append(why)
    takes = ", ".join(_arguments(module)) or "none"
    last = f"; the last try: {reasons[-1]}" if reasons else ""
    raise UsageError(
        f"{reference}: its inputs can't be found out (forward takes {takes}){last}", fix=_FIX
    )


class _Weights(NamedTuple):
    """What a module's weights are in, whether as packed ones of quantized layers, and in words."""

    precision: str
    packed: bool
    notes: tuple[str, ...]


def _weights(module: nn.Module) -> _Weights:
    widened = str(getattr(module, WIDENED, ""))
    precision = widened or weights_precision(module)
    packed = precision not in ("fp32", "fp64") and not widened
    fp32 = "; what does not take this `precision` runs them in fp32" if widened else ""
    notes = (f"the weights are {precision}{fp32}",) if precision != "fp32" else ()
    return _Weights(precision, packed, notes)


def _said(specs: Sequence[TensorSpec]) -> tuple[FoundInput, ...]:
    return tuple(of.holding(spec) for spec in specs)


def _arguments(module: nn.Module) -> list[str]:
    """The arguments that forward needs."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    return needed or ["input"]


def _guesses(module: nn.Module, precision: str) -> Iterator[tuple[FoundInput, ...]]:
    """Inputs that the first layer with weights would take."""
    names = _arguments(module)
    first = next((m for m in module.modules() if _SHAPES.get(type(m).__name__)), None)
    if first is None:
        return
    for dtype, shape in _SHAPES[type(first).__name__](first):
        rows = getattr(first, "num_embeddings", None)
        exact = "float64" if (dtype, precision) == ("float32", "fp64") else dtype
        yield tuple(of.holding(TensorSpec(name, exact, shape), rows) for name in names)


def _sizes(layer: nn.Module, *names: str) -> list[int]:
    """Attributes of a layer that are whole numbers."""
    return [int(str(getattr(layer, name))) for name in names]


def _images(layer: nn.Module) -> list[Guess]:
    (channels,) = _sizes(layer, "in_channels")
    return [("float32", (BATCH, channels, side, side)) for side in IMAGE_SIDES]


def _signals(layer: nn.Module) -> list[Guess]:
    return [("float32", (BATCH, *_sizes(layer, "in_channels"), "length"))]


def _volumes(layer: nn.Module) -> list[Guess]:
    return [("float32", (BATCH, *_sizes(layer, "in_channels"), 16, 112, 112))]


def _features(layer: nn.Module) -> list[Guess]:
    (width,) = _sizes(layer, "in_features")
    return [("float32", (BATCH, width)), ("float32", (BATCH, "sequence", width))]


def _tokens(layer: nn.Module) -> list[Guess]:
    return [("int64", (BATCH, "sequence"))]


def _recurrent(layer: nn.Module) -> list[Guess]:
    front = (BATCH, "sequence") if layer.batch_first else ("sequence", BATCH)
    return [("float32", (*front, *_sizes(layer, "input_size")))]


_SHAPES: dict[str, Callable[[nn.Module], list[Guess]]] = {
    "Conv2d": _images, "Conv1d": _signals, "Conv3d": _volumes, "Linear": _features,
    "Embedding": _tokens, "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent,
}  # fmt: skip
"""Class of the first layer with weights → what it takes, in the order in which it is tried."""


def _fails(module: nn.Module, found: Found) -> str:
    """Why forward fails on such inputs, at batch 2; empty where it runs."""
    dtypes = {spec.name: spec.dtype for spec in found.specs}
    reasons = []
    try:
        inputs = make_inputs(found.prepared(), 2 if found.batched else 1, 0)
        bound = ways(module, list(dtypes))
    except UsageError as error:
        return error.message
    for way in bound.values():
        try:
            way.result(inputs, dtypes)
        except Exception as error:
            reasons.append(of.lines_of(error))
        else:
            return ""
    return "; ".join(reasons)


# -------------------------------------------------------------------------------------- programs


def examine_program(path: Path, written: str, name: str) -> Found:
    """An exported program, with inputs, sizes and bounds as it says them.

    Raises UsageError when it can't be read, or only with code that is in it.
    """
    program = read_program(path)
    shapes = program_inputs(program)
    dtypes = {
        node.name: str(node.meta["val"].dtype).removeprefix("torch.")
        for node in program.graph.nodes if node.name in shapes
    }  # fmt: skip
    before = tuple(TensorSpec(n, dtypes[n], shape) for n, shape in shapes.items())
    reading = read_batch(path.name, before, (), None, {})
    batch = {
        old for b, a in zip(before, reading.inputs, strict=True)
        for old, new in zip(b.shape, a.shape, strict=True) if new == BATCH
    }  # fmt: skip
    bounds = _bounds(program)
    specs = of.usable(reading.inputs)
    words = {_plain(old): limits for old, limits in bounds.items()}
    weights = _weights(in_fp32(program.module()))
    most = [bounds[word][1] for word in batch if isinstance(word, str) and word in bounds]
    return Found(
        "exported_program", {"exported_program": written}, name,
        tuple(of.holding(spec) for spec in specs), of.sizes(specs, words),
        of.fixed_batch(before, reading.inputs), min(most, default=None),
        weights.precision, weights.packed,
        (*((reading.words,) if reading.guessed else ()), *weights.notes),
    )  # fmt: skip


def _plain(word: str) -> str:
    return str(of.usable([TensorSpec("", "", (word,))])[0].shape[0])


def _bounds(program: torch.export.ExportedProgram) -> Mapping[str, tuple[int, int]]:
    """Free dimension → the smallest and largest size that the program was exported for."""
    found = {}
    for symbol, values in program.range_constraints.items():
        low, high = values.lower, values.upper
        largest = int(high) if str(high).isdigit() else 10**9
        found[str(symbol)] = (int(low) if str(low).isdigit() else 1, min(largest, 10**9))
    return found
