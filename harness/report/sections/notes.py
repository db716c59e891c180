"""What the run itself wrote down: where the best configuration lies, what was left out, notes."""

from __future__ import annotations

from harness.report.model.context import Context
from harness.report.model.labels import counted, listed, some
from harness.report.model.manifest_facts import sequence, text
from harness.report.model.section import Sentence, bold, compose

_SHOWN = 6


def best_directory(context: Context) -> list[Sentence]:
    """Where a search left its best configuration, ready to serve; the last one written counts."""
    written = [e for e in context.data.events if e.get("event") == "best" and e.get("directory")]
    if not written:
        return []
    event = written[-1]
    config = context.series_of(text(event, "backend"), text(event, "config"))
    differs = text(event, "difference", default="")
    end = f"; {differs} is what differs from the default." if differs else "."
    return [compose(f"{config} lies ready to serve in ", bold(text(event, "directory")), end)]


def unmeasured(context: Context) -> list[str]:
    """Configurations that a search did not come to, as a banner."""
    for event in context.data.events:
        names = [str(n) for n in sequence(event, "not_measured")]
        if event.get("event") == "search_ended" and names:
            shown = some([context.series_of(*n.partition("/")[::2]) for n in names], _SHOWN)
            return [
                f"The {text(event, 'why', default='search')} was spent before "
                f"{counted(len(names), 'configuration')} could be measured: "
                f"{listed(shown)}."
            ]
    return []


def notes(context: Context) -> tuple[str, ...]:
    """The journal's notes, each once: what was clipped, left out or could not be done; and what a
    search left open at its end.
    """
    said, undecided = (
        [e.get("text") for e in context.data.events if e.get("event") == kind]
        for kind in ("note", "undecided")
    )
    return tuple(dict.fromkeys(str(t) for t in [*said, *undecided[-1:]] if t))
