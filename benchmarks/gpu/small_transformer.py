"""A small transformer encoder, in plain operations that every exporter knows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Self-attention and a feed-forward part, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, width] → the same."""
        length, width = x.shape[1], x.shape[2]
        parts = self.into(self.norm1(x)).reshape(-1, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(width // self.heads)
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(-1, length, width)
        x = x + self.out(mixed)
        wider: Tensor = self.narrow(nn.functional.gelu(self.wide(self.norm2(x))))
        return x + wider


def encoder(width: int = 512, heads: int = 8, layers: int = 6) -> nn.Module:
    """[N, 128, 512] → the same: 19 million parameters."""
    return nn.Sequential(*(Block(width, heads) for _ in range(layers)), nn.LayerNorm(width))


def tiny() -> nn.Module:
    """[N, 128, 512] → the same, with one layer: to try a benchmark on a CPU."""
    return encoder(layers=1)
