"""Models that make each part of a request in turn what it waits for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOATS = 1 << 24
"""64 MiB in fp32."""
WIDTH, LAYERS = 4096, 16
SMALL_OPERATORS = 400


class TakesMuch(nn.Module):
    """[N, 2^24] → [N, 1]: a large copy in, one kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True) * self.scale


class GivesMuch(nn.Module):
    """[N, 1] → [N, 2^24]: one kernel, a large copy out."""

    def __init__(self) -> None:
        super().__init__()
        self.ones = nn.Parameter(torch.ones(1, FLOATS))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.ones


class ManyOperators(nn.Module):
    """[N, 16] → [N, 16]: hundreds of kernels of microseconds each."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(SMALL_OPERATORS):
            x = x + self.one
        return x


def takes() -> nn.Module:
    return TakesMuch()


def gives() -> nn.Module:
    return GivesMuch()


def enqueues() -> nn.Module:
    return ManyOperators()


def computes() -> nn.Module:
    """[N, 4096] → [N, 4096]: large matrix products."""
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))
