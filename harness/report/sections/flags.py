"""What failed and what was flagged, with the reasons, and the run's own notes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.summary import DRIFTED, SummaryRow
from harness.errors import words_of
from harness.measure.validity import INVALIDATES, OUTSIDE, short
from harness.report.model.blocks import Cell, Table, listing, word
from harness.report.model.context import Context
from harness.report.model.labels import counted, flag_text
from harness.report.model.section import Block, Heading, Section, TableBlock, Text, titled
from harness.report.sections.notes import notes
from harness.results.grouping import gathered, grouped

DISTURBS = "such a round is left out of the point's value and measured again; what to do:"
MOST_NAMED = 12
"""More points than this are counted, not named."""


def section(context: Context) -> Section:
    """Both tables, or that there is nothing for them, and the run's notes."""
    tables = {block.title: block for block in problems(context.rows)}
    found: list[Block] = [
        tables.get("What failed", Text("No point failed.")),
        tables.get("What was flagged", Text("Nothing was flagged.")),
    ]
    if said := notes(context):
        found += [Heading("Notes of the run"), *map(Text, said)]
    return Section("flagged", "What failed and what was flagged", tuple(found))


def problems(rows: Sequence[SummaryRow]) -> list[TableBlock]:
    """What failed and what was flagged at some points: the tables that there are."""
    failed, flagged = failures_table(rows), flags_table(rows)
    return titled(("What failed", failed), ("What was flagged", flagged), style="text")


def failures_table(rows: Sequence[SummaryRow]) -> Table:
    """What could not be measured and why, in words; equal failures of several rounds in one row."""
    every = (f for row in rows for f in row.failures)
    rounds = grouped(every, lambda f: (f.point, f.reason, f.message, f.fix or "", f.log))
    return listing(rounds, {
        "Point": lambda f: word(f[0]),
        "Round": lambda f: word(", ".join(str(x.round + 1) for x in rounds[f])),
        "Why": lambda f: word(words_of(f[1]), tone="bad"),
        "Message": lambda f: Cell(f[2], f[3] and f"fix: {f[3]}"),
        "Log": lambda f: word(f[4] or "—"),
    })  # fmt: skip


def flags_table(rows: Sequence[SummaryRow], rest: str = "; all in summary.csv") -> Table:
    """Every flag that was raised, what it means and where."""
    flagged = gathered(
        (flag, row) for row in rows for flag in row.every_flag
        if not flag.startswith("failed_")  # those have a table of their own
    )  # fmt: skip
    return listing(flagged, {
        "Flag": lambda flag: word(short(flag), note=flag),
        "What it means": lambda flag: word(flag_text(flag)),
        "Effect": _effect,
        "Points": lambda flag: word(_named(flag, flagged[flag], len(rows), rest)),
    })  # fmt: skip


def _named(flag: str, flagged: Sequence[SummaryRow], of: int, rest: str) -> str:
    """The points, or their number where no one reads so many, and where they all are."""
    broken = {r.point for r in flagged if flag in INVALIDATES and r.rounds and not r.valid}
    names = [f"{r.point} (invalid)" if r.point in broken else r.point for r in flagged]
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    invalid = ", ".join(n for n, r in zip(names, flagged, strict=True) if r.point in broken)
    named = f", of them {invalid}" if 0 < len(broken) <= MOST_NAMED else ""
    return f"{len(names)} of {counted(of, 'point')}{named}{rest}"


def _effect(flag: str) -> Cell:
    if flag in OUTSIDE:
        return word(f"{DISTURBS} {OUTSIDE[flag]}", tone="bad")
    if flag in INVALIDATES:
        said = "invalid where half of the rounds or more carry such a flag: not ranked, not drawn"
        said += "; a drift only where the rounds drift one way" if flag == DRIFTED else ""
        return word(said, tone="bad")
    return word("none on validity", tone="muted")
