"""Where the time between two backends goes, as text: `harness explain RUN_DIR --gap`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.errors import UsageError
from harness.gap.advice import Advice
from harness.gap.parts import PARTS, Gap, gaps
from harness.gap.words import advised, control, sentence, with_range
from harness.report.model.context import Context, build_context
from harness.report.model.manifest_facts import backend_specs
from harness.report.sections import gap as section
from harness.results.rows import CeilingRow
from harness.results.store import RunData
from harness.scenario.wording import counted


def page(data: RunData, native: str, served: str) -> str:
    """The steps and the advice at each load. Raises UsageError where the run has none."""
    context = build_context(data)
    found = gaps_of(context, native, served)
    return "\n\n".join("\n".join(lines(g, section.advised(context, g))) for g in found)


def gaps_of(context: Context, native: str, served: str) -> list[Gap]:
    """The gaps between two backends. Raises UsageError where the run has none."""
    names = [str(b.get("name")) for b in backend_specs(context.manifest)]
    for name in (native, served):
        if name not in names:
            raise UsageError(
                f"{context.data.path} has no backend '{name}'", fix=f"one of: {', '.join(names)}"
            )
    found = gaps(context.rows, native, context.spec(served), context.data.rows(CeilingRow))
    if not found:
        raise UsageError(
            f"{native} and {served} have no load in common in {context.data.path}, or the second "
            "has no statistics of a server",
            fix="name an in-process backend, then one of kind triton",
        )
    return found


def lines(gap: Gap, found: Iterable[Advice]) -> Iterator[str]:
    """The waterfall and the advice as text of a fixed width."""
    rounds = counted(gap.rounds, "round")
    yield f"{gap.served.point} against {gap.native.point}, {rounds}, mean latency in ms"
    yield f"  {'In process':<44} {with_range(gap.in_process)}"
    for part in gap.parts:
        yield f"  {'+ ' + PARTS[part.name]:<44} {with_range(part.ms):<30} {part.method}"
    yield f"  {'End to end':<44} {with_range(gap.end_to_end)}"
    yield f"  {sentence(gap)}"
    if told := control(gap):
        yield f"  {told}"
    for each in found:
        yield f"  {each.line:<44} {advised(each)} ({each.why})"
