"""A small transformer encoder of sentences, for scenarios/transformer.yaml.

It has MiniLM's shape and random weights: times and memory are those of such a model, and its
answers mean nothing.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Layer(nn.Module):
    """Self-attention and a feed-forward part, each with a residual and a norm behind it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.back = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """`x` is [batch, sequence, width], `bias` [batch, 1, 1, sequence]."""
        batch, length, width = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) / math.sqrt(width // self.heads) + bias
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, width)
        x = self.norms[0](x + self.out(mixed))
        return self.norms[1](x + self.back(nn.functional.gelu(self.wide(x))))


class Encoder(nn.Module):
    """Token ids to one vector of length 1 a sentence: the mean over what the mask leaves."""

    def __init__(self, layers: int, width: int, heads: int, words: int, longest: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(longest, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(layers)])

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Both [batch, sequence], int64 → [batch, width]."""
        place = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.places(place))
        kept = mask.to(x.dtype)
        bias = (1 - kept)[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        mean = (x * kept[..., None]).sum(1) / kept.sum(1, keepdim=True).clamp(min=1)
        return nn.functional.normalize(mean, dim=-1)


def make(
    layers: int = 6, width: int = 384, heads: int = 12, words: int = 30522, longest: int = 512
) -> nn.Module:
    """The encoder; the defaults are those of all-MiniLM-L6-v2: 22 million parameters."""
    torch.manual_seed(0)
    return Encoder(layers, width, heads, words, longest)
