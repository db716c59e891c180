"""What a profile found: plain dataclasses, written to and read from profile.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["", "compute", "memory"]
"""What an operator would wait for at the device's ceilings; empty where that is not known."""
PARTS = ("launch", "copies", "compute", "memory", "other")
"""The parts of a request's time, in the order in which they are drawn."""
PART_WORDS = {
    "launch": "launching and dispatch", "copies": "copies", "compute": "compute-side operators",
    "memory": "memory-side operators", "other": "operators whose work is not known",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the device reaches at its best, measured in the process that was profiled."""

    gemm: Mapping[str, float]
    """FLOP/s of a large matrix product, by precision."""
    copy: float
    """Bytes a second of a large copy within its memory, read and written."""
    floor_us: float
    """Time of an operator that does nothing: dispatch, in the profile itself."""
    how: str


@dataclass(frozen=True, slots=True)
class Row:
    """An operator, a layer or a kernel: all of its calls in one request."""

    source: Literal["torch", "kernel", "onnxruntime", "tensorrt"]
    name: str
    kind: str
    shape: str
    calls: float
    us: float
    """On the GPU where there is one, else on the CPU; mean over the requests."""
    share: float
    """Of the request's time."""
    flop: float | None = None
    bytes: float | None = None
    side: Side = ""
    memory_bytes: float = 0.0
    """Memory that it took, also where it gave it back."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What the requests wait for."""

    kind: str
    """launch-bound, copy-bound, compute-bound, memory-bound, unknown, or mixed."""
    shares: Mapping[str, float]
    """Part → its share of the time, mean over requests."""
    runner_up: str
    lead_low: float
    lead_high: float
    """By how much the largest share leads the second, as an interval over requests."""
    utilisation: float | None
    """Of the ceiling that the kind names: the operators' time at it, over their time."""
    words: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """What the GPU did in one request, on average."""

    busy: float
    """Share of the time in which a kernel or a copy ran."""
    kernels: float
    kernel_us: float
    """Mean length."""
    gaps: float
    gap_us: float
    waiting: float
    """Share of the idle time in which the host had not launched the next kernel yet."""


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """One backend at one batch size."""

    batch: int
    requests: int
    on_gpu: bool
    calls_ms: Sequence[float]
    """The first calls of a fresh process, without the profiler, in order."""
    steady_ms: float
    """Median of the later calls without the profiler."""
    profiled_ms: float
    parts_us: Mapping[str, Sequence[float]]
    """Part → microseconds of each profiled request; `wall` is all of it."""
    bound: Bound
    rows: Sequence[Row]
    flop: float | None = None
    """Of a request, as far as it is known."""
    gpu: Gpu | None = None
    peak_bytes: int = 0
    peak_operator: str = ""
    layers: Sequence[Row] = ()
    """What the runtime's own profiler says, where the rows are another's."""
    traces: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def wall_us(self) -> float:
        """Mean time of a profiled request."""
        walls = self.parts_us["wall"]
        return sum(walls) / len(walls)


@dataclass(frozen=True, slots=True)
class BackendProfile:
    """One backend of the scenario."""

    name: str
    settings: Mapping[str, object]
    batches: Sequence[BatchProfile] = ()
    ceilings: Ceilings | None = None
    threads: int = 0
    load_seconds: float = 0.0
    failure: str = ""
    """Why there is nothing more; empty where there is."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A finding's change, measured by the normal core."""

    run: str
    """The run directory, in the profile's."""
    saving: float | None
    """Share of the time an item takes; None where it could not be judged, and `why` says so."""
    low: float | None = None
    high: float | None = None
    why: str = ""
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that would save time."""

    number: int
    backend: str
    batch: int
    change: str
    """The key of the change: compile, precision, batch, …"""
    title: str
    saving: float
    """The most that it can save: a share of an item's time."""
    derivation: str
    line: str
    """The scenario line that tests it."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """The changed backend's; empty where the load is changed."""
    to_batch: int = 0
    """Batch size of the changed side; 0 where it stays."""
    tried: Tried | None = None

    @property
    def factor(self) -> float:
        """The most that throughput could rise: 1 / (1 − saving)."""
        return 1 / (1 - self.saving)


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything in profile.json."""

    schema: int
    scenario: str
    model: str
    backends: Sequence[BackendProfile]
    findings: Sequence[Finding] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Backends that are not profiled, and why."""
