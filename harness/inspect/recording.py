"""PyTorch Profiler around requests: its trace in a file that Perfetto and TensorBoard open."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from harness.inspect.trace import REQUEST, kineto, read_events

WARM = 3
"""Requests within the profiler that are not looked at: it is slow to begin."""
FLOOR_CALLS = 200
SUFFIX = ".pt.trace.json.gz"
"""What TensorBoard's profiler plugin looks for."""


def record(folder: Path, request: Callable[[], object], count: int) -> Path:
    """Profile `count` requests; the trace's file, in a folder of its own for TensorBoard."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"harness.{time.time_ns()}{SUFFIX}"
    with _profiler(memory=True) as profiler:
        for _ in range(WARM):
            request()
        for _ in range(count):
            with record_function(REQUEST):
                request()
        _synchronise()
    profiler.export_chrome_trace(str(path))
    return path


def floor_us(folder: Path) -> float:
    """What an operator costs that does next to nothing, as the profile has it: the median."""
    one = torch.ones(1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"floor{SUFFIX}"
    with torch.inference_mode(), _profiler(memory=True) as profiler, record_function(REQUEST):
        for _ in range(FLOOR_CALLS):
            torch.neg(one)
    profiler.export_chrome_trace(str(path))
    trace = kineto(read_events(path))
    path.unlink()
    return median(o.us for o in trace.operators)


def _profiler(*, memory: bool) -> profile:
    kinds = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        kinds.append(ProfilerActivity.CUDA)
    return profile(activities=kinds, record_shapes=True, profile_memory=memory)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
