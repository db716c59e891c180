"""Programs that each use up one resource of a device: torch modules, run as any tenant's model.

What goes in comes out; between them a request does a millisecond or so of work. On a GPU that is
matrix products that stay in the caches (multiprocessors), copies between large buffers (L2 and
DRAM), copies from pinned host memory or to it (PCIe, which goes both ways at once), or hundreds of
kernels of microseconds (launches); on the CPU matrix products on all cores, or copies of what no
cache holds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

FLOATS = 1 << 26
"""Of a large buffer on a GPU, 256 MiB: several times its L2."""
CPU_FLOATS = 1 << 23
"""On the CPU, 32 MiB."""
COPIED = 1 << 22
"""Floats that go over PCIe at once, 16 MiB."""
GPU_WIDTH, CPU_WIDTH = 2048, 384
"""Of the matrices that are multiplied."""
TRANSFERS, LAUNCHES = 4, 300
"""Of a request."""


class Stress(nn.Module):
    """[N, 1] → the same; `work` is what it does with buffers of the device it runs on."""

    def __init__(self, work: Callable[[list[Tensor]], None], *shapes: Callable[[bool], Tensor]):
        super().__init__()
        self._work, self._shapes = work, shapes
        self._buffers_of: dict[torch.device, list[Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Make the buffers at the first call, then work."""
        if x.device not in self._buffers_of:
            made = [shape(x.is_cuda) for shape in self._shapes]
            self._buffers_of[x.device] = [
                buffer if buffer.is_pinned() else buffer.to(x.device) for buffer in made
            ]
        self._work(self._buffers_of[x.device])
        return x * 1.0


def _square(gpu: bool) -> Tensor:
    width = GPU_WIDTH if gpu else CPU_WIDTH
    return torch.full((width, width), 1 / width)


def _large(gpu: bool) -> Tensor:
    return torch.zeros(FLOATS if gpu else CPU_FLOATS)


def _copied(_: bool) -> Tensor:
    return torch.zeros(COPIED)


def _pinned(gpu: bool) -> Tensor:
    return torch.zeros(COPIED, pin_memory=gpu)


def _one(_: bool) -> Tensor:
    return torch.zeros(1)


def _multiply(buffers: list[Tensor]) -> None:
    a, b = buffers
    for _ in range(4):
        torch.mm(a, a, out=b)


def _copy(buffers: list[Tensor]) -> None:
    a, b = buffers
    for _ in range(8 if a.is_cuda else 1):
        b.copy_(a)


def _transfer(buffers: list[Tensor]) -> None:
    source, target = buffers
    for _ in range(TRANSFERS):
        target.copy_(source, non_blocking=True)


def _launch(buffers: list[Tensor]) -> None:
    for _ in range(LAUNCHES):
        buffers[0].add_(1)


def compute() -> nn.Module:
    """Multiprocessors, or the CPU's cores."""
    return Stress(_multiply, _square, _square)


def memory() -> nn.Module:
    """Bandwidth of the L2 cache and DRAM, or of the host's memory."""
    return Stress(_copy, _large, _large)


def copies_in() -> nn.Module:
    """PCIe, to the device."""
    return Stress(_transfer, _pinned, _copied)


def copies_out() -> nn.Module:
    """PCIe, from the device."""
    return Stress(_transfer, _copied, _pinned)


def launches() -> nn.Module:
    """The rate at which kernels begin."""
    return Stress(_launch, _one)
