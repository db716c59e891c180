"""The CSV files: Model Analyzer's three with its columns, and ours, in full precision.

Model Analyzer's memory columns are MB of 10^6 bytes; ours are MiB. An empty field is n/a; `inf` is
a percentile beyond the timeout.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from operator import attrgetter
from pathlib import Path

from harness.analysis.capacity import CapacitySummary
from harness.analysis.colocated import ColocatedSummary, summarize_colocated
from harness.analysis.constraints import satisfies
from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.report.model.context import Context
from harness.report.model.manifest_facts import device_gpu, hardware_line, mapping, text
from harness.report.model.numbers import MB_PER_MIB
from harness.report.model.served import NONE
from harness.report.sections import gap
from harness.report.sections.capacity import capacities
from harness.report.sections.colocated import holds_own
from harness.results.details import PHASES
from harness.results.rows import MeasurementRow, ServerOnlyRow
from harness.scenario.metrics import METRICS, PERCENTILE_NAMES, Metric, latency_name
from harness.system.files import write_text

Record = Mapping[str, object]
Columns = dict[str, Callable[[Context, SummaryRow], object]]
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How what a spreadsheet evaluates begins: OWASP, CSV Injection."""


def _instances(context: Context, row: SummaryRow) -> str | None:
    """`2:GPU` or `1:CPU`, as Model Analyzer writes it; None without a server."""
    served = context.served(row)
    return None if served.instances == NONE else f"{served.instances}:{served.kind}"


def _none(text: str) -> str | None:
    return None if text == NONE else text


def _mb(mib: float | None) -> float | None:
    return None if mib is None else mib * MB_PER_MIB


def _uuid(context: Context, backend: str) -> str:
    return text(device_gpu(context.manifest, context.spec(backend)), "uuid", default="")


_PLACE: Columns = {
    "Batch": lambda _, row: row.batch_size,
    "Concurrency": lambda _, row: row.concurrency,
    "Model Config Path": lambda context, row: context.name(row),
    "Instance Group": _instances,
}
_SATISFIES: Columns = {"Satisfies Constraints": lambda context, row: (
    {"yes": "Yes", "no": "No", "unknown": "Unknown"}[satisfies(row, context.bounds)]
)}  # fmt: skip
INFERENCE: Columns = {
    "Model": lambda context, _: context.model,
    **_PLACE,
    "Max Batch Size": lambda context, row: _none(context.served(row).max_batch_size),
    **_SATISFIES,
    "Throughput (infer/sec)": lambda _, row: row.plain("throughput"),
    "p99 Latency (ms)": lambda _, row: row.plain("latency_p99_ms"),
}
GPU: Columns = {
    "Model": lambda context, _: context.model,
    "GPU UUID": lambda context, row: _uuid(context, row.backend),
    **_PLACE,
    **_SATISFIES,
    "GPU Memory Usage (MB)": lambda _, row: _mb(row.gpu_memory_mib),
    "GPU Utilization (%)": lambda _, row: row.plain("gpu_utilization_percent"),
    "GPU Power Usage (W)": lambda _, row: row.plain("gpu_power_w"),
}
_POINT = ("point", "backend", "config", "batch_size", "concurrency", "request_rate")


def write_csvs(context: Context, directory: Path) -> list[Path]:
    """Write the files into `directory` and return their paths.

    There are five, `server-only.csv` when servers were watched before they loaded a model,
    `colocated.csv` when models were measured together, `capacity.csv` when a capacity was searched
    for, and `gap.csv` when a model was measured in process and on a server.
    """
    rows, servers = context.ordered, context.data.rows(ServerOnlyRow)
    measured = [r for r in rows if r.rounds]
    on_gpu = [r for r in rows if any(r.metrics[n] for n, m in METRICS.items() if m.gpu)]
    files: dict[str, tuple[Iterable[str], list[Record]]] = {
        "metrics-model-inference.csv": (INFERENCE, _records(INFERENCE, context, measured)),
        "metrics-model-gpu.csv": (GPU, _records(GPU, context, on_gpu)),
        "metrics-server-only.csv": (SERVER, [_server(context, r) for r in servers]),
        "summary.csv": (SUMMARY, summary_records(context)),
        "measurements.csv": (MEASUREMENTS, measurement_records(context)),
    }
    if servers:
        files["server-only.csv"] = (SERVER_ONLY, [_fields(r, SERVER_ONLY) for r in servers])
    if others := [_colocated(context, r, m) for r in context.rows for m in summarize_colocated(r)]:
        files["colocated.csv"] = (COLOCATED, others)
    if searched := [capacity_record(c) for c in capacities(context)]:
        files["capacity.csv"] = (CAPACITY, searched)
    if parts := list(gap.csv_records(context)):
        files["gap.csv"] = (gap.CSV, parts)
    return [_write(directory / name, *content) for name, content in files.items()]


def summary_records(context: Context) -> list[Record]:
    """A record a point, by `SUMMARY`."""
    pick, same = context.choice.recommended, run_facts(context)
    return [
        {**_summary(row), "holds_constraints": satisfies(row, context.bounds),
         "recommended": row is pick, **same}
        for row in context.rows
    ]  # fmt: skip


def run_facts(context: Context) -> Record:
    """What every row of `SUMMARY` says of its run, by `RUN`."""
    manifest = context.manifest
    values = (
        context.data.path.resolve().name, text(context.scenario, "scenario"), context.model,
        text(manifest, "created"), text(manifest, "machine", "hostname"), hardware_line(manifest),
        mapping(manifest, "git").get("commit"), text(manifest, "harness_version"),
    )  # fmt: skip
    return dict(zip(RUN, values, strict=True))


def measurement_records(context: Context) -> list[Record]:
    """A record a point and round, by `MEASUREMENTS`; the rates of a search too."""
    measured = (m for row in (*context.rows, *context.searched) for m in row.every)
    return [{name: get(m) for name, get in MEASUREMENTS.items()} for m in measured]


def _write(path: Path, columns: Iterable[str], records: list[Record]) -> Path:
    names, text = list(columns), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(record.get(name)) for name in names] for record in records)
    write_text(path, text.getvalue())
    return path


def _cell(value: object) -> object:
    """What no spreadsheet runs: a text that is a formula gets the apostrophe that makes it text.
    NaN is empty, as None.
    """
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return None if value != value else value  # noqa: PLR0124 - NaN alone


def _records(columns: Columns, context: Context, rows: list[SummaryRow]) -> list[Record]:
    return [{name: get(context, row) for name, get in columns.items()} for row in rows]


def _fields(row: object, names: Iterable[str]) -> dict[str, object]:
    """What the row has of these columns."""
    return {name: getattr(row, name) for name in names if hasattr(row, name)}


def _ends(name: str, interval: Interval | None) -> dict[str, object]:
    value, low, high = (interval.value, interval.low, interval.high) if interval else (None,) * 3
    return {name: value, f"{name}_low": low, f"{name}_high": high}


# ------------------------------------------------------------------------- Model Analyzer's three


SERVER = (
    "Model", "GPU UUID", "GPU Memory Usage (MB)", "GPU Utilization (%)", "GPU Power Usage (W)",
)  # fmt: skip


def _server(context: Context, row: ServerOnlyRow) -> Record:
    """Model Analyzer's name for a server without a model; without a GPU its columns are empty."""
    values = ("triton-server", _uuid(context, row.backend), _mb(row.gpu_memory_mib),
              row.gpu_utilization_percent, row.gpu_power_w)  # fmt: skip
    return dict(zip(SERVER, values, strict=True))


# ------------------------------------------------------------------------------------------- ours

SERVER_ONLY = tuple(f.name for f in fields(ServerOnlyRow))
CAPACITY = (
    "point", "backend", "config", "batch_size", "percentile", "target_ms", "precision", "rounds",
    *(f"{name}{end}" for name in ("rate", "goodput", "knee") for end in ("", "_low", "_high")),
    "lowest_end", "failed_at", "limit", "steps", "sizes", "rounds_disturbed",
)  # fmt: skip
COLOCATED = (
    *_POINT, "model", "model_batch_size", "model_concurrency", "model_request_rate", "rounds",
    *(f"{name}{end}" for name in ("throughput", *map(latency_name, PERCENTILE_NAMES))
      for end in ("", "_low", "_high")),
    "requests", "errors", "holds_constraints", "flags", "sizes",
)  # fmt: skip
RUN = ("run", "scenario", "model", "created", "hostname", "hardware", "commit", "harness_version")
"""The same in every row, so that the files of many nights can be put below each other."""
SUMMARY = (
    *_POINT, "rounds", *(c for m in METRICS.values() if m.summary for c in m.columns),
    "errors", "valid", "flags", "rounds_disturbed", "holds_constraints", "recommended",
    *RUN, "sizes",
)  # fmt: skip


def capacity_record(capacity: CapacitySummary) -> Record:
    """A record a search, by `CAPACITY`."""
    record = _fields(capacity, CAPACITY)
    for name in ("rate", "goodput", "knee"):
        record |= _ends(name, getattr(capacity, name))
    return record | {"lowest_end": capacity.low, "failed_at": capacity.high}


def _colocated(context: Context, row: SummaryRow, model: ColocatedSummary) -> Record:
    record = _fields(row, COLOCATED) | _ends("throughput", model.throughput)
    for percentile, latency in model.latency_ms.items():
        record |= _ends(latency_name(percentile), latency)
    load = {f"model_{k}": model.load.get(k) for k in ("batch_size", "concurrency", "request_rate")}
    return record | load | {
        "model": model.name, "requests": model.requests, "errors": model.errors,
        "holds_constraints": holds_own(context, row, model.name), "flags": ";".join(model.flags),
    }  # fmt: skip


def _summary(row: SummaryRow) -> Record:
    record = _fields(row, (*_POINT, "sizes", "rounds", "rounds_disturbed", "errors", "valid"))
    for metric in METRICS.values():
        record |= _over_rounds(row, metric)
    return record | {"errors": row.errors, "flags": ";".join(row.flags)}


def _over_rounds(row: SummaryRow, metric: Metric) -> dict[str, object]:
    """The metric's columns: the interval's ends, or the smallest round beside the largest."""
    if metric.over_rounds == "largest":
        ends = row.plain(metric.name), row.least(metric.name)
        return dict(zip(metric.columns, ends, strict=True))
    return _ends(metric.name, row.metrics[metric.name])


Measured = dict[str, Callable[[MeasurementRow], object]]


def _latency(percentile: str, end: int | None, row: MeasurementRow) -> object:
    """The percentile, or an end of its interval within the round."""
    if end is None:
        return row.latency_ms.get(percentile)
    return (row.latency_order_ms.get(percentile) or (None, None))[end]


def _server_part(part: str, row: MeasurementRow) -> object:
    return row.server_us.get(part)


_SPREAD: dict[str, Measured] = {
    "window_begin_ns": {},
    "window_end_ns": {"window_s": lambda row: (row.window_end_ns - row.window_begin_ns) / 1e9},
    "latency_ms": {
        f"{latency_name(p)}{name}": partial(_latency, p, end)
        for p in PERCENTILE_NAMES
        for name, end in {"": None, "_order_low": 0, "_order_high": 1}.items()
    },
    "latency_order_ms": {},
    "server_us": {f"server_{part}_us": partial(_server_part, part) for part in PHASES},
    "samples": {
        "joules_per_inference": lambda row: row.joules_per_inference,
        "gpu_sm_clock_mhz_least": lambda row: (row.gpu_sm_clock_mhz or (None, None))[0],
        "gpu_sm_clock_mhz_most": lambda row: (row.gpu_sm_clock_mhz or (None, None))[1],
        "gpu_temperature_c": lambda row: (row.gpu_temperature_c or (None, None))[1],
        "samples": lambda row: row.samples,
    },
    "flags": {"flags": lambda row: ";".join(row.flags)},
    "details": {},
}
"""Fields of a measurement row that aren't one column as they are; what stands in its details comes
before the samples.
"""


MEASUREMENTS: Measured = {
    name: get
    for field in fields(MeasurementRow)
    for name, get in _SPREAD.get(field.name, {field.name: attrgetter(field.name)}).items()
}
"""measurements.csv: the rows of the journal, field by field."""
