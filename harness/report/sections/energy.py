"""Power and energy in the report: what an inference needs, against the throughput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.best import Choice, choose, differs, usable
from harness.analysis.colocated import models_colocated
from harness.analysis.intervals import Interval
from harness.analysis.objective import THROUGHPUT, advantage, single
from harness.analysis.summary import SummaryRow
from harness.report.charts.lines import Line, curves, dots, marker_of, shown_lines, wide
from harness.report.model.blocks import (
    Bound,
    Chart,
    Series,
    Table,
    figure,
    interval_cell,
    table,
    word,
)
from harness.report.model.context import Context
from harness.report.model.labels import bound_text, counted, listed, load_label, place_text, some
from harness.report.model.numbers import (
    NOT_AVAILABLE,
    both_text,
    fixed,
    percent_text,
    significant,
    value_text,
)
from harness.report.sections.answer import Sentence, Span, bold, compose
from harness.report.sections.points import INTERVAL_NOTE

METRIC = "joules_per_inference"
ENERGY = single(METRIC)
PER_JOULE, PER_SECOND = "Inferences per joule", "Throughput (infer/sec)"
COUNTER_NOTE = (
    "Energy is the difference of the GPU's energy counter over the window, divided by the "
    "inferences. It is the whole GPU's, idle power included, so on a shared GPU it counts what "
    "others do."
)
READINGS_NOTE = (
    "SM clock: lowest to highest reading of all rounds; temperature: the highest; utilisation: the "
    "mean."
)
TIMES_FROM = 3.0
"""From this ratio on, `times` says it better than percent."""
_NAMED = 4


@dataclass(frozen=True, slots=True)
class EnergyView:
    """The section's parts."""

    answer: tuple[Sentence, ...]
    notes: tuple[str, ...]
    """What the energy is of."""
    charts: tuple[Chart, ...]
    best: Table
    """The point of each configuration that needs the least."""
    table: Table
    """Every point, on the screen only: summary.csv has them all."""


def energy_view(context: Context) -> EnergyView | None:
    """The section; None where no valid point has energy."""
    rows = [r for r in context.rows if r.valid and r.inferences_per_joule is not None]
    if not rows:
        return None
    found = chart(context)
    firsts: dict[str, SummaryRow] = {}
    for row in sorted(rows, key=_per_joule, reverse=True):
        firsts.setdefault(context.name(row), row)
    return EnergyView(
        tuple(answer(context)), (COUNTER_NOTE, *_colocated(context), *_lacking(context)),
        () if found is None else (found,), points_table(context, list(firsts.values())),
        points_table(context, rows),
    )  # fmt: skip


# -------------------------------------------------------------------------------------- in words


def answer(context: Context) -> list[Sentence]:
    """Which point needs the least energy, whether that is shown, and what the fastest needs."""
    held = choose(context.rows, ENERGY, context.bounds)
    found = held if held.best is not None else choose(context.rows, ENERGY, {})
    best = found.best
    if best is None:
        return []
    which = []
    if any(usable(r) and r.joules_per_inference is None for r in context.rows):
        which.append("have energy")
    if context.bounds and found is held:
        which.append("hold every constraint")
    elif any(r.valid and r.joules_per_inference and not usable(r) for r in context.rows):
        which.append("can be ranked")
    of = f"Of the points that {' and '.join(which)}, " if which else ""
    return [_least(context, found, best, of), *_fastest(context, found, best, some=bool(of))]


def _least(context: Context, found: Choice, best: SummaryRow, of: str) -> Sentence:
    where: list[str | Span] = [of, bold(context.name(best)), f" ({place_text(best)})"]
    value = f"{both_text(best.joules_per_inference)} J"
    if not found.decidable:
        return compose(
            *where, f" had the least energy per inference, {value}; with one round no difference "
            "can be shown.",
        )  # fmt: skip
    if len(found.candidates) == 1:
        return compose(*where, f" needs {value} per inference; there is no other point to compare.")
    if found.winner is not None:
        once = any(r.rounds < 2 for r in found.candidates)
        repeated = " that has several rounds" if once else ""
        return compose(
            *where, " needs the ", bold("least energy per inference"), f", {value}: less than "
            f"every other point{repeated}, by the 95% intervals of their ratios.",
        )  # fmt: skip
    others = [f"{context.name(r)} ({place_text(r)})" for r in found.tied[1:]]
    named = listed(some(others, _NAMED))
    return compose(
        *where, " has the ", bold("lowest energy per inference"), f", {value}, and can't be told "
        f"apart from {named} by the 95% intervals of their ratios.",
    )  # fmt: skip


def _fastest(context: Context, found: Choice, best: SummaryRow, *, some: bool) -> list[Sentence]:
    """How the point of highest throughput compares with the one of least energy; `some`: others,
    which are not compared, may be faster.
    """
    top = choose(found.candidates, THROUGHPUT, {}).best
    if top is None:
        return []
    if top is best:
        value = both_text(top.throughput)
        of = " of these" if some else ""
        return [compose(f"It also has the highest throughput{of}, {value} infer/sec.")]
    where: list[str | Span] = [
        "Of these, the" if some else "The", " point of highest throughput, ",
        bold(context.name(top)), f" ({place_text(top)}), ",
    ]  # fmt: skip
    if not found.decidable:
        return [compose(*where, f"had {value_text(top.joules_per_inference)} J per inference.")]
    energy, throughput = advantage(best, top, ENERGY), advantage(top, best, THROUGHPUT)
    return [compose(*where, _compared(energy, throughput), ".")]


def _compared(energy: Interval | None, throughput: Interval | None) -> str:
    """The point of highest throughput against the one of least energy; both are above 1."""
    costs = energy is not None and differs(energy)
    gives = throughput is not None and differs(throughput)
    if energy is not None and costs and throughput is not None and gives:
        more = _more(throughput, "throughput")
        return f"needs {_more(energy, 'energy')} per inference for {more}"
    if energy is not None and costs:
        return (
            f"needs {_more(energy, 'energy')} per inference, and in throughput they can't be told "
            "apart"
        )
    if throughput is not None and gives:
        return (
            f"gives {_more(throughput, 'throughput')}, and in energy per inference they can't be "
            "told apart"
        )
    return "can't be told apart from it in energy per inference or throughput"


def _more(ratio: Interval, of: str) -> str:
    """`12% (9–15) more energy`, `4.1 (3.9–4.3) times the energy`."""
    if ratio.value >= TIMES_FROM:
        return f"{both_text(ratio)} times the {of}"
    low, high = (None if v is None else 100 * (v - 1) for v in (ratio.low, ratio.high))
    return f"{percent_text(Interval(100 * (ratio.value - 1), low, high, ratio.rounds))} more {of}"


# -------------------------------------------------------------------------------- chart and table


def chart(context: Context) -> Chart | None:
    """Inferences per joule against throughput, the lines of the summary's charts that have it."""
    shown, total = shown_lines(context)
    lines = [line for line in shown if any(r.inferences_per_joule is not None for r in line[2])]
    sizes = sorted({size for _, size, _ in lines})
    drawn = tuple(_line(context, line, sizes) for line in lines)
    if not drawn:
        return None
    hidden = sum(not r.valid for r in context.rows)
    notes = (
        curves(context, shown, total) if lines == shown else _some_of(shown, lines),
        "Each dot is one load, each bar a 95% interval; up and to the right is better.",
        *([f"{counted(hidden, 'point')} failed or invalid: not drawn."] if hidden else []),
    )
    return Chart(
        "energy-throughput", "Inferences per joule vs. Throughput", PER_SECOND, PER_JOULE, drawn,
        _chart_table(context, lines), log_x=wide([v for s in drawn for v in s.x]),
        log_y=wide([v for s in drawn for v in s.y]), bounds=tuple(_bounds(context)), notes=notes,
        markers=tuple(f"batch {size}" for size in sizes) if len(sizes) > 1 else (), size="full",
    )  # fmt: skip


def _some_of(shown: Sequence[Line], lines: Sequence[Line]) -> str:
    combinations = counted(len(shown), "combination")
    return (
        f"Curves of {len(lines)} of the {combinations} of configuration and batch size in the "
        "summary's charts: the others have no energy."
    )


def _line(context: Context, line: Line, sizes: Sequence[int]) -> Series:
    name, size, rows = line
    drawn = [
        (x, y, f"{r.point}: {both_text(y)} inferences per joule, "
               f"{both_text(r.joules_per_inference)} J/inference, {both_text(x)} infer/sec")
        for r in rows
        if (x := r.throughput) is not None and (y := r.inferences_per_joule) is not None
    ]  # fmt: skip
    return dots(name, context.colors[name], drawn, marker=marker_of(size, sizes))


def _bounds(context: Context) -> list[Bound]:
    """A largest energy is a least number of inferences per joule."""
    found = []
    if least := (context.bounds.get("throughput") or {}).get("min"):
        text = bound_text("throughput", context.bounds["throughput"])
        found.append(Bound("x", float(least), text))
    if most := (context.bounds.get(METRIC) or {}).get("max"):
        found.append(Bound("y", 1 / float(most), bound_text(METRIC, context.bounds[METRIC])))
    return found


def _chart_table(context: Context, lines: Sequence[Line]) -> Table:
    body = [
        [
            word(name), figure(str(size)), figure(load_label(r)), interval_cell(r.throughput),
            interval_cell(r.inferences_per_joule),
        ]
        for name, size, group in lines
        for r in group
    ]  # fmt: skip
    return table(["Configuration", "Batch", context.load_title, PER_SECOND, PER_JOULE], body)


def points_table(context: Context, rows: Sequence[SummaryRow]) -> Table:
    """A row a point that has energy, the most inferences per joule first."""
    ordered = sorted(rows, key=_per_joule, reverse=True)
    headers = [
        "Configuration", "Batch", context.load_title, "Energy (J/inference)", PER_JOULE,
        "GPU power (W)", "GPU util. (%)", "SM clock (MHz)", "GPU temperature (°C)",
    ]  # fmt: skip
    body = [
        [
            word(context.name(r), swatch=context.colors[context.name(r)]),
            figure(str(r.batch_size)), figure(load_label(r)),
            interval_cell(r.joules_per_inference), interval_cell(r.inferences_per_joule),
            interval_cell(r.metrics["gpu_power_w"]), figure(_number(r.gpu_utilization_percent)),
            figure(_clock(r)), figure(_temperature(r)),
        ]
        for r in ordered
    ]  # fmt: skip
    return table(headers, body, [INTERVAL_NOTE, READINGS_NOTE])


def _per_joule(row: SummaryRow) -> float:
    found = row.inferences_per_joule
    return found.value if found is not None else 0.0


def _number(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else significant(value)


def _clock(row: SummaryRow) -> str:
    """`1,980`, or `1,680–1,980` where it changed."""
    found = [m.gpu_sm_clock_mhz for m in row.measurements if m.gpu_sm_clock_mhz is not None]
    if not found:
        return NOT_AVAILABLE
    low, high = fixed(min(v[0] for v in found), 0), fixed(max(v[1] for v in found), 0)
    return high if low == high else f"{low}–{high}"


def _temperature(row: SummaryRow) -> str:
    found = [m.gpu_temperature_c[1] for m in row.measurements if m.gpu_temperature_c is not None]
    return fixed(max(found), 0) if found else NOT_AVAILABLE


def _colocated(context: Context) -> list[str]:
    if not models_colocated(context.scenario):
        return []
    return [
        "Where models are measured together, the energy is that of all of them, divided by the "
        f"inferences of {context.model} alone."
    ]


def _lacking(context: Context) -> list[str]:
    """The valid points that are not in the section."""
    lacking = [r for r in context.rows if r.valid and r.inferences_per_joule is None]
    if not lacking:
        return []
    names = list(dict.fromkeys(context.name(r) for r in lacking))
    named = listed(some(names, _NAMED))
    points = counted(len(lacking), "valid point")
    return [f"Not every round of {points} has energy, so left out here: of {named}."]
