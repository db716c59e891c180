"""PyTorch Profiler's events of a GPU that never was: requests whose truth is known.

A host launches one kernel after the other, each `launch_us` after the one before; the GPU takes
them in order, each when it is launched and the one before has ended. So a GPU that idles for its
host comes about as it does in life, and is not drawn by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.inspect.trace import REQUEST, Work
from harness.profile.result import Ceilings
from harness.profile.split import Roof

ROOF = Roof(gemm=100e12, copy=1e12)
CEILINGS = Ceilings({"fp32": 100e12, "fp16": 400e12}, 1e12, 0.0, "made up")
CONV, NORM = ("aten::conv2d", "[8, 64]"), ("aten::batch_norm", "[8, 64]")
WORK: Work = {CONV: (1e9, 1e6), NORM: (0.0, 1e7)}
"""At the ceilings 10 µs each: the one of matrix products, the other of bytes."""
LATENCY_US = 4.0
"""From a launch to the begin of its kernel, where the GPU waits for it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a request is, without noise."""

    convolutions: int = 20
    norms: int = 20
    conv_us: float = 30.0
    norm_us: float = 15.0
    launch_us: float = 8.0
    copy_us: float = 20.0
    noise: float = 0.1
    """Standard deviation of each length's logarithm."""


def events_of(machine: Machine, requests: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The events of so many requests, one after the other."""
    found: list[dict[str, Any]] = []
    at = 1000.0
    for _ in range(requests):
        at = _request(found, machine, at, rng) + 50.0
    return found


def _request(
    found: list[dict[str, Any]], machine: Machine, begin: float, rng: np.random.Generator
) -> float:
    kernels = [CONV] * machine.convolutions + [NORM] * machine.norms
    order = rng.permutation(len(kernels))
    count = len(kernels) + 1
    noise = np.exp(rng.normal(0.0, machine.noise, 2 * count)) if machine.noise else np.ones(
        2 * count
    )  # fmt: skip
    host, free = begin, begin
    lengths = {CONV: machine.conv_us, NORM: machine.norm_us}
    for step in range(count):
        link = len(found) + 1
        us = machine.launch_us * noise[step]
        copied = step == 0
        key = None if copied else kernels[order[step - 1]]
        took = (machine.copy_us if key is None else lengths[key]) * noise[count + step]
        if key is not None:
            found.append(_event("cpu_op", key[0], host, us * 0.9, {"Input Dims": [[8, 64]]}, 1))
        call = {"correlation": link}
        found.append(_event("cuda_runtime", "cudaLaunchKernel", host + us * 0.4, us * 0.4, call, 1))
        start = max(free, host + us * 0.8 + LATENCY_US)
        name, category = ("Memcpy HtoD", "gpu_memcpy") if copied else (f"k_{key}", "kernel")
        found.append(_event(category, name, start, took, call, 7))
        free, host = start + took, host + us
    end = max(host, free) + 5.0
    found.append(_event("user_annotation", REQUEST, begin, end - begin, {}, 1))
    return end


def _event(
    category: str, name: str, ts: float, dur: float, args: dict[str, Any], tid: int
) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": ts, "dur": dur, "tid": tid,
            "args": args}  # fmt: skip


def truth(machine: Machine) -> dict[str, float]:
    """The shares of a request without noise, by hand: no line of the code that is tested.

    A queue of launches `launch_us` apart before a GPU that takes them in order; the mean over
    orders of the kernels is taken from many.
    """
    rng = np.random.default_rng(0)
    quiet = replace(machine, noise=0.0)
    shares = np.mean([_walk(quiet, rng) for _ in range(40)], axis=0)
    return dict(zip(("launch", "copies", "compute", "memory"), map(float, shares), strict=True))


def _walk(machine: Machine, rng: np.random.Generator) -> Sequence[float]:
    work = [machine.conv_us] * machine.convolutions + [machine.norm_us] * machine.norms
    lengths = [machine.copy_us, *rng.permutation(work)]
    free = 0.0
    for step, took in enumerate(lengths):
        free = max(free, (step + 0.8) * machine.launch_us + LATENCY_US) + took
    wall = max(free, len(lengths) * machine.launch_us) + 5.0
    compute, memory = machine.convolutions * machine.conv_us, machine.norms * machine.norm_us
    idle = wall - compute - memory - machine.copy_us
    return [idle / wall, machine.copy_us / wall, compute / wall, memory / wall]
