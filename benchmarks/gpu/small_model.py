"""A model whose forward takes tens of microseconds."""

from __future__ import annotations

from torch import nn


def mlp(width: int = 256) -> nn.Module:
    """[N, 256] → [N, 256]: two linear layers with a ReLU between and one behind."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
