"""The summary in the terminal: a line a point, what failed and why, and what is best."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.errors import words_of
from harness.report.model.context import Context, build_context
from harness.report.model.decision import decide
from harness.report.model.labels import counted, listed
from harness.report.model.section import Sentence
from harness.report.outputs.terminal_table import PointsTable
from harness.report.sections.answer import answer, left_out
from harness.report.sections.capacity import capacities, line, name
from harness.report.sections.first_page import verdict
from harness.report.sections.notes import disturbances, unmeasured
from harness.results.grouping import grouped
from harness.system.text import harness_command

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.padding import Padding
    from rich.text import Text

    from harness.results.rows import FailureRow
    from harness.results.store import RunData


def terminal_summary(data: RunData, *, brief: bool = False) -> Group:
    """The table, under it every failure with its reason, and the sentence on which is best.

    A `brief` one has what failed, the first sentence, and what is left out; of a capacity run its
    answer.
    """
    from rich.console import Group
    from rich.text import Text

    context = build_context(data)
    held = capacities(context)
    found = [Text(line(name(context, c), c), style="" if c.rate else "yellow") for c in held]
    said = [_rich(sentence) for sentence in answer(context)]
    if brief:
        return Group(*_failures(context), *found, said[0], *map(_rich, left_out(context)))
    page = verdict(context, decide(context)).entries
    first: list[RenderableType] = []
    for title, lines in page:
        first += [Text(title, style="bold"), *map(_indented, lines), Text()]
    table = (PointsTable(context),) if context.rows else ()
    banners = [*disturbances((*context.rows, *context.searched)), *unmeasured(context)]
    busy = (Text(text, style="bold yellow") for text in banners)
    return Group(*busy, *table, *_failures(context), *found, *said, *first, *_more(context))


def _more(context: Context) -> list[Text]:
    """How to see why a point is invalid, with the first one."""
    from rich.text import Text

    points = [r.point for r in context.rows if r.rounds and not r.valid]
    commands = [harness_command("explain", context.data.path, p) for p in points[:1]]
    return [Text(f"more about an invalid point: {c}", style="dim") for c in commands]


def _failures(context: Context) -> list[Text]:
    """A line for every failure with the rounds it came in: of a point, or of a whole backend."""
    from rich.text import Text

    lines = []
    for where, f, rounds in _where_failed(context):
        first = f.message.splitlines()[0] if f.message else ""
        when = f"(round {', '.join(map(str, rounds))})"
        said = f"failed: {where} {when}: {words_of(f.reason)}" + (f": {first}" if first else "")
        lines.append(Text(said, style="red"))
        if f.fix:
            lines.append(Text(f"  fix: {f.fix}"))
    if not context.data.complete:
        done = counted(len(context.data.measurements), "measurement")
        lines.append(Text(f"this run did not reach its end: {done} so far", style="yellow"))
    return lines


def _where_failed(context: Context) -> list[tuple[str, FailureRow, tuple[int, ...]]]:
    """Each failure once: where, in words, and in which rounds, counted from 1."""
    found: dict[tuple[tuple[int, ...], object], dict[str, FailureRow]] = {}
    for row in context.rows:
        for why, fails in grouped(row.failures, lambda f: (f.reason, f.message, f.fix)).items():
            rounds = tuple(f.round + 1 for f in fails)
            found.setdefault((rounds, why), {})[row.point] = fails[0]
    everything, lines = Counter(row.backend for row in context.rows), []
    for (rounds, _), points in found.items():
        failed = Counter(f.backend for f in points.values())
        whole = [backend for backend, count in failed.items() if count == everything[backend]]
        count = sum(everything[backend] for backend in whole)
        rest = {p: f for p, f in points.items() if count == 1 or f.backend not in whole}
        if count > 1:
            name = "" if len(whole) == len(everything) > 1 else f"{listed(whole)}: "
            first = next(f for f in points.values() if f.backend in whole)
            lines.append((f"{name}all {count} points", first, rounds))
        lines += [(point, fail, rounds) for point, fail in rest.items()]
    return lines


def _indented(line: Sentence) -> Padding:
    """A line of page 1 under its heading."""
    from rich.padding import Padding

    return Padding.indent(_rich(line), 2)


def _rich(sentence: Sentence) -> Text:
    from rich.text import Text

    styles = {(True, True): "bold red", (True, False): "bold"}
    return Text.assemble(*((s.text, styles.get((s.strong, s.bad), "")) for s in sentence.spans))
