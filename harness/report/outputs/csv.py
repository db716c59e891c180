"""The CSV files: Model Analyzer's three with its columns, and ours, in full precision.

Model Analyzer's memory columns are MB of 10^6 bytes; ours are MiB. An empty field is n/a; `inf` is
a percentile beyond the timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.analysis.capacity import CapacitySummary
from harness.analysis.constraints import satisfies
from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.report.model.context import Context, best_first
from harness.report.model.manifest_facts import device_gpu, text
from harness.report.model.numbers import MB_PER_MIB
from harness.report.model.served import NONE
from harness.report.sections import colocated
from harness.report.sections.capacity import capacities
from harness.report.sections.servers import server_only_rows
from harness.results.rows import PERCENTILES, MeasurementRow, ServerOnlyRow
from harness.system.files import write_text
from harness.triton.counters.statistics import PHASES

Record = Mapping[str, Any]

INFERENCE_COLUMNS = (
    "Model", "Batch", "Concurrency", "Model Config Path", "Instance Group", "Max Batch Size",
    "Satisfies Constraints", "Throughput (infer/sec)", "p99 Latency (ms)",
)  # fmt: skip
GPU_COLUMNS = (
    "Model", "GPU UUID", "Batch", "Concurrency", "Model Config Path", "Instance Group",
    "Satisfies Constraints", "GPU Memory Usage (MB)", "GPU Utilization (%)", "GPU Power Usage (W)",
)  # fmt: skip
SERVER_COLUMNS = (
    "Model", "GPU UUID", "GPU Memory Usage (MB)", "GPU Utilization (%)", "GPU Power Usage (W)",
)  # fmt: skip
EMPTY_COLUMNS = (
    "backend", "round", "seconds", "host_memory_mib", "cpu_percent", "gpu_memory_mib",
    "gpu_memory_scope", "gpu_utilization_percent", "gpu_power_w",
)  # fmt: skip
_POINT = ("point", "backend", "config", "batch_size", "concurrency", "request_rate")
SUMMARY_COLUMNS = (
    *_POINT, "rounds",
    *(f"throughput{end}" for end in ("", "_low", "_high")),
    *(f"latency_{p}_ms{end}" for p in PERCENTILES for end in ("", "_low", "_high")),
    "host_memory_mib", "host_memory_mib_least", "gpu_memory_mib", "gpu_memory_mib_least",
    "gpu_utilization_percent",
    *(f"{name}{end}" for name in ("gpu_power_w", "joules_per_inference")
      for end in ("", "_low", "_high")),
    "errors", "valid", "flags",
)  # fmt: skip
_PLAIN = (
    "server_count", "host_memory_mib", "cpu_percent", "client_cpu_percent", "gpu_memory_mib",
    "gpu_memory_scope", "gpu_utilization_percent", "gpu_power_w", "gpu_energy_j",
    "joules_per_inference", "gpu_sm_clock_mhz_least", "gpu_sm_clock_mhz_most", "gpu_temperature_c",
    "samples", "warmup_requests",
)  # fmt: skip
MEASUREMENT_COLUMNS = (
    "point", "round", *_POINT[1:], "started", "window_s", "requests", "errors", "throughput",
    "latency_mean_ms",
    *(f"latency_{p}_ms{end}" for p in PERCENTILES for end in ("", "_order_low", "_order_high")),
    *(f"server_{part}_us" for part in PHASES), *_PLAIN, "flags",
)  # fmt: skip
CAPACITY_COLUMNS = (
    "point", "backend", "config", "batch_size", "percentile", "target_ms", "precision", "rounds",
    *(f"{name}{end}" for name in ("rate", "goodput", "knee") for end in ("", "_low", "_high")),
    "lowest_end", "failed_at", "limit", "steps",
)  # fmt: skip


def write_csvs(context: Context, directory: Path) -> list[Path]:
    """Write the files into `directory` and return their paths.

    There are five, `server-only.csv` when servers were watched before they loaded a model,
    `colocated.csv` when models were measured together, and `capacity.csv` when a capacity was
    searched for.
    """
    rows, servers = best_first(context), server_only_rows(context)
    files: dict[str, tuple[tuple[str, ...], list[Record]]] = {
        "metrics-model-inference.csv": (INFERENCE_COLUMNS, _all(_inference, context, rows)),
        "metrics-model-gpu.csv": (GPU_COLUMNS, _all(_gpu, context, rows)),
        "metrics-server-only.csv": (SERVER_COLUMNS, [_server(context, r) for r in servers]),
        "summary.csv": (SUMMARY_COLUMNS, summary_records(context)),
        "measurements.csv": (MEASUREMENT_COLUMNS, measurement_records(context)),
    }  # fmt: skip
    if servers:
        files["server-only.csv"] = (EMPTY_COLUMNS, [_row(r, EMPTY_COLUMNS) for r in servers])
    if others := colocated.records(context):
        files["colocated.csv"] = (colocated.COLUMNS, others)
    if searched := [_capacity(c) for c in capacities(context)]:
        files["capacity.csv"] = (CAPACITY_COLUMNS, searched)
    return [_write(directory / name, *content) for name, content in files.items()]


def summary_records(context: Context) -> list[Record]:
    """A record a point, by `SUMMARY_COLUMNS`."""
    return [_summary(row) for row in context.rows]


def measurement_records(context: Context) -> list[Record]:
    """A record a point and round, by `MEASUREMENT_COLUMNS`; the rates of a search too."""
    rows = (*context.rows, *context.searched)
    return [_measurement(measured) for row in rows for measured in row.measurements]


def _write(path: Path, columns: tuple[str, ...], records: list[Record]) -> Path:
    import pandas as pd

    # objects keep integers whole in columns that also hold None
    frame = pd.DataFrame(records, columns=list(columns), dtype=object)
    write_text(path, frame.to_csv(index=False))
    return path


def _all(
    make: Callable[[Context, SummaryRow], Record | None], context: Context, rows: list[SummaryRow]
) -> list[Record]:
    return [record for row in rows if (record := make(context, row)) is not None]


def _value(interval: Interval | None) -> float | None:
    return None if interval is None else interval.value


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = (interval.low, interval.high) if interval is not None else (None, None)
    return {name: _value(interval), f"{name}_low": low, f"{name}_high": high}


def _common(context: Context, row: SummaryRow) -> dict[str, Any]:
    answer = {"yes": "Yes", "no": "No", "unknown": "Unknown"}[satisfies(row, context.bounds)]
    return {
        "Model": context.model, "Batch": row.batch_size, "Concurrency": row.concurrency,
        "Model Config Path": context.name(row), "Instance Group": _instances(context, row),
        "Satisfies Constraints": answer,
    }  # fmt: skip


def _instances(context: Context, row: SummaryRow) -> str | None:
    """`2:GPU` or `1:CPU`, as Model Analyzer writes it; None without a server."""
    found = context.served(row)
    return None if found.instances == NONE else f"{found.instances}:{found.kind}"


def _inference(context: Context, row: SummaryRow) -> Record | None:
    if not row.rounds:
        return None
    most = context.served(row).max_batch_size
    return _common(context, row) | {
        "Max Batch Size": None if most == NONE else most,
        "Throughput (infer/sec)": _value(row.throughput),
        "p99 Latency (ms)": _value(row.latency_ms.get("p99")),
    }


def _gpu(context: Context, row: SummaryRow) -> Record | None:
    memory = row.gpu_memory_mib
    if memory is None and row.gpu_utilization_percent is None and row.gpu_power_w is None:
        return None
    gpu = device_gpu(context.manifest, context.spec(row.backend))
    return _common(context, row) | {
        "GPU UUID": text(gpu, "uuid", default=""),
        "GPU Memory Usage (MB)": None if memory is None else memory * MB_PER_MIB,
        "GPU Utilization (%)": row.gpu_utilization_percent,
        "GPU Power Usage (W)": _value(row.gpu_power_w),
    }


def _server(context: Context, row: ServerOnlyRow) -> Record:
    """Model Analyzer's name for a server without a model; without a GPU its columns are empty."""
    gpu = device_gpu(context.manifest, context.spec(row.backend))
    memory = row.gpu_memory_mib
    return {
        "Model": "triton-server", "GPU UUID": text(gpu, "uuid", default=""),
        "GPU Memory Usage (MB)": None if memory is None else memory * MB_PER_MIB,
        "GPU Utilization (%)": row.gpu_utilization_percent, "GPU Power Usage (W)": row.gpu_power_w,
    }  # fmt: skip


def _row(row: ServerOnlyRow, columns: tuple[str, ...]) -> Record:
    return {name: getattr(row, name) for name in columns}


def _capacity(found: CapacitySummary) -> Record:
    record = {name: getattr(found, name) for name in CAPACITY_COLUMNS if hasattr(found, name)}
    for name in ("rate", "goodput", "knee"):
        record |= _ends(name, getattr(found, name))
    return record | {"lowest_end": found.low, "failed_at": found.high}


def _summary(row: SummaryRow) -> Record:
    record = {name: getattr(row, name) for name in SUMMARY_COLUMNS if hasattr(row, name)}
    for percentile in PERCENTILES:
        record |= _ends(f"latency_{percentile}_ms", row.latency_ms.get(percentile))
    for name in ("throughput", "gpu_power_w", "joules_per_inference"):
        record |= _ends(name, getattr(row, name))
    return record | {"flags": ";".join(row.flags)}


def _measurement(row: MeasurementRow) -> Record:
    record = {name: getattr(row, name) for name in MEASUREMENT_COLUMNS if hasattr(row, name)}
    record |= {"window_s": (row.window_end_ns - row.window_begin_ns) / 1e9}
    for percentile in PERCENTILES:
        low, high = row.latency_order_ms.get(percentile) or (None, None)
        key = f"latency_{percentile}_ms"
        record |= {
            key: row.latency_ms.get(percentile), f"{key}_order_low": low, f"{key}_order_high": high,
        }  # fmt: skip
    record |= {f"server_{part}_us": row.server_us.get(part) for part in PHASES}
    clock, temperature = row.gpu_sm_clock_mhz or (None, None), row.gpu_temperature_c or (None, None)
    record |= {
        "gpu_sm_clock_mhz_least": clock[0], "gpu_sm_clock_mhz_most": clock[1],
        "gpu_temperature_c": temperature[1],
    }  # fmt: skip
    return record | {"flags": ";".join(row.flags)}
