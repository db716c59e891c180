"""Memory over time: a chart a configuration, with the stages and the points' windows behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.errors import RunDirectoryError
from harness.report.model import blocks, numbers
from harness.report.model.context import Context
from harness.report.model.section import Charts, Section, Text
from harness.results import rows, store
from harness.results.series import Quantity, Readings, SeriesKey, TelemetrySeries, read_parquet
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.files import inside

HOST, GPU, DEVICE = "host memory", "GPU memory", "GPU memory, whole device"
HOST_COLOR = "#0072B2"
GPU_COLORS = ("#D55E00", "#8DA0B6", "#009E73", "#CC79A7", "#B58900", "#7B3294")


INTRO = (
    "What the process tree of each configuration held in its first round: the stages of its start, "
    "then the window of each point, named by batch size and load. Readings are samples, so a peak "
    "between two of them is missed."
)


def section(context: Context) -> Section | None:
    """The section; None without telemetry."""
    charts = memory_charts(context)
    blocks = (Text(INTRO, "prose"), Charts(charts))
    return Section("memory", "Memory over time", blocks) if charts else None


def memory_charts(context: Context) -> tuple[blocks.Chart, ...]:
    """The first round of each configuration of the summary; empty without telemetry."""
    named: dict[str, MemoryTimeline] = {}
    for row in context.data.loads:
        name = context.names.of(row.backend, row.config)
        if name in context.shown and name not in named:
            for found in timelines(context.data, rows=[row]):
                named[name] = found
    shown = [n for n in context.shown if n in named]
    return tuple(chart(f"memory-{context.series.index(n)}", n, named[n]) for n in shown)


def chart(id_: str, name: str, found: MemoryTimeline) -> blocks.Chart:
    """A round of one configuration."""
    series = tuple(
        _line(kind, _color(kind, i), found.t_s, values, i)
        for i, (kind, values) in enumerate(found.series.items())
    )
    return blocks.Chart(
        id_, f"{name}, round {found.round + 1}", "Seconds",
        f"{series[0].name.capitalize()} (MiB)" if len(series) == 1 else "MiB", series,
        _stages(found), bands=tuple(blocks.Band(*mark) for mark in found.marks),
    )  # fmt: skip


def _line(
    name: str, color: str, times: Sequence[float], values: Sequence[float | None], dash: int
) -> blocks.ChartSeries:
    known = ((t, v) for t, v in zip(times, values, strict=True) if v is not None)
    points = ((t, v, f"{name} at {t:.4g} s: {numbers.significant(v)} MiB") for t, v in known)
    return blocks.trace(name, color, points, "thin", dash=dash)


def _color(name: str, index: int) -> str:
    if name.startswith("host"):
        return HOST_COLOR
    return GPU_COLORS[(index - 1) % len(GPU_COLORS)]


def _stages(found: MemoryTimeline) -> blocks.Table:
    """The stages: from, to, and the largest value of each series in it."""
    body = [
        [
            blocks.word(label), blocks.number_cell(begin), blocks.number_cell(end),
            *(blocks.number_cell(_peak(found.t_s, v, begin, end)) for v in found.series.values()),
        ]
        for begin, end, label in found.marks
    ]  # fmt: skip
    largest = (f"{name}, largest (MiB)" for name in found.series)
    return blocks.table(["Stage", "From (s)", "To (s)", *largest], body)


def _peak(
    times: Sequence[float], values: Sequence[float | None], begin: float, end: float
) -> float | None:
    """The largest value in force in a stage, as far as the steps of the series tell."""
    ends = [*times[1:], max(times[-1], end)]
    steps = zip(times, ends, values, strict=True)
    inside = [v for t, until, v in steps if v is not None and t < end and until > begin]
    return max(inside, default=None)


MIB = 2**20
STEPS = 400
"""Values of a downsampled series: more than a chart has pixels to tell them apart."""
STAGE_LABELS = {
    "baseline": "start", "context": "server", "weights": "load", "warm": "first call",
}  # fmt: skip
"""Stage (`telemetry.stages`) → what its mark says; without a server, `context` is the CUDA one."""


@dataclass(frozen=True, slots=True)
class MemoryTimeline:
    """One session; every series is as long as `t_s`."""

    name: str
    """The backend, or `backend/config` where there are several configs."""
    round: int
    t_s: tuple[float, ...]
    """Seconds since the first reading; each value stands for the time up to the next."""
    series: Mapping[str, tuple[float | None, ...]]
    """MiB: the largest reading of each step; None before the first."""
    marks: tuple[tuple[float, float, str], ...]
    """(begin, end, label) in seconds: the stages, then each point's window."""


def timelines(
    data: store.RunData, steps: int = STEPS, rows: Sequence[rows.LoadedRow] | None = None
) -> list[MemoryTimeline]:
    """Every session of a run, or of these, that has readings, in the order of the journal."""
    found = (_timeline(data, row, steps) for row in (data.loads if rows is None else rows))
    return [timeline for timeline in found if timeline is not None]


def _timeline(data: store.RunData, row: rows.LoadedRow, steps: int) -> MemoryTimeline | None:
    file = row.details.get("telemetry")
    path = inside(data.path, file) if file else None
    if path is None or not path.is_file():
        return None
    try:
        series = read_parquet(path)
    except RunDirectoryError:  # damaged: the notes say so
        return None
    memory = dict(_memory(series))
    if not memory:
        return None
    begin = min(int(s.t_ns[0]) for s in series.values())  # before there is a process, too
    end = max(int(s.t_ns[-1]) for s in series.values())
    edges = np.linspace(begin, end + 1, steps + 1)
    marks = [*_stage_times(row, begin), *_windows(data.measurements, row, begin, end)]
    return MemoryTimeline(
        row.backend if row.config == DEFAULT_CONFIG else f"{row.backend}/{row.config}",
        row.round,
        tuple(((edges[:-1] - begin) / 1e9).round(4).tolist()),
        {name: downsample(s, edges) for name, s in memory.items()},
        tuple(((a - begin) / 1e9, (b - begin) / 1e9, label) for a, b, label in marks),
    )


def _memory(readings: Readings) -> Iterator[tuple[str, TelemetrySeries]]:
    """The memory series by the names that a chart gives them; several GPUs keep their numbers."""
    host = readings.get(SeriesKey(Quantity.HOST_BYTES))
    if host is not None:
        yield HOST, host
    devices = {k.device: s for k, s in readings.items() if k.quantity is Quantity.DEVICE_BYTES}
    for device, whole in devices.items():
        suffix = f" ({device})" if len(devices) > 1 else ""
        process = readings.get(SeriesKey(Quantity.PROCESS_BYTES, device))
        if process is not None and process.value.any():
            yield GPU + suffix, process
        yield DEVICE + suffix, whole


def downsample(series: TelemetrySeries, edges: NDArray[np.float64]) -> tuple[float | None, ...]:
    """The largest value in force in each step, in MiB; `edges` (ns) are one more than the steps.

    A peak that lasts for a single reading stays visible, whatever the number of steps.
    """
    first = np.searchsorted(series.t_ns, edges, "left")
    values: list[float | None] = []
    for begin, end in pairwise(first):
        part = series.value[max(0, begin - 1) : max(end, begin)]  # with what was in force before
        values.append(round(float(part.max()) / MIB, 3) if part.size else None)
    return tuple(values)


def _stage_times(row: rows.LoadedRow, begin: int) -> Iterator[tuple[int, int, str]]:
    """The stages' times; each begins where the one before it ends."""
    ends = row.details.get("stages_ns") or {}
    served = "server" in row.details
    for stage, end in sorted(ends.items(), key=lambda item: int(item[1])):
        if int(end) <= begin:
            continue
        label = "CUDA context" if stage == "context" and not served else STAGE_LABELS.get(stage)
        yield begin, int(end), label or stage
        begin = int(end)


def _windows(
    rows: Sequence[rows.MeasurementRow], loaded: rows.LoadedRow, begin: int, end: int
) -> Iterator[tuple[int, int, str]]:
    """The windows that this session measured: a broken session's points are measured by another."""
    session = (loaded.backend, loaded.config, loaded.round)
    for row in rows:
        mine = (row.backend, row.config, row.round) == session
        if mine and begin <= row.window_begin_ns and row.window_end_ns <= end + 1_000_000_000:
            place = "/".join(row.point.split("/")[-2:])  # `b4/c2`
            yield row.window_begin_ns, row.window_end_ns, place
