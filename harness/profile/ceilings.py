"""What a device reaches at its best, measured: a large matrix product, a large copy, dispatch.

The fastest of the repeats counts: a ceiling is what can be reached, and whatever else runs here
only slows it. Measured in the profiled process, so with its threads.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from harness.profile.result import Ceilings

if TYPE_CHECKING:
    import torch

SIZES = {"cpu": 768, "cuda": 8192}
"""Of the square matrices."""
COPY_BYTES = {"cpu": 2**27, "cuda": 2**31}
REPEATS, LONGEST_S = 12, 0.4
Repeat = Callable[[Callable[[], object]], float]


def with_numpy() -> Ceilings:
    """Where PyTorch is not installed: numpy's matrix product and copy, of this host's memory."""
    size = SIZES["cpu"]
    a, b = (np.random.default_rng(i).random((size, size), np.float32) for i in (0, 1))
    source = np.ones(COPY_BYTES["cpu"], np.uint8)
    target = np.empty_like(source)
    gemm = 2.0 * size**3 / _fastest(lambda: a @ b)
    copy = 2.0 * source.nbytes / _fastest(lambda: np.copyto(target, source))
    how = f"numpy's product of {size} × {size} matrices, and a copy of {source.nbytes >> 20} MiB"
    return Ceilings({"fp32": gemm}, copy, 0.0, how)


def with_torch(device: str, floor_us: float) -> Ceilings:
    """Of the device, in every precision that runs there. Raises what PyTorch raises."""
    import torch

    gpu = torch.device(device).type == "cuda"
    kind = "cuda" if gpu else "cpu"
    size, count = SIZES[kind], COPY_BYTES[kind]
    repeat = _fastest_on_gpu if gpu else _fastest
    gemm = {}
    for precision in ("fp32", "bf16", "fp16", *(["tf32"] if gpu else [])):
        seconds = _product(device, precision, size, repeat)
        if seconds:
            gemm[precision] = 2.0 * size**3 / seconds
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = 2.0 * count / repeat(lambda: target.copy_(source))
    how = (
        f"torch {torch.__version__}: products of {size} × {size} matrices of random numbers, and "
        f"a copy of {count >> 20} MiB, {'' if gpu else f'{torch.get_num_threads()} threads, '}"
        "the fastest of the repeats"
    )
    return Ceilings(gemm, copy, floor_us, how)


def _product(device: str, precision: str, size: int, repeat: Repeat) -> float | None:
    """Seconds; None where the device has no such product."""
    import torch

    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        return repeat(lambda: torch.matmul(a, b, out=out))
    except RuntimeError:
        return None
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some repeats, which end after a while."""
    work()
    end, best = time.perf_counter() + LONGEST_S, float("inf")
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - begin)
        if now > end:
            break
    return best


def _fastest_on_gpu(work: Callable[[], object]) -> float:
    """Likewise by CUDA events, after the clocks are up."""
    import torch

    for _ in range(3):
        work()
    made = range(REPEATS + 1)
    events = [torch.cuda.Event(enable_timing=True) for _ in made]  # type: ignore[no-untyped-call]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize()
    return min(_between(a, b) for a, b in itertools.pairwise(events))


def _between(first: torch.cuda.Event, second: torch.cuda.Event) -> float:
    return float(first.elapsed_time(second)) / 1e3
