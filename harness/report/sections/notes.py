"""What the run itself wrote down: where the best configuration lies, what was left out, notes."""

from __future__ import annotations

from harness.report.model.context import Context
from harness.report.model.labels import counted, listed, some
from harness.report.sections.answer import Sentence, Span
from harness.results.events import Best, Note, SearchEnded, Undecided, UnknownEvent

_SHOWN = 6


def best_directory(context: Context) -> list[Sentence]:
    """Where a search left its best configuration, ready to serve; the last one written counts."""
    found = [best for best in context.data.rows(Best) if best.directory]
    if not found:
        return []
    best = found[-1]
    config = context.series_of(best.backend, best.config or "")
    differs = best.difference
    return [Sentence((
        Span(f"{config} lies ready to serve in "), Span(best.directory, strong=True),
        Span(f"; {differs} is what differs from the default." if differs else "."),
    ))]  # fmt: skip


def unmeasured(context: Context) -> list[str]:
    """Configurations that a search did not come to, as a banner."""
    for ended in context.data.rows(SearchEnded):
        if names := ended.not_measured:
            shown = some([context.series_of(*_split(n)) for n in names], _SHOWN)
            return [
                f"The {ended.why} was spent before {counted(len(names), 'configuration')} "
                f"could be measured: {listed(shown)}."
            ]
    return []


def notes(context: Context) -> tuple[str, ...]:
    """The journal's notes, each once: what was clipped, left out or could not be done; and what a
    search left open at its end.
    """
    data = context.data
    newer = sorted({line.event for line in data.rows(UnknownEvent)})
    passed_over = f"lines of a newer version were passed over: {', '.join(newer)}" if newer else ""
    written = [note.text for note in data.rows(Note)]
    left_open = [undecided.text for undecided in data.rows(Undecided)[-1:]]
    return tuple(dict.fromkeys(t for t in (*written, *left_open, passed_over) if t))


def _split(name: str) -> tuple[str, str]:
    backend, _, config = name.partition("/")
    return backend, config
