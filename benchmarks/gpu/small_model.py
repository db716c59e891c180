"""Models whose forward takes tens of microseconds, and a small transformer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def mlp(width: int = 256) -> nn.Module:
    """[N, 256] → [N, 256]: two linear layers with a ReLU between and one behind."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


def conv() -> nn.Module:
    """[N, 3, 16, 16] → [N, 10]: a convolution and a linear layer, so cuDNN and cuBLAS are used."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


class Block(nn.Module):
    """One layer of an encoder: attention and two linear layers, each added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        query, key, value = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        wider: Tensor = self.down(functional.gelu(self.up(self.norm2(x))))
        return x + wider


def encoder(width: int = 512, layers: int = 6, heads: int = 8) -> nn.Module:
    """[N, 128, 512] → [N, 128, 512]: a transformer's encoder after its embedding, 19 M weights."""
    return nn.Sequential(*(Block(width, heads) for _ in range(layers)), nn.LayerNorm(width))
