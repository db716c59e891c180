"""What the run itself wrote down: where the best configuration lies, what was left out, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.analysis.summary import SummaryRow
from harness.measure.validity import OUTSIDE, causes, short
from harness.report.model.context import Context
from harness.report.model.labels import counted, listed, some
from harness.report.model.section import Sentence, bold, compose
from harness.results.events import Best, Note, SearchEnded, Undecided, UnknownEvent

_SHOWN = 6
AGAIN = ", or raise rounds_max, up to which disturbed rounds are measured again"


def best_directory(context: Context) -> list[Sentence]:
    """Where a search left its best configuration, ready to serve; the last one written counts."""
    found = [best for best in context.data.rows(Best) if best.directory]
    if not found:
        return []
    best = found[-1]
    config = context.names.of(best.backend, best.config or "")
    differs = best.difference
    end = f"; {differs} is what differs from the default." if differs else "."
    return [compose(f"{config} lies ready to serve in ", bold(best.directory or ""), end)]


def unmeasured(context: Context) -> list[str]:
    """Configurations that a search did not come to, as a banner."""
    for ended in context.data.rows(SearchEnded):
        if names := ended.not_measured:
            shown = some([context.names.of(*n.partition("/")[::2]) for n in names], _SHOWN)
            return [
                f"The {ended.why} left no time for {counted(len(names), 'configuration')}: "
                f"{listed(shown)}."
            ]
    return []


def disturbances(rows: Iterable[SummaryRow], again: str = AGAIN) -> list[str]:
    """That other work, heat or a hypervisor disturbed the run and what to do, as a banner."""
    every = [m for row in rows for m in row.every]
    found = Counter(cause for m in every for cause in causes(m.flags))
    if not found:
        return []
    touched = sum(bool(causes(m.flags)) for m in every)
    left = "Rounds so disturbed are left out of a point's value, unless all of its rounds were"
    if touched == len(every):
        left = "No round was left alone, so every value is of disturbed ones"
    kinds = listed(f"{short(c)} at {n}" for c, n in found.most_common())
    return [
        f"The machine was not this run's alone: {touched} of {counted(len(every), 'measurement')} "
        f"{'was' if touched == 1 else 'were'} disturbed from outside ({kinds}). {left}. What to "
        f"do: {'; '.join(OUTSIDE[c] for c in found)}; then measure again{again}."
    ]


def notes(context: Context) -> tuple[str, ...]:
    """The journal's notes, each once: what was clipped, left out or could not be done; and what a
    search left open at its end.
    """
    data = context.data
    newer = sorted({line.event for line in data.rows(UnknownEvent)})
    passed_over = f"lines of a newer version were passed over: {', '.join(newer)}" if newer else ""
    written = [note.text for note in data.rows(Note)]
    left_open = [undecided.text for undecided in data.rows(Undecided)[-1:]]
    every = (*written, *left_open, passed_over, *data.damaged)
    return tuple(dict.fromkeys(t for t in every if t))
