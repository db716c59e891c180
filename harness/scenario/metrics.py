"""The metrics, one row each: schema, analysis, CSV files, tables and charts take from this table.

A metric is a row here and a field of the same name in `harness.results.rows.MeasurementRow` (a
percentile is an entry of its `latency_ms`). The order is that of the columns of summary.csv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PERCENTILE_NAMES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p999": "p99.9"}
"""Key of a percentile → how it is written."""
IN_TERMINAL = ("p50", "p90", "p99")
"""The percentiles that the terminal's table has room for."""
MARGIN, TAIL_MARGIN = 0.02, 0.05
"""What may be lost without being worse, as a share; more in the tail, which is noisier."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured at a point in each round."""

    name: str
    """In scenarios, rows and CSV files; it ends in the unit. Where one in `_memory_mib` is asked
    about, each point has processes of its own."""
    title: str
    unit: str = ""
    meaning: str = ""
    """Of its constraint, in the scenario's reference."""
    over_rounds: Literal["interval", "largest", "mean", "sum"] = "interval"
    """How a point's value is made of its rounds': `interval` is the geometric mean with its
    interval, and needs every round."""
    more_is_better: bool = False
    margin: float = MARGIN
    percentile: str = ""
    """Where it is one of the latency."""
    gpu: bool = False
    """Whether only a GPU has it."""
    objective: bool = True
    constraint: bool = True
    shared: str = ""
    """Why it is of all models together, not of one that is co-located; empty where it is each
    one's own."""
    primary: bool = False
    """Whether runs are compared by it, and rounds added until its interval is narrow."""
    summary: bool = True
    """Whether summary.csv has it."""
    column: bool = False
    """Whether the report's tables have it."""
    optional: bool = False
    """Whether tables leave its column out where no point has it, and a narrow terminal first."""
    terminal: str = ""
    """Title in the terminal's table; empty leaves it out there."""
    plot: str = ""
    """Title of its plot against the latency; empty is none."""

    @property
    def sign(self) -> int:
        """1 where more is better, −1 where less is."""
        return 1 if self.more_is_better else -1

    @property
    def key(self) -> str:
        """The name in comparisons and in the journal's half-widths: `throughput`, `p99`."""
        return self.percentile or self.name

    @property
    def with_unit(self) -> str:
        """`host memory (MiB)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def heading(self) -> str:
        """`Host memory (MiB)`, `p99 latency (ms)`."""
        return self.with_unit if self.percentile else self.with_unit[0].upper() + self.with_unit[1:]

    @property
    def explained(self) -> str:
        """Title of its line in `harness explain`."""
        return f"{self.title}, {self.unit}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in summary.csv: the interval's ends, or the smallest round beside the
        largest.
        """
        ends = {"interval": ("", "_low", "_high"), "largest": ("", "_least")}
        return tuple(f"{self.name}{end}" for end in ends.get(self.over_rounds, ("",)))


def latency_name(percentile: str) -> str:
    """The metric of a percentile, or of the `mean`."""
    return f"latency_{percentile}_ms"


def _latency(
    percentile: str, meaning: str = "", *, objective: bool = True, primary: bool = False
) -> Metric:
    written = PERCENTILE_NAMES[percentile]
    return Metric(
        latency_name(percentile), f"{written} latency", "ms",
        meaning or f"{written[1:]}th percentile of latency", percentile=percentile,
        margin=MARGIN if percentile == "p50" else TAIL_MARGIN, objective=objective,
        primary=primary, terminal=f"{percentile} ms" if percentile in IN_TERMINAL else "",
    )  # fmt: skip


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "throughput", "throughput", "infer/s", "inferences a second", more_is_better=True,
            primary=True, terminal="infer/s",
        ),
        Metric(
            "latency_mean_ms", "mean latency", "ms", margin=TAIL_MARGIN, objective=False,
            constraint=False, summary=False,
        ),
        _latency("p50", "median latency", primary=True),
        _latency("p90"), _latency("p95"), _latency("p99", primary=True),
        _latency("p999", objective=False),
        Metric(
            "host_memory_mib", "host memory", "MiB", "peak of the process tree, 2^20 bytes",
            "largest", shared="memory is the whole server's", column=True, terminal="host MiB",
            plot="Host Memory",
        ),
        Metric(
            "gpu_memory_mib", "GPU memory", "MiB", "peak of the process tree, 2^20 bytes",
            "largest", shared="memory is the whole server's", gpu=True, column=True,
            terminal="GPU MiB", plot="GPU Memory",
        ),
        Metric(
            "gpu_utilization_percent", "GPU utilisation", "%", "", "mean",
            gpu=True, objective=False, constraint=False, column=True, plot="GPU Utilisation",
        ),
        Metric(
            "gpu_power_w", "GPU power", "W", gpu=True, objective=False, constraint=False,
            plot="GPU Power",
        ),
        Metric(
            "joules_per_inference", "energy per inference", "J",
            "energy of the whole GPU by the inferences, in joules", gpu=True,
            shared="energy is the whole GPU's",
        ),
        Metric(
            "cpu_cores", "CPU use", "cores", "cores that the process tree used, mean of the window",
            shared="CPU use is the whole server's", column=True, optional=True, terminal="cores",
            plot="CPU Use",
        ),
        Metric(
            "errors", "errors", "", "failed requests, over all rounds", "sum", objective=False,
            summary=False,
        ),
    )
}  # fmt: skip
"""Name → metric."""
OBJECTIVES = tuple(m.name for m in METRICS.values() if m.objective)
CONSTRAINTS = tuple(
    m.name
    for m in sorted(METRICS.values(), key=lambda m: not m.percentile)  # latencies first
    if m.constraint
)
PRIMARY = {m.key: m for m in METRICS.values() if m.primary}
"""By `key`."""
_MODEL_ANALYZERS = ("gpu_memory_mib", "gpu_utilization_percent", "host_memory_mib", "gpu_power_w")
PLOTTED = sorted(
    (m for m in METRICS.values() if m.plot),
    key=lambda m: (*_MODEL_ANALYZERS, m.name).index(m.name),
)
"""What is plotted against the latency: Model Analyzer's plots in its order, then others."""
