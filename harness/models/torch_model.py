"""A PyTorch module and how the scenario's inputs go into it, for every torch source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np

from harness.errors import BackendError
from harness.models.tensors import Array, Tensors
from harness.scenario.wording import counted
from harness.system.packages import require

require("torch")
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402


class TakesDict(nn.Module):
    """A module whose forward takes all inputs as one dict."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, **tensors: Tensor) -> object:
        """What the module makes of the dict."""
        return self.inner(tensors)


WIDENED = "harness_widened"
"""Attribute of a module whose weights were in 16 bits."""
PLAIN_FLOATS = (torch.float16, torch.float32, torch.float64)
"""Of numpy."""


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A module and how the scenario's inputs go into its forward."""

    module: nn.Module
    positional: tuple[str, ...]
    """Inputs that go in by position, in forward's order."""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """Input name → forward's keyword."""
    note: str = ""
    """How the inputs go in, where their names do not say it."""

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs, positional ones first."""
        return (*self.positional, *self.keywords)

    def arguments(self, tensors: Mapping[str, Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The args and kwargs to call the module with, as its weights are where those were made
        something else than they were.
        """
        if self.widened:
            dtype = next(self.module.parameters()).dtype
            tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
        args = [tensors[name] for name in self.positional]
        return args, {word: tensors[name] for name, word in self.keywords.items()}

    @property
    def own(self) -> nn.Module:
        """The user's module, as its factory made it."""
        return self.module.inner if isinstance(self.module, TakesDict) else self.module

    @property
    def widened(self) -> str:
        """What `in_fp32` found its weights in, where it made them fp32; else empty."""
        return str(getattr(self.own, WIDENED, ""))

    def __call__(self, inputs: Tensors, dtypes: Mapping[str, str] | None = None) -> list[Tensor]:
        """Eager outputs for host arrays, as a flat list."""
        return flatten(self.result(inputs, dtypes or {}))

    def result(self, inputs: Tensors, dtypes: Mapping[str, str]) -> object:
        """What forward returns, eager, for host arrays."""
        args, kwargs = self.arguments(to_tensors(inputs, dtypes))
        with torch.inference_mode():
            return self.module(*args, **kwargs)


def in_fp32(module: nn.Module) -> nn.Module:
    """Half-precision weights become fp32: precision is the backend's setting, not the model's."""
    low = {torch.float16: "fp16", torch.bfloat16: "bf16"}
    if found := {low[p.dtype] for p in module.parameters() if p.dtype in low}:
        object.__setattr__(module, WIDENED, " and ".join(sorted(found)))
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.dtype in low:  # not fp8, which `module.float()` would widen too
                tensor.data = tensor.data.float()
    return module


def to_tensors(inputs: Tensors, dtypes: Mapping[str, str]) -> dict[str, Tensor]:
    """Host arrays as host tensors; float32 arrays that stand for bfloat16 become bfloat16."""
    if words := [name for name, array in inputs.items() if array.dtype.kind == "U"]:
        raise BackendError(f"input {words[0]} holds strings, and PyTorch has no tensors of them")
    tensors = {name: torch.from_numpy(np.asarray(a, order="C")) for name, a in inputs.items()}
    return {
        name: t.to(torch.bfloat16) if dtypes.get(name) == "bfloat16" else t
        for name, t in tensors.items()
    }


def to_array(tensor: Tensor) -> Array:
    """A dense tensor as a host array; bfloat16 and 8-bit floats become float32, which holds them
    exactly.
    """
    host = tensor.detach().cpu()
    plain = not host.is_floating_point() or host.dtype in PLAIN_FLOATS
    array: Array = (host if plain else host.float()).numpy()
    return array


def flatten(result: object) -> list[Tensor]:
    """The tensors in what a forward returned: a tensor, or nested tuples, lists, mappings and
    dataclasses. Each is dense: that is how numpy has it, and how it is sent.
    """
    if isinstance(result, Tensor):
        return [dense(result)]
    leaves = pytree.tree_leaves(result)
    parts = (flatten(leaf if isinstance(leaf, Tensor) else _inside(leaf)) for leaf in leaves)
    return [tensor for part in parts for tensor in part]


def dense(tensor: Tensor) -> Tensor:
    """The same where it is a plain one, else its values as such; a nested one padded with 0."""
    if tensor.is_nested:
        return tensor.to_padded_tensor(0.0)
    if tensor.is_quantized:
        return tensor.dequantize()
    if tensor.layout == torch.strided:
        odd = tensor.is_conj() or tensor.is_neg()
        return tensor.resolve_conj().resolve_neg() if odd else tensor
    with torch.inference_mode():  # in which it was made
        return tensor.to_dense()


def _inside(leaf: object) -> dict[object, object]:
    """What a mapping or a dataclass holds that PyTorch's trees don't know; of others nothing."""
    if is_dataclass(leaf) and not isinstance(leaf, type):
        return {one.name: getattr(leaf, one.name) for one in fields(leaf)}
    return dict(leaf) if isinstance(leaf, Mapping) else {}


def _paths(result: object, outer: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Where each tensor is, in the order of `flatten`: positions as numbers, names as texts."""
    for keys, leaf in pytree.tree_flatten_with_path(result)[0]:
        path = (*outer, *map(_word, keys))
        if isinstance(leaf, Tensor):
            yield path
        else:
            yield from _paths(_inside(leaf), path)


def output_names(result: object, inputs: Sequence[str] = ()) -> list[str]:
    """A name for each tensor in what a forward returned, in the order of `flatten`.

    Keys of dicts and fields of named tuples are kept, joined by `_` where they are nested; what has
    none is `output`, or `output_0`, `output_1`, … A name that an input has already, or an earlier
    output, gets `_out` behind it.
    """
    paths = [*_paths(result)]
    if all(isinstance(word, int) for path in paths for word in path):
        return ["output"] if len(paths) == 1 else [f"output_{i}" for i in range(len(paths))]
    taken, names = {*inputs}, []
    for path in paths:
        words = ["output", *path] if not path or isinstance(path[0], int) else path
        name = "_".join(map(str, words))
        while name in taken:
            name += "_out"
        taken.add(name)
        names.append(name)
    return names


def _word(key: object) -> object:
    """A step of a path: a position as a number, a key or a field as its text."""
    if isinstance(key, pytree.SequenceKey):
        return int(key.idx)
    return str(getattr(key, "key", getattr(key, "name", key)))


def named(tensors: Sequence[Tensor], names: Sequence[str]) -> dict[str, Array]:
    """Outputs as host arrays, by name. Raises BackendError where there are more or fewer."""
    if len(tensors) != len(names):
        now = counted(len(tensors), "tensor")
        raise BackendError(f"forward returned {now} here, and {len(names)} before")
    return dict(zip(names, map(to_array, tensors), strict=True))
