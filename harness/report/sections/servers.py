"""What the servers said: composing models, /metrics, and what they cost before loading a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from harness.analysis.summary import SummaryRow
from harness.report.model.blocks import Cell, Table, figure, table, word
from harness.report.model.context import Context
from harness.report.model.labels import load_label
from harness.report.model.numbers import NOT_AVAILABLE, mib_text, significant
from harness.report.sections.configurations import STACK
from harness.results.rows import MeasurementRow, ServerOnlyRow
from harness.triton.counters.statistics import PHASES

Details = Mapping[str, Any]


def server_only_rows(context: Context) -> list[ServerOnlyRow]:
    """What each server cost before it loaded a model."""
    return context.data.rows(ServerOnlyRow)


def server_only_table(context: Context) -> Table | None:
    """A row for each server that the harness started; None where there was none."""
    rows = server_only_rows(context)
    if not rows:
        return None
    gpu = any(r.gpu_memory_mib is not None for r in rows)
    headers = ["Server of", "Host memory (MiB)", "CPU (%)"]
    headers += ["GPU memory (MiB)", "GPU util. (%)", "GPU power (W)"] if gpu else []
    body = [
        [
            word(r.backend), figure(mib_text(r.host_memory_mib)), _figure(r.cpu_percent),
            *([figure(mib_text(r.gpu_memory_mib)), _figure(r.gpu_utilization_percent),
               _figure(r.gpu_power_w)] if gpu else []),
        ]
        for r in rows
    ]  # fmt: skip
    note = f"Watched for {significant(max(r.seconds for r in rows))} s before the model was loaded."
    return table(headers, body, [note])


def composing_table(rows: Sequence[SummaryRow]) -> Table | None:
    """What the models that a model is made of did, a row a point and model; None without any."""
    body = [
        [*_place(row), word(name), *_composing(found)]
        for row in rows
        for name, found in _each(row).items()
    ]
    if not body:
        return None
    headers = [
        "Batch", "Load", "Composing model", "Requests/s", "Mean batch",
        *(f"{title} (ms)" for _, title, _ in STACK), "Failed",
    ]  # fmt: skip
    note = (
        "Times are means of the composing model's own requests, by its statistics over the same "
        "windows; models of one ensemble may run side by side, so they need not add up."
    )
    return table(headers, body, [note])


def _place(row: SummaryRow) -> list[Cell]:
    return [figure(str(row.batch_size)), figure(load_label(row))]


def _each(row: SummaryRow) -> dict[str, list[tuple[float, Details]]]:
    """Name → (seconds of the window, what was found) in each round."""
    found: dict[str, list[tuple[float, Details]]] = {}
    for m in row.measurements:
        seconds = (m.window_end_ns - m.window_begin_ns) / 1e9
        for name, parts in (m.details.get("composing") or {}).items():
            found.setdefault(name, []).append((seconds, parts))
    return found


def _composing(rounds: Sequence[tuple[float, Details]]) -> Iterator[Cell]:
    yield _figure(_mean(p["count"] / s for s, p in rounds))
    yield _figure(_mean(p["inferences"] / p["executions"] for _, p in rounds if p["executions"]))
    for key, _, _ in STACK:
        yield _figure(_mean(p[key] / 1e3 for _, p in rounds if key in p))
    yield figure(f"{sum(p['failures'] for _, p in rounds):,.0f}")


# ---------------------------------------------------------------------------------------- /metrics


def metrics_table(rows: Sequence[SummaryRow]) -> Table | None:
    """What /metrics say of each point beyond the split; columns that nothing is known of are left
    out. None where they were not read.
    """
    found = [(row, _read(row)) for row in rows]
    found = [(row, metrics) for row, metrics in found if metrics]
    if not found:
        return None
    columns = [(title, [make(metrics) for _, metrics in found]) for title, make in _COLUMNS.items()]
    shown = [(title, cells) for title, cells in columns if any(c is not None for c in cells)]
    body = [
        [*_place(row), *(_figure(cells[i], whole=title in _COUNTS) for title, cells in shown)]
        for i, (row, _) in enumerate(found)
    ]
    reasons = _reasons(found)
    notes = [f"Failed requests by Triton's reason: {reasons}."] if reasons else []
    return table(["Batch", "Load", *(title for title, _ in shown)], body, notes)


def _read(row: SummaryRow) -> list[Details]:
    """The rounds whose metrics were read."""
    found = [m.details.get("metrics") or {} for m in row.measurements]
    return [metrics for metrics in found if "requests" in metrics]


def _reasons(found: Sequence[tuple[SummaryRow, Sequence[Details]]]) -> str:
    total: dict[str, float] = {}
    for _, rounds in found:
        for metrics in rounds:
            for reason, count in metrics["failures"].items():
                total[reason] = total.get(reason, 0.0) + count
    return ", ".join(f"{reason} {count:,.0f}" for reason, count in total.items() if count)


def _failed(rounds: Sequence[Details]) -> float | None:
    known = [sum(m["failures"].values()) for m in rounds if m["failures"]]
    return sum(known) if known else None


def _mean_batch(rounds: Sequence[Details]) -> float | None:
    known = (m for m in rounds if m["executions"] and m["inferences"] is not None)
    return _mean(m["inferences"] / m["executions"] for m in known)


def _pending(rounds: Sequence[Details]) -> float | None:
    return max(
        (v for m in rounds for values in m["pending"].values() for v in values), default=None
    )


def _cache_hits(rounds: Sequence[Details]) -> float | None:
    """Share of the look-ups that were hits, in percent."""
    looked = [(m["cache"].get("hits", 0.0), m["cache"].get("misses", 0.0)) for m in rounds]
    total = sum(hits + misses for hits, misses in looked)
    return 100 * sum(hits for hits, _ in looked) / total if total else None


def _pinned(rounds: Sequence[Details]) -> float | None:
    """None where the pool is not used: it is there on machines without a GPU too."""
    most = max((m["pinned_mib"].get("used", 0.0) for m in rounds), default=0.0)
    return most or None


def _of_gpus(key: str, together: Callable[..., float]) -> Callable[[Sequence[Details]], Any]:
    def value(rounds: Sequence[Details]) -> float | None:
        known = [together(v) for m in rounds if (v := [g[key] for g in m["gpus"].values()
                                                       if key in g])]  # fmt: skip
        return fmean(known) if known else None

    return value


def _joules(rounds: Sequence[Details]) -> float | None:
    return _mean(j for m in rounds if (j := m["joules_per_inference"]) is not None)


_COLUMNS: dict[str, Callable[[Sequence[Details]], float | None]] = {
    "Failed requests": _failed, "Mean batch": _mean_batch, "Pending, most": _pending,
    "Cache hits (%)": _cache_hits, "Pinned memory (MiB)": _pinned,
    "GPU util. (%)": _of_gpus("utilization_percent", max),
    "GPU memory, device (MiB)": _of_gpus("memory_used_mib", sum),
    "GPU power (W)": _of_gpus("power_w", sum), "Energy (J/inference)": _joules,
}  # fmt: skip
"""Title → its value over a point's rounds; None where nothing is known."""
_COUNTS = ("Failed requests", "Pending, most")


def metrics_of(row: MeasurementRow) -> dict[str, float]:
    """What /metrics say of one round, by the titles of `metrics_table`; empty where not read."""
    metrics = row.details.get("metrics") or {}
    if "requests" not in metrics:
        return {}
    found = {title: make([metrics]) for title, make in _COLUMNS.items()}
    return {title: value for title, value in found.items() if value is not None}


def composing_of(row: MeasurementRow) -> dict[str, dict[str, float]]:
    """By composing model, mean milliseconds a request of its own in one round, by phase."""
    return {
        name: {phase: part[phase] / 1e3 for phase in PHASES if phase in part}
        for name, part in (row.details.get("composing") or {}).items()
    }


def _mean(values: Iterator[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None


def _figure(value: float | None, *, whole: bool = False) -> Cell:
    if value is None:
        return figure(NOT_AVAILABLE)
    return figure(f"{value:,.0f}" if whole else significant(value))
