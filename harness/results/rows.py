"""The rows of a run: what the journal holds and every analysis starts from.

Each row class is one kind of line in `journal.jsonl`; its `EVENT` is the line's `event`. Units are
in the names: `_ns`, `_ms`, `_s`, `_mib` (2^20 bytes); throughput is inferences a second (requests
a second × batch size).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.results import details as of
from harness.results.line import Line

PERCENTILES = ("p50", "p90", "p95", "p99", "p999")
"""The percentiles that are reported; `p999` is p99.9."""


@dataclass(frozen=True, slots=True)
class PointLine(Line):
    """A line about one point in one round."""

    point: str
    round: of.Count


@dataclass(frozen=True, slots=True)
class ArtifactRow(Line):
    """A file that was made or found: an ONNX export, weights, an engine. Feeds the size table."""

    EVENT = "artifact"
    format: str
    """`onnx`, `state_dict`, `exported_program`, `engine`, …"""
    path: str
    bytes: of.Count
    seconds: float
    cached: bool
    details: Mapping[str, object] = field(default_factory=dict)
    """e.g. `exporter` (`torch.export` or `legacy`), `fallback_reason`, `opset`, `parameters`."""


@dataclass(frozen=True, slots=True)
class LoadedRow(Line):
    """A backend was loaded in a fresh process."""

    EVENT = "loaded"
    backend: str
    round: of.Count
    seconds: float | None
    """None where a server had loaded it before."""
    first_call_ms: float | None
    bytes_on_disk: of.Count | None
    host_memory_mib: of.Mebibytes | None
    """Of the backend's process tree, after loading."""
    gpu_memory_mib: of.Mebibytes | None
    details: of.LoadedDetails = field(default_factory=of.LoadedDetails)
    config: str = "default"
    """Which of the backend's configs; its text is `details["config"]`."""


@dataclass(frozen=True, slots=True)
class ServerOnlyRow(Line):
    """A server that the harness started, before it loaded a model."""

    EVENT = "server_only"
    backend: str
    round: of.Count
    seconds: float
    """How long it was watched."""
    host_memory_mib: of.Mebibytes | None
    """Peak RSS of its process tree."""
    cpu_percent: float | None
    """Of that tree; 100 is one core."""
    gpu_memory_mib: of.Mebibytes | None = None
    gpu_memory_scope: str = ""
    """As in `MeasurementRow`."""
    gpu_utilization_percent: float | None = None
    gpu_power_w: float | None = None


@dataclass(frozen=True, slots=True)
class ParityRow(Line):
    """A backend's outputs against the reference, over all distinct inputs of one batch size."""

    EVENT = "parity"
    backend: str
    batch_size: of.Size
    status: str
    """`agrees`, `disagrees` or `unavailable`."""
    reference: str
    """What it was compared with, in words."""
    inputs: of.Count = 0
    max_abs_error: float | None = None
    mean_abs_error: float | None = None
    max_rel_error: float | None = None
    tolerance: str = ""
    """The rule that was applied, in words, e.g. `|a−b| ≤ 1e-3 + 1e-3·|b|`."""
    top1_agreement: float | None = None
    """Share of rows whose arg-max agrees; None where outputs have no class axis."""
    message: str = ""
    sizes: str = ""
    """Of the dynamic dimensions that vary, as in `harness.scenario.sizes`."""


@dataclass(frozen=True, slots=True)
class MeasurementRow(PointLine):
    """One point in one round."""

    EVENT = "measurement"
    backend: str
    config: str
    batch_size: of.Size
    concurrency: of.Count | None
    request_rate: float | None
    started: str
    """UTC, ISO 8601."""
    window_begin_ns: of.Count
    window_end_ns: of.Count
    requests: of.Count
    """Requests that finished in the window, whatever their status."""
    errors: of.Count
    """Of those, the ones that failed, timed out or were shed."""
    throughput: float
    """Inferences a second."""
    latency_mean_ms: float | None
    latency_ms: Mapping[of.Percentile, float | None]
    """By percentile (`PERCENTILES`); None below the floor; infinite where the percentile falls
    among the failures."""
    latency_order_ms: Mapping[of.Percentile, tuple[float, float] | None]
    """Within-round 95 % order-statistic intervals: diagnostics, never the headline."""
    server_us: of.ServerTimes = field(default_factory=dict)
    """Triton, mean microseconds a request in the window: `queue`, `compute_input`,
    `compute_infer`, `compute_output`; empty for other backends."""
    server_count: of.Count | None = None
    """Requests that the server counted in the window."""
    host_memory_mib: of.Mebibytes | None = None
    """Peak RSS of the backend's process tree in the window."""
    cpu_percent: float | None = None
    """Of that tree, mean over the window; 100 is one core."""
    cpu_cores: float | None = None
    """The same in cores; None in runs of earlier versions."""
    client_cpu_percent: float | None = None
    """Of the load generator's process (the same process for in-process backends)."""
    gpu_memory_mib: of.Mebibytes | None = None
    gpu_memory_scope: str = ""
    """`process` (tree) or `device` (difference from the baseline); empty without a GPU."""
    gpu_utilization_percent: float | None = None
    gpu_power_w: float | None = None
    gpu_energy_j: float | None = None
    samples: str = ""
    """Path of the Parquet file, relative to the run directory."""
    warmup_requests: of.Count = 0
    flags: tuple[str, ...] = ()
    """Codes of `harness.measure.validity`; a code in `INVALIDATES` makes the row invalid."""
    details: of.MeasurementDetails = field(default_factory=of.MeasurementDetails)
    sizes: str = ""
    """Of the dynamic dimensions that vary, e.g. `sequence=128` or `sequence=mix`."""

    @property
    def joules_per_inference(self) -> float | None:
        """The GPU's energy over the window by the inferences; None without an energy counter."""
        joules = self.details.get("joules_per_inference")
        return None if joules is None else float(joules)

    @property
    def gpu_sm_clock_mhz(self) -> tuple[float, float] | None:
        """The lowest and the highest reading of the window."""
        return _ends(self.details.get("gpu_sm_clock_mhz"))

    @property
    def gpu_temperature_c(self) -> tuple[float, float] | None:
        """The lowest and the highest reading of the window."""
        return _ends(self.details.get("gpu_temperature_c"))


def _ends(spread: Sequence[float] | None) -> tuple[float, float] | None:
    return (float(spread[0]), float(spread[1])) if spread else None


@dataclass(frozen=True, slots=True)
class CeilingRow(Line):
    """What the load generator reaches against a server that does nothing (`harness.run.ceiling`).

    Measured once a run for each kind of load that comes near what is known; with the same
    generator, requests and answers as the points, after a window and never in one.
    """

    EVENT = "ceiling"
    protocol: str
    client: str
    """`wire` or `tritonclient`."""
    processes: int
    io: str
    batch_size: of.Size
    concurrency: int
    """Requests open at once; an open loop is stood for by a fixed number."""
    input_bytes: int
    """Of one request's tensors."""
    requests_per_s: float | None
    """None when it could not be measured."""
    response_bytes: int = 0
    problem: str = ""
    """Why it could not."""
    tries: int = 1
    """The how-manieth measurement of this ceiling it is: the highest counts."""


@dataclass(frozen=True, slots=True)
class FailureRow(PointLine):
    """A point that could not be measured in one round, and why."""

    EVENT = "failure"
    backend: str
    reason: str
    """`reason` of the exception: see `harness.errors`."""
    message: str
    fix: str | None = None
    log: str = ""
    """Path of the worker's or server's log, relative to the run directory."""


@dataclass(frozen=True, slots=True)
class CapacityRow(PointLine):
    """What a search for the capacity found in one round (`harness.run.capacity`).

    The point is the searched one, e.g. `fake/b1/find_capacity`; the rates tried are points of their
    own.
    """

    EVENT = "capacity"
    backend: str
    config: str
    batch_size: of.Size
    percentile: str
    target_ms: float
    rate: float | None
    """Requests a second that were offered at `low`, at most `max_rate`; None when no rate held."""
    goodput: float | None
    """Inferences a second answered within the target, at that rate."""
    low: float | None
    high: float | None
    """The bracket: the highest rate that held and the lowest that did not, requests a second."""
    knee_rate: float | None
    """The lowest tried rate whose median response is 1.5 times that at the lowest tried."""
    steps: int
    """Rates that were tried."""
    limit: str
    """What ended it: `target`, `client`, `growing` or `max_rate`."""
    reason: str = ""
    """In words, where it was not simply the target that failed at `high`."""
    details: of.CapacityDetails = field(default_factory=of.CapacityDetails)
    sizes: str = ""
    """As of a measurement."""
