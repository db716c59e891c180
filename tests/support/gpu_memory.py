"""What is free on the GPU, as CUDA says through torch."""

from __future__ import annotations


def free_bytes() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0])
