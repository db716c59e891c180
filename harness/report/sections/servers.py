"""What the servers said: composing models, /metrics, and what they cost before loading a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from harness.analysis.summary import SummaryRow
from harness.report.model.blocks import Cell, Table, figure, listing, number_cell, table, word
from harness.report.model.context import Context
from harness.report.model.labels import load_label
from harness.report.model.numbers import significant
from harness.report.model.phases import STACK
from harness.results.details import PHASES, ServerMetrics
from harness.results.rows import MeasurementRow, ServerOnlyRow
from harness.scenario.sizes import request_text

Counts = Mapping[str, float]
"""What a composing model did in a window, as its statistics say."""


def server_only_table(context: Context) -> Table:
    """A row for each server that the harness started."""
    rows = context.data.rows(ServerOnlyRow)
    gpu: dict[str, Callable[[ServerOnlyRow], Cell]] = {
        "GPU memory (MiB)": lambda r: number_cell(r.gpu_memory_mib),
        "GPU utilisation (%)": lambda r: number_cell(r.gpu_utilization_percent),
        "GPU power (W)": lambda r: number_cell(r.gpu_power_w),
    }
    watched = significant(max((r.seconds for r in rows), default=0))
    note = f"Watched for {watched} s before the model was loaded."
    return listing(rows, {
        "Server of": lambda r: word(r.backend),
        "Host memory (MiB)": lambda r: number_cell(r.host_memory_mib),
        "CPU (%)": lambda r: number_cell(r.cpu_percent),
        **(gpu if any(r.gpu_memory_mib is not None for r in rows) else {}),
    }, [note])  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Composing:
    """A composing model at a point: (seconds of the window, what it did) of each round."""

    row: SummaryRow
    name: str
    rounds: list[tuple[float, Counts]]

    def mean(self, of: Callable[[float, Counts], float | None]) -> Cell:
        """The mean over the rounds that know it."""
        return number_cell(_mean(of(seconds, part) for seconds, part in self.rounds))

    def time(self, key: str) -> Cell:
        """The mean of one of its times, in ms."""
        return self.mean(lambda _, part: part[key] / 1e3 if key in part else None)


def composing_table(rows: Sequence[SummaryRow]) -> Table:
    """What the models that a model is made of did, a row a point and model."""
    found = [part for row in rows for part in _composing(row)]
    times = {f"{title} (ms)": partial(_Composing.time, key=key) for key, title, _ in STACK}
    note = (
        "Times are means of the composing model's own requests, by its statistics over the same "
        "windows; models of one ensemble may run side by side, so they need not add up."
    )
    return listing(found, {
        "Batch": lambda c: figure(request_text(c.row.batch_size, c.row.sizes)),
        "Load": lambda c: figure(load_label(c.row)),
        "Composing model": lambda c: word(c.name),
        "Requests/s": lambda c: c.mean(lambda seconds, p: _ratio(p["count"], seconds)),
        "Mean batch": lambda c: c.mean(lambda _, p: _ratio(p["inferences"], p["executions"])),
        **times,
        "Failed": lambda c: number_cell(sum(p["failures"] for _, p in c.rounds), ",.0f"),
    }, [note])  # fmt: skip


def _composing(row: SummaryRow) -> list[_Composing]:
    found: dict[str, _Composing] = {}
    for m in row.measurements:
        seconds = (m.window_end_ns - m.window_begin_ns) / 1e9
        for name, part in (m.details.get("composing") or {}).items():
            if not part.keys() >= {"count", "failures", "inferences", "executions"}:
                continue
            found.setdefault(name, _Composing(row, name, [])).rounds.append((seconds, part))
    return list(found.values())


def _ratio(total: float | None, count: float | None) -> float | None:
    return total / count if count and total is not None else None


# ---------------------------------------------------------------------------------------- /metrics


Rounds = Sequence[ServerMetrics]
_KEYS = {"requests", "failures", "inferences", "executions", "cache", "pending", "pinned_mib",
         "gpus"}  # fmt: skip
"""What metrics have that were read."""


def metrics_table(rows: Sequence[SummaryRow]) -> Table:
    """What /metrics say of each point beyond the split; columns that nothing is known of are left
    out.
    """
    read = [(row, rounds) for row in rows if (rounds := _read(row.measurements))]
    every = {title: [make(rounds) for _, rounds in read] for title, make in _COLUMNS.items()}
    shown = {title: values for title, values in every.items() if _known(values)}
    body = [
        [
            figure(row.request), figure(load_label(row)),
            *(number_cell(values[i], _COUNTS.get(title, "")) for title, values in shown.items()),
        ]
        for i, (row, _) in enumerate(read)
    ]  # fmt: skip
    total: dict[str, float] = {}
    for metrics in (m for _, rounds in read for m in rounds):
        for reason, count in metrics["failures"].items():
            total[reason] = total.get(reason, 0.0) + count
    reasons = ", ".join(f"{reason} {count:,.0f}" for reason, count in total.items() if count)
    notes = [f"Failed requests by Triton's reason: {reasons}."] if reasons else []
    return table(["Batch", "Load", *shown], body, notes)


def _read(rows: Iterable[MeasurementRow]) -> Rounds:
    """The rounds whose metrics were read."""
    found = (m.details.get("metrics") for m in rows)
    return [metrics for metrics in found if metrics and metrics.keys() >= _KEYS]


def _failed(rounds: Rounds) -> float | None:
    known = [sum(m["failures"].values()) for m in rounds if m["failures"]]
    return sum(known) if known else None


def _pending(rounds: Rounds) -> float | None:
    values = (v for m in rounds for values in m["pending"].values() for v in values)
    return max(values, default=None)


def _cache_hits(rounds: Rounds) -> float | None:
    """Share of the look-ups that were hits, in percent."""
    hits, misses = (sum(m["cache"].get(k, 0.0) for m in rounds) for k in ("hits", "misses"))
    return 100 * hits / (hits + misses) if hits + misses else None


def _pinned(rounds: Rounds) -> float | None:
    """None where the pool is not used: it is there on machines without a GPU too."""
    return max((m["pinned_mib"].get("used", 0.0) for m in rounds), default=0.0) or None


def _of_gpus(
    key: str, together: Callable[[list[float]], float]
) -> Callable[[Rounds], float | None]:
    def value(rounds: Rounds) -> float | None:
        readings = ([g[key] for g in m["gpus"].values() if key in g] for m in rounds)
        return _mean(together(found) for found in readings if found)

    return value


_COLUMNS: dict[str, Callable[[Rounds], float | None]] = {
    "Failed requests": _failed,
    "Mean batch": lambda rounds: _mean(_ratio(m["inferences"], m["executions"]) for m in rounds),
    "Pending, most": _pending,
    "Cache hits (%)": _cache_hits,
    "Pinned memory (MiB)": _pinned,
    "GPU utilisation (%)": _of_gpus("utilization_percent", max),
    "GPU memory, device (MiB)": _of_gpus("memory_used_mib", sum),
    "GPU power (W)": _of_gpus("power_w", sum),
    "Energy (J/inference)": lambda rounds: _mean(m.get("joules_per_inference") for m in rounds),
}
"""Title → its value over a point's rounds; None where nothing is known."""
_COUNTS = {"Failed requests": ",.0f", "Pending, most": ",.0f"}


def metrics_of(row: MeasurementRow) -> dict[str, float]:
    """What /metrics say of one round, by the titles of `metrics_table`; empty where not read."""
    read = _read([row])
    found = {title: make(read) for title, make in _COLUMNS.items()} if read else {}
    return {title: value for title, value in found.items() if value is not None}


def composing_of(row: MeasurementRow) -> dict[str, dict[str, float]]:
    """By composing model, mean milliseconds a request of its own in one round, by phase."""
    return {
        name: {phase: part[phase] / 1e3 for phase in PHASES if phase in part}
        for name, part in (row.details.get("composing") or {}).items()
    }


def _known(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return fmean(known) if known else None
