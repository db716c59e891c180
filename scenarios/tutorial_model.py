"""The model of docs/tutorial.md: a small classifier of images, as somebody's own would be."""

from __future__ import annotations

import torch
from torch import nn


def make(classes: int = 10) -> nn.Module:
    """Convolutions, a pool and a layer: [batch, 3, 64, 64] → [batch, classes]."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes),
    )  # fmt: skip
