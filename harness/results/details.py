"""What rows hold under `details`: what has no column of its own, as JSON has it.

Keys that a row lacks were not known, or were not written by an earlier version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_OPEN = with_config(ConfigDict(extra="allow"))
"""A later version's keys, and what a backend adds, are kept."""


@_OPEN
class ServerMetrics(TypedDict, total=False):
    """A window by the server's /metrics (`triton.counters.metrics`), or the `problem` alone."""

    problem: str
    model: str
    requests: float | None
    failures: Mapping[str, float]
    inferences: float | None
    executions: float | None
    duration_us: Mapping[str, float]
    cache: Mapping[str, float]
    pending: Mapping[str, Sequence[float]]
    pinned_mib: Mapping[str, float]
    gpus: Mapping[str, Mapping[str, float]]
    reset: Sequence[str]
    reading_ms: float
    joules_per_inference: float | None
    mean_us: Mapping[str, float]


@_OPEN
class ColocatedDetails(TypedDict, total=False):
    """What a co-located model did in a point's window; its numbers are as in a row."""

    load: Mapping[str, object]
    """As the scenario has it."""
    requests: int
    errors: int
    throughput: float
    latency_mean_ms: float | None
    latency_ms: Mapping[str, float | None]
    latency_order_ms: Mapping[str, tuple[float, float] | None]
    client_cpu_percent: float | None
    messages: Mapping[str, int]
    outputs_checked: int
    flags: Sequence[str]
    findings: Mapping[str, str]
    samples: str
    ceiling: float
    client_processes: int


@_OPEN
class MeasurementDetails(TypedDict, total=False):
    """Of a `MeasurementRow`."""

    findings: Mapping[str, str]
    """Flag → what was seen."""
    errors: Mapping[str, int]
    """Message → how often it came."""
    allocators: Mapping[str, float]
    """What the runtime's own allocators say, in bytes."""
    outputs_checked: int
    ceiling: float
    """Requests a second that the generator reaches against a null server."""
    client_processes: int
    """Over how many processes the wire client was spread."""
    memory_since: str
    """`session` or `point`: when the memory that the row has began to be taken."""
    joules_per_inference: float
    gpu_time: Mapping[str, float]
    """Mean microseconds a request: see `harness.measure.gpu_time.GpuTime`."""
    gpu_sm_clock_mhz: Sequence[float]
    gpu_temperature_c: Sequence[float]
    """The lowest and the highest reading, of the clock too."""
    cpu_mhz: Sequence[float]
    """The lowest and the highest of the processors' mean clock."""
    cpu_percent_lost: Mapping[str, float]
    """Percent: `foreign` of the processors or of the quota, `stolen` of the time that was wanted,
    `throttled` of the quota's periods."""
    sampler_cpu_percent: float | None
    composing: Mapping[str, Mapping[str, float]]
    """By composing model: see `triton.counters.statistics.composing`."""
    metrics: ServerMetrics
    search: str
    """The point whose search tried this rate; lacking where the scenario asks for it."""
    telemetry_clock: Mapping[str, int]
    """How the clock of a server's host was aligned: `offset_ns` and `error_ns`."""
    colocated: Mapping[str, ColocatedDetails]


@_OPEN
class LoadedColocated(TypedDict, total=False):
    """What was noted when a co-located model was loaded, beside the facts of its backend."""

    config: str
    model_directory: str


@_OPEN
class LoadedDetails(TypedDict, total=False):
    """Of a `LoadedRow`; each backend adds facts of its own, under further keys."""

    stages_ns: Mapping[str, int]
    """When each stage ended: see `harness.telemetry.stages`."""
    gpu_stages: Mapping[str, Mapping[str, float]]
    """MiB of each: `peak_mib` and `held_mib`."""
    telemetry: str
    """The session's readings, relative to the run directory."""
    config: str
    """The config.pbtxt as the server had it."""
    settings: Mapping[str, object]
    """What tells this config from others, where a backend has several."""
    model_directory: str
    """Relative to the run directory."""
    colocated: Mapping[str, LoadedColocated]
    server: str
    server_version: str
    server_host: Mapping[str, object]
    """What the telemetry beside a server on another host says of it."""
    onnxruntime: str
    tensorrt: str
    flavor: str


@_OPEN
class TrialDetails(TypedDict):
    """What one rate gave in a search for the capacity: see `harness.run.capacity.Trial`."""

    rate: float
    within: float
    goodput: float
    p50_ms: float | None
    outcome: str


@_OPEN
class CapacityDetails(TypedDict, total=False):
    """Of a `CapacityRow`."""

    precision: float
    trials: Sequence[TrialDetails]
