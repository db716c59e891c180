"""From a model in process to what the client of a server sees: a waterfall a served backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.gap import words
from harness.gap.advice import Advice, Spec, advice, effective
from harness.gap.parts import PARTS, Gap, Part, gaps, pairs_of
from harness.report.model import blocks, labels
from harness.report.model.context import Context
from harness.report.model.manifest_facts import backend_specs, mapping
from harness.report.model.section import Block, Charts, Heading, Section, Text, titled
from harness.results.rows import CeilingRow

ENDS, LONGER, SHORTER, UNKNOWN = (
    ("In process, end to end", "#5C6470"), ("Takes longer", "#D55E00"),
    ("Takes less", "#009E73"), ("Unexplained", "#B58900"),
)  # fmt: skip
BACKGROUND = "#FFFFFF"
NOTE = (
    "Mean latency in ms; intervals are 95% over the rounds, in each of which both were measured. "
    "Parts are measured each by itself and are not scaled to fit: what they leave is unexplained. "
    "How each is measured, and what can't be told apart: docs/gap.md."
)
CSV = (
    "native", "served", "batch_size", "concurrency", "request_rate", "rounds", "traced", "part",
    "ms", "ms_low", "ms_high", "method",
)  # fmt: skip


def section(context: Context) -> Section | None:
    """Each served backend against the one in process; None where the run lacks one of them."""
    found = by_pair(context)
    if not found:
        return None
    body: list[Block] = []
    for number, each in enumerate(found):
        first = each[0]
        tips = [(gap, tip) for gap in each for tip in advised(context, gap)]
        body += [
            Heading(f"{first.served.backend} against {first.native.backend}"),
            *(Text(f"{_load(gap)}: {words.sentence(gap)} {words.control(gap)}", "prose")
              for gap in each),
            Charts((chart(first, number),)),
            *titled(("Parts by load", _table(each))),
            *titled(("What would close it", _advice_table(tips))),
        ]  # fmt: skip
    return Section("gap", "From in process to served", (*body, Text(NOTE, "note")), appendix=True)


def by_pair(context: Context) -> list[list[Gap]]:
    """The gaps of each pair of backends that has some."""
    rows, ceilings = context.rows, context.data.rows(CeilingRow)
    found = [
        gaps(rows, native, context.spec(served), ceilings)
        for native, served in pairs_of(backend_specs(context.manifest))
    ]
    return [each for each in found if each]


def advised(context: Context, gap: Gap) -> list[Advice]:
    """What would close a gap."""
    return advice(gap, _specs(context), context.rows)


def _specs(context: Context) -> list[Spec]:
    """Every backend's entry as each of its configs was served."""
    settings = {(r.backend, r.config): mapping(r.details, "settings") for r in context.data.loads}
    places = dict.fromkeys((r.backend, r.config) for r in context.rows)
    return [effective(context.spec(b), c, settings.get((b, c), {})) for b, c in places]


def _load(gap: Gap) -> str:
    return labels.place_text(gap.served).capitalize()


def _table(each: list[Gap]) -> blocks.Table:
    """A row a load."""

    def cell(gap: Gap, name: str) -> blocks.Cell:
        found = [p for p in gap.parts if p.name == name]
        return blocks.interval_cell(found[0].ms if found else None,
                                    note=found[0].method if found else "")  # fmt: skip

    names = [name for name in PARTS if any(p.name == name for gap in each for p in gap.parts)]
    return blocks.listing(each, {
        "Load": lambda gap: blocks.word(_load(gap)),
        "In process (ms)": lambda gap: blocks.interval_cell(gap.in_process),
        **{PARTS[n]: lambda gap, n=n: cell(gap, n) for n in names},  # type: ignore[misc]
        "End to end (ms)": lambda gap: blocks.interval_cell(gap.end_to_end),
        "Traced requests": lambda gap: blocks.number_cell(gap.traced or None),
    })  # fmt: skip


def _advice_table(tips: list[tuple[Gap, Advice]]) -> blocks.Table:
    return blocks.listing(tips, {
        "Load": lambda x: blocks.word(_load(x[0])),
        "In the scenario": lambda x: blocks.word(x[1].line),
        "Mean latency": lambda x: blocks.word(words.advised(x[1])),
        "How it is known": lambda x: blocks.word(x[1].why),
    })  # fmt: skip


def chart(gap: Gap, number: int) -> blocks.Chart:
    """The waterfall of one load: each bar begins where the one before it ends, with the interval of
    its own height there.
    """
    first, last = Part("", gap.in_process, ""), Part("", gap.end_to_end, "")
    bars = [(first, 0.0, ENDS), *_steps(gap), (last, 0.0, ENDS)]
    steps = [PARTS[p.name].removesuffix(", server against in process") for p in gap.parts]
    names = ["In process", *steps, "End to end"]
    series = [
        _bars([(x, p, begin) for x, (p, begin, own) in enumerate(bars) if own is kind], kind, names)
        for kind in dict.fromkeys(kind for *_, kind in bars)
    ]  # fmt: skip
    below = [(float(x), min(begin, begin + part.ms.value), names[x])
             for x, (part, begin, _) in enumerate(bars)]  # fmt: skip
    return blocks.Chart(
        f"gap-{number}", f"{gap.served.backend}, {_load(gap).lower()}", "", "Mean latency (ms)",
        (*series, blocks.trace(ENDS[0], BACKGROUND, below, "bar")), _table([gap]),
        ticks=tuple(n.partition(":")[0] for n in names), size="full",
    )  # fmt: skip


Kind = tuple[str, str]
"""What the legend calls a bar, and its colour."""


def _steps(gap: Gap) -> Iterator[tuple[Part, float, Kind]]:
    """Each part, where its bar begins, and of what kind it is."""
    begin = gap.in_process.value
    for part in gap.parts:
        kind = LONGER if part.ms.value >= 0 else SHORTER
        yield part, begin, UNKNOWN if part.name in ("unexplained", "outside") else kind
        begin += part.ms.value


def _bars(bars: list[tuple[int, Part, float]], kind: Kind, names: list[str]) -> blocks.ChartSeries:
    """From zero to the higher end of each; what is below a bar is painted over."""
    return blocks.ChartSeries(
        *kind, tuple(float(x) for x, *_ in bars),
        tuple(begin + max(part.ms.value, 0.0) for _, part, begin in bars), "bar",
        y_range=tuple(
            None if part.ms.low is None or part.ms.high is None or part.ms.value < 0
            else (begin + part.ms.low, begin + part.ms.high)
            for _, part, begin in bars
        ),
        labels=tuple(f"{names[x]}: {words.with_range(part.ms)} ms" for x, part, _ in bars),
        hatch=(ENDS, LONGER, SHORTER, UNKNOWN).index(kind),
    )  # fmt: skip


def csv_records(context: Context) -> Iterator[Mapping[str, object]]:
    """A record a part of each gap, by `CSV`, with both ends."""
    for gap in (gap for each in by_pair(context) for gap in each):
        row = gap.served
        place = (gap.native.point, row.point, row.batch_size, row.concurrency, row.request_rate,
                 gap.rounds, gap.traced)  # fmt: skip
        for part in (
            Part("in_process", gap.in_process, "the in-process backend's mean latency"),
            *gap.parts,
            Part("end_to_end", gap.end_to_end, "the client's mean latency"),
        ):
            ms = (part.ms.value, part.ms.low, part.ms.high)
            yield dict(zip(CSV, (*place, part.name, *ms, part.method), strict=True))
