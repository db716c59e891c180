"""Models whose forward takes tens of microseconds."""

from __future__ import annotations

from torch import nn


def mlp(width: int = 256) -> nn.Module:
    """[N, 256] → [N, 256]: two linear layers with a ReLU between and one behind."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


def conv() -> nn.Module:
    """[N, 3, 16, 16] → [N, 10]: a convolution and a linear layer, so cuDNN and cuBLAS are used."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
