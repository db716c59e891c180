"""A PyTorch module and how the scenario's inputs go into it, for every torch source."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.models.tensors import Array, Tensors
from harness.system.packages import require

require("torch")
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A module and how the scenario's inputs go into its forward."""

    module: nn.Module
    positional: tuple[str, ...]
    """Inputs that go in by position, in forward's order."""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """Input name → forward's keyword."""

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs, positional ones first."""
        return (*self.positional, *self.keywords)

    def arguments(self, tensors: Mapping[str, Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The args and kwargs to call the module with."""
        args = [tensors[name] for name in self.positional]
        return args, {word: tensors[name] for name, word in self.keywords.items()}

    def __call__(self, inputs: Tensors, dtypes: Mapping[str, str] | None = None) -> list[Tensor]:
        """Eager outputs for host arrays, as a flat list."""
        args, kwargs = self.arguments(to_tensors(inputs, dtypes or {}))
        with torch.inference_mode():
            return flatten(self.module(*args, **kwargs))


def bind(module: nn.Module, names: Sequence[str]) -> TorchModel:
    """How inputs go in: by name where forward has all the names, else in the order written."""
    try:
        parameters = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        parameters = []
    if not set(names) <= set(parameters):
        return TorchModel(module, tuple(names))
    count = next((i for i, p in enumerate(parameters) if p not in names), len(parameters))
    rest = [p for p in parameters[count:] if p in names]
    return TorchModel(module, tuple(parameters[:count]), {name: name for name in rest})


def in_fp32(module: nn.Module) -> nn.Module:
    """Half-precision weights become fp32: precision is the backend's setting, not the model's."""
    low = (torch.float16, torch.bfloat16)
    return module.float() if any(p.dtype in low for p in module.parameters()) else module


def to_tensors(inputs: Tensors, dtypes: Mapping[str, str]) -> dict[str, Tensor]:
    """Host arrays as host tensors; float32 arrays that stand for bfloat16 become bfloat16."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in inputs.items()}
    return {
        name: t.to(torch.bfloat16) if dtypes.get(name) == "bfloat16" else t
        for name, t in tensors.items()
    }


def to_array(tensor: Tensor) -> Array:
    """A tensor as a host array; bfloat16 becomes float32, which holds it exactly."""
    host = tensor.detach().cpu()
    array: Array = (host.float() if host.dtype == torch.bfloat16 else host).numpy()
    return array


def flatten(result: object) -> list[Tensor]:
    """The tensors in what a forward returned: a tensor, or nested tuples, lists and dicts."""
    if isinstance(result, Tensor):
        return [result]
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def output_names(count: int) -> list[str]:
    """`output`, or `output_0`, `output_1`, … when there are several."""
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def named(tensors: Sequence[Tensor]) -> dict[str, Array]:
    """Outputs as host arrays, by name."""
    return dict(zip(output_names(len(tensors)), map(to_array, tensors), strict=True))
