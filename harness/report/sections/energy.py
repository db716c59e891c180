"""Power and energy in the report: what an inference needs, against the throughput."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import colocated, objective
from harness.analysis.best import Choice, choose, differs, usable
from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.report.charts.lines import Line, Side, curves, shown_lines, versus
from harness.report.model import blocks, columns, labels, numbers
from harness.report.model import section as parts
from harness.report.model.context import Context
from harness.report.sections.points import INTERVAL_NOTE
from harness.results.grouping import firsts

METRIC = "joules_per_inference"
ENERGY = objective.single(METRIC)
PER_JOULE, PER_SECOND = "Inferences per joule", "Throughput (infer/s)"
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


def section(context: Context) -> parts.Section | None:
    """The section; None where no valid point has energy.

    The table of every point is on the screen only: summary.csv has them all.
    """
    rows = [r for r in context.rows if r.valid and r.inferences_per_joule is not None]
    if not rows:
        return None
    frugal = firsts(sorted(rows, key=_per_joule, reverse=True), context.name)
    about = (COUNTER_NOTE, *_colocated(context), *_lacking(context))
    best, every = (points_table(context, found) for found in (frugal, rows))
    return parts.Section("energy", "Power and energy", (
        parts.Prose(tuple(answer(context))), *(parts.Text(note, "note") for note in about),
        parts.Charts(tuple(charts(context))),
        parts.TableBlock(best, "The most frugal point of each configuration", only="appendix"),
        parts.TableBlock(every, "Energy of every point", only="appendix", folded=True),
    ))  # fmt: skip


# -------------------------------------------------------------------------------------- in words


def answer(context: Context) -> list[parts.Sentence]:
    """Which point needs the least energy, whether that is shown, and what the fastest needs."""
    run = context.differences
    held = choose(context.rows, ENERGY, context.bounds, run=run)
    found = held if held.best is not None else choose(context.rows, ENERGY, {}, run=run)
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


def _least(context: Context, found: Choice, best: SummaryRow, of: str) -> parts.Sentence:
    where = of, parts.bold(context.name(best)), f" ({labels.place_text(best)})"
    value = f"{numbers.both_text(best.joules_per_inference)} J"
    if not found.decidable:
        return parts.compose(
            *where, f" had the least energy per inference, {value}; with one round no difference "
            "can be shown.",
        )  # fmt: skip
    if len(found.candidates) == 1:
        alone = f" needs {value} per inference; there is no other point to compare."
        return parts.compose(*where, alone)
    if found.winner is not None:
        once = any(r.rounds < 2 for r in found.candidates)
        repeated = " that has several rounds" if once else ""
        return parts.compose(
            *where, " needs the ", parts.bold("least energy per inference"), f", {value}: less "
            f"than every other point{repeated}, by the 95% intervals of their ratios.",
        )  # fmt: skip
    others = [f"{context.name(r)} ({labels.place_text(r)})" for r in found.tied[1:]]
    named = labels.listed(labels.some(others, _NAMED))
    return parts.compose(
        *where, " has the ", parts.bold("lowest energy per inference"), f", {value}, and can't be "
        f"told apart from {named} by the 95% intervals of their ratios.",
    )  # fmt: skip


def _fastest(
    context: Context, found: Choice, best: SummaryRow, *, some: bool
) -> list[parts.Sentence]:
    """How the point of highest throughput compares with the one of least energy; `some`: others,
    which are not compared, may be faster.
    """
    top = choose(found.candidates, objective.THROUGHPUT, {}, run=context.differences).best
    if top is None:
        return []
    if top is best:
        value = numbers.both_text(top.throughput)
        of = " of these" if some else ""
        return [parts.compose(f"It also has the highest throughput{of}, {value} infer/s.")]
    where: list[str | parts.Span] = [
        "Of these, the" if some else "The", " point of highest throughput, ",
        parts.bold(context.name(top)), f" ({labels.place_text(top)}), ",
    ]  # fmt: skip
    if not found.decidable:
        had = f"had {numbers.value_text(top.joules_per_inference)} J per inference."
        return [parts.compose(*where, had)]
    energy = context.differences.advantage(best, top, ENERGY)
    throughput = context.differences.advantage(top, best, objective.THROUGHPUT)
    return [parts.compose(*where, _compared(energy, throughput), ".")]


def _compared(energy: Interval | None, throughput: Interval | None) -> str:
    """The point of highest throughput against the one of least energy; both are above 1."""
    costs, gives = _more(energy, "energy"), _more(throughput, "throughput")
    if costs and gives:
        return f"needs {costs} per inference for {gives}"
    if costs:
        return f"needs {costs} per inference, and in throughput they can't be told apart"
    if gives:
        return f"gives {gives}, and in energy per inference they can't be told apart"
    return "can't be told apart from it in energy per inference or throughput"


def _more(ratio: Interval | None, of: str) -> str:
    """`12% (9–15) more energy`, `4.1 (3.9–4.3) times the energy`; empty where none is shown."""
    if ratio is None or not differs(ratio):
        return ""
    if ratio.value >= TIMES_FROM:
        return f"{numbers.both_text(ratio)} times the {of}"
    return f"{numbers.both_text(numbers.gain_percent(ratio), '%')} more {of}"


# -------------------------------------------------------------------------------- chart and table


def charts(context: Context) -> list[blocks.Chart]:
    """Inferences per joule against throughput, the lines of the summary's charts that have it."""
    shown, total = shown_lines(context)
    lines = [line for line in shown if any(r.inferences_per_joule is not None for r in line[2])]
    if not lines:
        return []
    hidden = sum(not r.valid for r in context.rows)
    notes = (
        curves(context, shown, total) if lines == shown else _some_of(shown, lines),
        "Each dot is one load, each bar a 95% interval; up and to the right is better.",
        *([f"{labels.counted(hidden, 'point')} failed or invalid: not drawn."] if hidden else []),
    )
    return [versus(
        context, "energy-throughput", "Inferences per joule vs. Throughput", lines,
        Side(PER_SECOND, lambda r: r.throughput), Side(PER_JOULE, lambda r: r.inferences_per_joule),
        _label, notes=notes, bounds=_bounds(context), size="full", log_y=True,
    )]  # fmt: skip


def _label(row: SummaryRow, throughput: Interval, per_joule: Interval) -> str:
    return (
        f"{row.point}: {numbers.both_text(per_joule)} inferences per joule, "
        f"{numbers.both_text(row.joules_per_inference)} J/inference, "
        f"{numbers.both_text(throughput)} infer/s"
    )


def _some_of(shown: Sequence[Line], lines: Sequence[Line]) -> str:
    combinations = labels.counted(len(shown), "combination")
    return (
        f"Curves of {len(lines)} of the {combinations} of configuration and batch size in the "
        "summary's charts: the others have no energy."
    )


def _bounds(context: Context) -> list[blocks.ReferenceLine]:
    """A largest energy is a least number of inferences per joule."""
    text = {name: labels.bound_text(name, bound) for name, bound in context.bounds.items()}
    lines = []
    if least := (context.bounds.get("throughput") or {}).get("min"):
        lines.append(blocks.ReferenceLine("x", float(least), text["throughput"]))
    if most := (context.bounds.get(METRIC) or {}).get("max"):
        lines.append(blocks.ReferenceLine("y", 1 / float(most), text[METRIC]))
    return lines


def points_table(context: Context, rows: Sequence[SummaryRow]) -> blocks.Table:
    """A row a point that has energy, the most inferences per joule first."""
    return blocks.listing(sorted(rows, key=_per_joule, reverse=True), {
        **columns.point_columns(context, swatch=True),
        "Energy (J/inference)": lambda r: blocks.interval_cell(r.joules_per_inference),
        PER_JOULE: lambda r: blocks.interval_cell(r.inferences_per_joule),
        "GPU power (W)": lambda r: blocks.interval_cell(r.value("gpu_power_w")),
        "GPU utilisation (%)": lambda r: blocks.number_cell(r.plain("gpu_utilization_percent")),
        "SM clock (MHz)": lambda r: blocks.figure(_clock(r)),
        "GPU temperature (°C)": lambda r: blocks.figure(_temperature(r)),
    }, [INTERVAL_NOTE, READINGS_NOTE])  # fmt: skip


def _per_joule(row: SummaryRow) -> float:
    found = row.inferences_per_joule
    return found.value if found is not None else 0.0


def _clock(row: SummaryRow) -> str:
    """`1,980`, or `1,680–1,980` where it changed."""
    found = [m.gpu_sm_clock_mhz for m in row.measurements if m.gpu_sm_clock_mhz is not None]
    if not found:
        return numbers.NOT_AVAILABLE
    lows, highs = zip(*found, strict=True)
    low, high = (numbers.fixed(end, 0) for end in (min(lows), max(highs)))
    return high if low == high else f"{low}–{high}"


def _temperature(row: SummaryRow) -> str:
    found = [m.gpu_temperature_c[1] for m in row.measurements if m.gpu_temperature_c is not None]
    return numbers.fixed(max(found), 0) if found else numbers.NOT_AVAILABLE


def _colocated(context: Context) -> list[str]:
    if not colocated.models_colocated(context.scenario):
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
    named = labels.listed(labels.some(names, _NAMED))
    points = labels.counted(len(lacking), "valid point")
    return [f"Not every round of {points} has energy, so left out here: of {named}."]
