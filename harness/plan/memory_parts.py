"""What a replica's GPU memory is made of: by the stages of its start, and as its allocators say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.plan.candidates import Candidate
from harness.results.rows import LoadedRow, MeasurementRow
from harness.results.store import RunData
from harness.telemetry.stages import STAGES

MIB = 2**20
STAGE_WORDS = {
    "context": "context and libraries", "weights": "weights",
    "warm": "first requests: activations and workspace",
}  # fmt: skip
"""Stage of a start → what it takes."""
TRITON_WORDS = {**STAGE_WORDS, "context": "the empty server", "weights": "the model's processes"}
UNDER_LOAD = "under load"
_NO_CONTEXT = "context, libraries and weights"
"""Of the weights' stage, where a runtime makes its context with them."""
ALLOCATOR_WORDS = {
    "torch_peak_allocated": "tensors, at most (PyTorch)",
    "torch_cache": "cached by the allocator (PyTorch)",
    "tensorrt_contexts": "execution contexts (TensorRT)",
    "tensorrt_buffers": "callers' buffers (TensorRT)",
    "tensorrt_weights": "weights (TensorRT)",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part, MiB."""

    name: str
    mib: float


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """Of the session in which the peak was."""

    round: int
    stages: tuple[Part, ...]
    """In their order; they add up to the peak."""
    allocators: tuple[Part, ...]
    """What the runtime itself says of it, within the stages; empty where it says nothing."""


def parts_of(data: RunData, candidate: Candidate, kind: str) -> MemoryParts | None:
    """Of the candidate's peak; None without a GPU, or where its start was not watched."""
    row = next(
        (m for m in data.measurements
         if m.backend == candidate.backend and m.config == candidate.config
         and candidate.point in (m.point, m.details.get("search"))
         and m.gpu_memory_mib is not None and m.gpu_memory_mib == candidate.gpu_mib), None,
    )  # fmt: skip
    load = next(
        (found for found in data.rows(LoadedRow)
         if row is not None and found.backend == row.backend and found.config == row.config
         and found.round == row.round and found.details.get("gpu_stages")), None,
    )  # fmt: skip
    if row is None or load is None:
        return None
    stages = tuple(_stages(load.details["gpu_stages"], row.gpu_memory_mib or 0.0, kind))
    return MemoryParts(row.round, stages, tuple(_allocators(row)))


def _stages(
    stages: Mapping[str, Mapping[str, float]], peak_mib: float, kind: str
) -> Iterator[Part]:
    words = dict(TRITON_WORDS if kind == "triton" else STAGE_WORDS)
    if "context" not in stages:
        words["weights"] = _NO_CONTEXT
    before = 0.0
    for name in STAGES:
        if name in stages and name in words:
            held = stages[name]["held_mib"]
            yield Part(words[name], held - before)
            before = held
    yield Part(UNDER_LOAD, peak_mib - before)


def _allocators(row: MeasurementRow) -> Iterator[Part]:
    said = dict(row.details.get("allocators", {}))
    if "torch_peak_reserved" in said:
        said["torch_cache"] = said["torch_peak_reserved"] - said.get("torch_peak_allocated", 0.0)
    for name, words in ALLOCATOR_WORDS.items():
        if name in said:
            yield Part(words, said[name] / MIB)
