"""Memory over time: a chart a configuration, with the stages and the points' windows behind it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.context import Context
from harness.report.numbers import NOT_AVAILABLE, mib_text, significant
from harness.report.parts import Band, Chart, Series, Table, figure, table, word
from harness.report.timeline import Timeline, timelines
from harness.scenario.variants import DEFAULT_CONFIG

HOST_COLOR = "#0072B2"
GPU_COLORS = ("#D55E00", "#8DA0B6", "#009E73", "#CC79A7", "#B58900", "#7B3294")


def memory_charts(context: Context) -> tuple[Chart, ...]:
    """The first round of each configuration of the summary; empty without telemetry."""
    firsts: dict[str, Timeline] = {}
    for found in timelines(context.data):
        firsts.setdefault(found.name, found)
    named = {_series(context, name): found for name, found in firsts.items()}
    shown = [n for n in context.shown if n in named]
    return tuple(chart(f"memory-{context.series.index(n)}", n, named[n]) for n in shown)


def _series(context: Context, name: str) -> str:
    """The series of a timeline, which is named `backend`, or `backend/config`."""
    backend, _, config = name.partition("/")
    return context.series_of(backend, config or DEFAULT_CONFIG)


def chart(id_: str, name: str, found: Timeline) -> Chart:
    """A round of one configuration."""
    series = tuple(
        _line(kind, _color(kind, i), found.t_s, values)
        for i, (kind, values) in enumerate(found.series.items())
    )
    return Chart(
        id_, f"{name}, round {found.round + 1}", "Seconds",
        f"{series[0].name.capitalize()} (MiB)" if len(series) == 1 else "MiB", series,
        _stages(found), bands=tuple(Band(*mark) for mark in found.marks),
    )  # fmt: skip


def _line(name: str, color: str, times: Sequence[float], values: Sequence[float | None]) -> Series:
    known = [(t, v) for t, v in zip(times, values, strict=True) if v is not None]
    return Series(
        name, color, tuple(t for t, _ in known), tuple(v for _, v in known), "thin",
        labels=tuple(f"{name} at {t:.4g} s: {significant(v)} MiB" for t, v in known),
    )  # fmt: skip


def _color(name: str, index: int) -> str:
    if name.startswith("host"):
        return HOST_COLOR
    return GPU_COLORS[(index - 1) % len(GPU_COLORS)]


def _stages(found: Timeline) -> Table:
    """The stages: from, to, and the largest value of each series in it."""
    names = list(found.series)
    body = [
        [
            word(label), figure(significant(begin)), figure(significant(end)),
            *(figure(_peak(found.t_s, found.series[n], begin, end)) for n in names),
        ]
        for begin, end, label in found.marks
    ]  # fmt: skip
    return table(["Stage", "From (s)", "To (s)", *(f"{n}, largest (MiB)" for n in names)], body)


def _peak(times: Sequence[float], values: Sequence[float | None], begin: float, end: float) -> str:
    """The largest value in force in a stage, as far as the steps of the series tell."""
    ends = [*times[1:], max(times[-1], end)]
    steps = zip(times, ends, values, strict=True)
    inside = [v for t, until, v in steps if v is not None and t < end and until > begin]
    return mib_text(max(inside)) if inside else NOT_AVAILABLE
