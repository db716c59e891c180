"""FLOP and bytes by operator, of real modules, against what a hand counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.profile.counting import count


def test_convolutions_linear_layers_and_what_only_moves_bytes() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(8 * 16, 5),
    ).eval()  # fmt: skip
    work = {name: done for (name, _), done in count(module, [torch.ones(2, 3, 4, 4)], {}).items()}
    plane = 2 * 8 * 16
    assert work["aten::conv2d"] == (2 * plane * 27, 4 * (2 * 3 * 16 + 8 * 27 + plane))
    assert work["aten::batch_norm"] == (0, 4 * (2 * plane + 4 * 8))
    assert work["aten::relu_"] == (0, 4 * 2 * plane)
    assert work["aten::flatten"] == (0, 0)
    assert work["aten::linear"] == (2 * 2 * 5 * 128, 4 * (2 * 128 + 5 * 128 + 5 + 10))


def test_shapes_are_those_the_profiler_writes() -> None:
    class Cat(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.cat([x, y], 1)

    work = count(Cat(), [torch.ones(2, 3)], {"y": torch.ones(2, 4)})
    assert work == {("aten::cat", "[2, 3] [2, 4]"): (0, 4 * 2 * 14)}


def test_an_embedding_reads_what_comes_out_of_it() -> None:
    work = count(nn.Embedding(100_000, 4), [torch.tensor([[1, 2, 3]])], {})
    assert work == {("aten::embedding", "[100000, 4] [1, 3]"): (0, 2 * 4 * 12 + 8 * 3)}


def test_half_precision_moves_half_the_bytes() -> None:
    module = nn.ReLU()
    full, half = (
        count(module, [torch.ones(4, 4, dtype=d)], {}) for d in (torch.float32, torch.float16)
    )
    assert [done for _, done in full.values()] == [128]
    assert [done for _, done in half.values()] == [64]
