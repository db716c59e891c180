"""What rows hold under `details`: what has no column of its own, as JSON has it.

Keys that a row lacks were not known, or were not written by an earlier version.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, NotRequired, Required

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from harness.scenario.metrics import METRICS

Count = Annotated[int, Field(ge=0, lt=2**63)]
Mebibytes = Annotated[float, Field(gt=-(2**40), lt=2**40)]
"""Of memory, or of what it grew by."""
Size = Annotated[int, Field(ge=1, lt=2**31)]
Percentile = Annotated[str, Field(pattern="^(p50|p90|p95|p99|p999)$")]
MetricName = Annotated[str, Field(pattern=f"^({'|'.join(METRICS)})$")]
Bounds = Mapping[MetricName, Mapping[str, float | None] | None]
Range = Annotated[Sequence[float], Field(min_length=2, max_length=2)]
"""Lowest and highest."""
BINS = 50_000
"""Of `LatencyCounts`; they end far beyond what is waited for."""
_OPEN = with_config(ConfigDict(extra="allow"))
"""A later version's keys, and what a backend adds, are kept."""


def _together(*groups: Sequence[str]) -> AfterValidator:
    """Of each group of names a mapping has all or none: who finds one reads the others too."""

    def check(found: Mapping[str, float]) -> Mapping[str, float]:
        for group in groups:
            missing = [name for name in group if name not in found]
            if 0 < len(missing) < len(group):
                raise ValueError(f"{', '.join(missing)} missing beside the others")
        return found

    return AfterValidator(check)


CLIENT = ("late", "sending", "receiving")
"""What the client's own moments say: until a request is begun, until the kernel has it, and from
waking to the answer's end until that is read."""
TRACED = (
    "wire_out", "receive", "parse", "queue", "input", "infer", "output", "answer", "wire_in",
)  # fmt: skip
"""What the server's trace says, in the order of time."""
RequestPath = Annotated[Mapping[str, float], _together(CLIENT, (*TRACED, "traced", "latency"))]
PHASES = ("queue", "compute_input", "compute_infer", "compute_output")
"""Where a request's time goes inside the server, in order."""
ServerTimes = Annotated[Mapping[str, float], _together(PHASES)]


@_OPEN
class ServerMetrics(TypedDict, total=False):
    """One model over one window by the server's /metrics (`triton.counters.metrics`), or the
    `problem` alone. None, or a key that lacks, is not known.
    """

    problem: str
    model: str
    requests: float | None
    """That succeeded; to Triton that includes those a Python model answered with an error."""
    failures: Mapping[str, float]
    """By Triton's reason (`REJECTED`, `CANCELED`, `BACKEND`, `OTHER`)."""
    inferences: float | None
    executions: float | None
    duration_us: Mapping[str, float]
    """Sums over requests: `request`, and the phases."""
    cache: Mapping[str, float]
    """`hits`, `misses`, and the sums `hit_us` and `miss_us`."""
    pending: Mapping[str, Sequence[float]]
    """Requests that waited for execution, at each reading, the window's ends included: of this
    model, and of each other one of the server where any waited (an ensemble's wait in its parts).
    """
    pinned_mib: Mapping[str, float]
    """Of the pinned memory pool: `used` (largest reading) and `total`."""
    gpus: Mapping[str, Mapping[str, float]]
    """By UUID: see `triton.counters.metrics.gpu_gauges`, and `energy_j`."""
    reset: Sequence[str]
    """Counters that went backwards."""
    reading_ms: float
    """What a reading took, the longest."""
    joules_per_inference: float | None
    """Of all GPUs that the server sees, over this model's inferences."""
    mean_us: Mapping[str, float]
    """Mean microseconds a request, by phase; empty without requests."""


@_OPEN
class LatencyCounts(TypedDict):
    """A window's latencies in five stretches of it: see `harness.measure.distribution`."""

    first: Annotated[int, Field(ge=0, lt=BINS)]
    """The lowest bin: bin k holds latencies from e^(k/1000) ns on."""
    counts: str
    """Requests by stretch and bin, from the lowest on: int32, little-endian, zlib, base64."""
    failed: Annotated[Sequence[Count], Field(min_length=1, max_length=100)]
    """By stretch."""
    episodes: Mapping[str, float]
    """Percentile → separate slow stretches above it."""


def unpacked(text: str, blocks: int) -> NDArray[np.int64]:
    """`counts` as an array of shape (blocks, bins). Raises ValueError where it is none, or has more
    bins than there are.
    """
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(base64.b64decode(text, validate=True), 4 * blocks * BINS)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof:
        raise ValueError("more counts than bins, or not all of them")
    cells = np.frombuffer(raw, "<i4").astype(np.int64).reshape(blocks, -1)
    if not cells.size or cells.min() < 0:
        raise ValueError("counts are whole numbers from 0 on")
    return cells


def _whole(found: LatencyCounts) -> LatencyCounts:
    unpacked(found["counts"], len(found["failed"]))
    return found


_Counts = Annotated[LatencyCounts, AfterValidator(_whole)]


@_OPEN
class ColocatedDetails(TypedDict, total=False):
    """What a co-located model did in a point's window; its numbers are as in a row."""

    load: Required[Mapping[str, object]]
    """As the scenario has it."""
    requests: Required[Count]
    errors: Required[Count]
    throughput: Required[float]
    latency_mean_ms: float | None
    latency_ms: Required[Mapping[Percentile, float | None]]
    latency_order_ms: Mapping[Percentile, tuple[float, float] | None]
    client_cpu_percent: float | None
    messages: Mapping[str, int]
    outputs_checked: int
    flags: Required[Sequence[str]]
    findings: Mapping[str, str]
    samples: str
    ceiling: float
    client_processes: int
    latency_counts: _Counts
    window_start: Sequence[float]
    """Two numbers: see `harness.measure.transient.window_start`."""


@_OPEN
class SentPart(TypedDict):
    """What a mix sent of one of its sizes in a window."""

    sizes: str
    """`sequence=32`."""
    share: float
    """Of the requests, as the scenario has it."""
    sent: float
    """Of the window's requests, as they were sent."""
    requests: Count
    errors: Count
    latency_ms: Mapping[Percentile, float | None]


@_OPEN
class GpuTimes(TypedDict):
    """Mean microseconds a request, of those that were timed: see `harness.measure.gpu_time`."""

    h2d_us: float
    compute_us: float
    d2h_us: float
    enqueue_us: float
    """Host time spent putting the computation on the stream."""
    count: Count
    launching: NotRequired[float]
    """Share of its time that the one thread of all callers spent beginning requests."""


@_OPEN
class MeasurementDetails(TypedDict, total=False):
    """Of a `MeasurementRow`."""

    findings: Mapping[str, str]
    """Flag → what was seen."""
    errors: Mapping[str, int]
    """Message → how often it came."""
    latency_counts: _Counts
    window_start: Sequence[float]
    """Two numbers: see `harness.measure.transient.window_start`."""
    allocators: Mapping[str, float]
    """What the runtime's own allocators say, in bytes."""
    outputs_checked: int
    mix: Sequence[SentPart]
    """By sizes, where a load mixes them."""
    ceiling: float
    """Requests a second that the generator reaches against a null server."""
    client_processes: int
    """Over how many processes the wire client was spread."""
    memory_since: str
    """`session` or `point`: when the memory that the row has began to be taken."""
    joules_per_inference: float
    gpu_time: GpuTimes
    gpu_sm_clock_mhz: Range
    gpu_temperature_c: Range
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
    cache: Mapping[str, float]
    """`cache_hits` and `cache_misses` of the server's response cache, where the model has one."""
    stage: str
    """`added`: in a round that was added because intervals were too wide; `confirmation`: of what
    was chosen, after the choice, which it takes no part in. Lacking in the other rounds."""
    search: str
    """The point whose search tried this rate; lacking where the scenario asks for it."""
    telemetry_clock: Mapping[str, int]
    """How the clock of a server's host was aligned: `offset_ns` and `error_ns`."""
    colocated: Mapping[str, ColocatedDetails]
    turns: int
    """Stretches that the window was cut into, between which the other backend was measured."""
    block: str
    """The GPU, or the machine, that it was measured on, where a run was merged of several."""
    path: RequestPath
    """Mean microseconds of a request's parts: see `harness.gap.path.request_path`."""


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
    model_version: str
    """The one that was measured; `model_versions` are those that the server had."""
    model_versions: str
    server_host: Mapping[str, object]
    """What the telemetry beside a server on another host says of it."""
    limits: Mapping[str, Mapping[str, object]]
    """`host_memory`, `gpu_memory` → `mib`, `how`, `whole_tree`, and what the `control` saw."""
    onnxruntime: str
    tensorrt: str
    flavor: str


@_OPEN
class TrialDetails(TypedDict):
    """What one rate gave in a search for the capacity: `harness.run.capacity`."""

    rate: float
    within: float
    """Share of the requests due in the window that were answered within the target."""
    offered: NotRequired[float]
    """Requests a second that were due in the window: what arrivals by chance made of the rate."""
    goodput: float
    """Inferences a second that were answered within the target, never more than was offered."""
    p50_ms: float | None
    outcome: str


@_OPEN
class CapacityDetails(TypedDict, total=False):
    """Of a `CapacityRow`."""

    precision: float
    max_rate: float
    trials: Sequence[TrialDetails]


@_OPEN
class ColocatedEntry(TypedDict, total=False):
    """A co-located model in a manifest's scenario; here and below what its readers rely on."""

    name: Required[str]
    constraints: Bounds | None
    weight: float


@_OPEN
class BackendEntry(TypedDict, total=False):
    """A backend in a manifest's scenario."""

    kind: str
    name: str
    colocated: Sequence[ColocatedEntry] | None


@_OPEN
class LoadEntry(TypedDict, total=False):
    """The load in a manifest's scenario."""

    batch_sizes: Sequence[Size]


@_OPEN
class ScenarioEntry(TypedDict, total=False):
    """The scenario in a manifest, as resolved."""

    scenario: str
    model: Mapping[str, object]
    backends: Sequence[BackendEntry]
    load: LoadEntry
    measurement: Mapping[str, object]
    constraints: Bounds | None
    objective: MetricName | Mapping[MetricName, float | None] | Sequence[MetricName]
    search: Mapping[str, object]


@_OPEN
class MachineEntry(TypedDict, total=False):
    """The machine in a manifest."""

    cpu: Mapping[str, object] | None
    gpus: Sequence[Mapping[str, object]] | None


@_OPEN
class ManifestEntry(TypedDict, total=False):
    """A manifest: `harness.results.manifest` makes it."""

    scenario: ScenarioEntry
    scenario_path: str
    scenario_folder: str
    scenario_text: str
    overrides: Sequence[str]
    created: str
    machine: MachineEntry | None
    packages: Mapping[str, str | None] | None
    environments: Mapping[str, Mapping[str, object]]
    """Name → `python`, `version`, and `packages`: name → `version`, from pip `sha256` and `url`."""
