"""Small models for the tests: `sample_models:NAME` with this folder as the scenario's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


def mlp(inputs: int = 8, classes: int = 5) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, classes)
    )


def small_conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3))


class TwoInputs(nn.Module):
    """int64 ids and a float mask, with an optional argument between them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 4)

    def forward(self, ids: Tensor, positions: Any = None, mask: Any = None) -> dict[str, Any]:
        embedded = self.table(ids) * mask.unsqueeze(-1)
        return {"pooled": embedded.sum(1), "count": mask.sum(1), "nothing": None}


def two_inputs() -> nn.Module:
    return TwoInputs()


class RaisesOnForward(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("the forward gave up")


def raises_on_forward() -> nn.Module:
    return RaisesOnForward()


def raises() -> nn.Module:
    raise OSError("no weights here")


def returns_a_string() -> str:
    return "not a module"


class DataDependent(nn.Module):
    """Branches on data: torch.export refuses it, tracing takes one branch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        if float(x.abs().sum()) > 1e9:
            return self.linear(-x)
        return self.linear(x)


def data_dependent() -> nn.Module:
    return DataDependent()


class NumpyInside(nn.Module):
    """Leaves the graph: no exporter can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = [torch.from_numpy(np.sort(row.numpy())) for row in x]
        if len(rows) > 10**6:
            raise ValueError
        return torch.sparse.mm(torch.stack(rows).to_sparse(), self.linear.weight.T)


def numpy_inside() -> nn.Module:
    return NumpyInside()


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


class HalfPrecision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3).half()

    def forward(self, x: Tensor) -> Pair:
        y = self.linear(x)
        return Pair(y, y.argmax(1))


def half_precision() -> nn.Module:
    return HalfPrecision()


def unseeded() -> nn.Module:
    """Weights that no seed reaches."""
    module = nn.Linear(8, 3)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.random.default_rng().random((3, 8))))
    return module


class Restless(nn.Module):
    """One output as it should be, one with noise drawn in forward; doubles its input in place."""

    def __init__(self, noise: bool = True) -> None:
        super().__init__()
        self.linear, self.noise = nn.Linear(8, 3), noise

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x.mul_(2)
        rest = (torch.rand(len(x), 4),) if self.noise else ()
        return (self.linear(x), *rest)


def restless(noise: bool = True) -> nn.Module:
    return Restless(noise)


class TakesDict(nn.Module):
    """A dict in and dicts out, one of whose keys is an input's name."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, batch: Any) -> dict[str, Any]:
        y = self.linear(batch["x"])
        return {"x": y, "heads": [y.argmax(1), {"mean": y.mean()}], "none": None}


def takes_dict() -> nn.Module:
    return TakesDict()


class Swapped(nn.Module):
    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return tokens - mask


def swapped() -> nn.Module:
    return Swapped()


class NoTensors(nn.Module):
    def forward(self, x: Tensor) -> dict[str, str]:
        return {"text": "none"}


def no_tensors() -> nn.Module:
    return NoTensors()


class Bessel(nn.Module):
    """Has an operator that ONNX has not."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x * 2)


def bessel() -> nn.Module:
    return Bessel()


class Masked(nn.Module):
    """The mean over the words that a mask keeps, as sentence encoders take it: `mask.float()`."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(100, 16), nn.Linear(16, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        kept = mask.unsqueeze(-1).float()
        return self.linear((self.table(ids) * kept).sum(1) / kept.sum(1).clamp(min=1e-6))


def masked() -> nn.Module:
    return Masked()


def scripted() -> nn.Module:
    """As `torch.jit.load` gives it."""
    return torch.jit.script(mlp().eval())


def quantized() -> nn.Module:
    """Its linear layers hold int8 weights, packed."""
    linear = {nn.Linear}
    return torch.ao.quantization.quantize_dynamic(mlp().eval(), linear, dtype=torch.qint8)


def quantized_half() -> nn.Module:
    """The same in fp16, which it computes in by itself: inputs and outputs are fp32."""
    linear = {nn.Linear}
    return torch.ao.quantization.quantize_dynamic(mlp().eval(), linear, dtype=torch.float16)


class Layouts(nn.Module):
    """Outputs that are laid out as PyTorch alone knows it."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        some = torch.relu(x)
        return {
            "sparse": some.to_sparse(), "rows": some.to_sparse_csr(),
            "coded": torch.quantize_per_tensor(some.round(), 1.0, 0, torch.qint8),
            "uneven": torch.nested.nested_tensor([x[:1], x]),
        }  # fmt: skip


def layouts() -> nn.Module:
    return Layouts()


def compiled_inside() -> nn.Module:
    """What people leave in a factory that they use elsewhere."""
    return torch.compile(mlp().eval())
