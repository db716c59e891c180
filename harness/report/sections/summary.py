"""The summary: what was run, what must be known first, the answer, the best points."""

from __future__ import annotations

from harness.analysis.speedup import cell
from harness.errors import words_of
from harness.report.charts.first import first_chart
from harness.report.charts.lines import summary_charts
from harness.report.model import labels, manifest_facts
from harness.report.model import section as parts
from harness.report.model.context import Context
from harness.report.model.decision import decide
from harness.report.model.runtimes import driver, runtimes
from harness.report.sections import capacity, first_page, notes, points
from harness.report.sections.answer import answer
from harness.report.sections.colocated import models_line
from harness.report.sections.glossary import glossary
from harness.system.text import harness_command


def section(context: Context) -> parts.Section:
    """Page 1: what a reader who has ten minutes decides by."""
    if context.searched and not context.rows:
        return capacity.first_page(context, name(context), title(context), banners(context))
    found = decide(context)
    chart, table = first_chart(context, found), first_page.backends_table(context, found)
    return parts.Section("summary", "Summary", (
        parts.Masthead(name(context), title(context), first_page.subject(context)),
        *(parts.Text(banner, "banner") for banner in banners(context)),
        first_page.verdict(context, found),
        *([parts.Charts((chart,), table)] if chart else [parts.TableBlock(table)] if table
          else [parts.Text("No point was measured.")] * (not any(r.rounds for r in context.rows))),
        *([glossary(context, found)] if context.rows else []),
    ))  # fmt: skip


def choice_section(context: Context) -> parts.Section:
    """How the choice was made: what was run, what was shown, the best points with all figures."""
    charts = tuple(summary_charts(context))
    best = points.best_table(context)
    description = manifest_facts.text(context.scenario, "description", default="")
    return parts.Section("choice", "How the choice was made", (
        *([parts.Text(description)] if description else []),
        parts.FactList(tuple(facts(context))),
        parts.Prose((*answer(context), *notes.best_directory(context)), "answer"),
        *([parts.TableBlock(points.held_table(context), "Constraints")]
          if context.bounds and best else []),
        parts.Charts(charts, only="appendix"),
        *parts.titled(("Best point of each configuration", best), only="appendix"),
    ))  # fmt: skip


def title(context: Context) -> str:
    """What page 1 says, in a line."""
    found = decide(context)
    if found.take is None:
        said = "nothing can be recommended" if context.rows else "nothing was measured"
        return f"{context.model}: {capacity.headline(context) if context.searched else said}"
    place = first_page.where_text(context, found.take)
    verb = "take" if found.decided else "the best value is that of"
    return f"{context.model}: {verb} {context.name(found.take)}, {place}"


def name(context: Context) -> str:
    """The scenario's."""
    return manifest_facts.text(context.scenario, "scenario", default="unnamed run")


def facts(context: Context) -> list[tuple[str, str]]:
    """What was run on what, in Model Analyzer's terms where it has some."""
    manifest = context.manifest
    backends = {r.backend for r in context.rows}
    alone = backends if context.names.varied and len(backends) == 1 else ()
    colocated = models_line(context)
    machine = manifest_facts.mapping(manifest, "machine")
    memory = "Host memory", manifest_facts.number(machine, "memory_mib")
    if manifest_facts.gpus(manifest):
        memory = "Total Available GPU Memory", manifest_facts.gpu_memory(manifest)
    return [
        ("Model", context.model),
        *([("Co-located models", colocated)] if colocated else []),
        *(("Backend", backend) for backend in alone),
        ("GPU(s)", manifest_facts.gpu_line(manifest)),
        ("CPU", manifest_facts.cpu_line(manifest)),
        (memory[0], manifest_facts.gib_text(memory[1])),
        ("Constraint targets", labels.bounds_text(context.bounds)),
        ("Objective", labels.objective_text(context.objective) if context.rows or not
         context.searched else "the highest rate within the target"),
        ("Sweep", _sweep(context)),
        ("Versions", _versions(context)),
        ("Date", manifest_facts.date_text(manifest)),
    ]  # fmt: skip


def _versions(context: Context) -> str:
    """What the numbers depend on most; all of them are under Environment."""
    known = [*runtimes(context), ("driver", driver(context))]
    return ", ".join(f"{name} {version}" for name, version in known if version) or "see Environment"


def _sweep(context: Context) -> str:
    rows = context.rows or context.searched
    loads = dict.fromkeys(labels.load_label(r) for r in sorted(rows, key=lambda r: cell(r)[1:]))
    sizes = manifest_facts.sequence(context.scenario, "load", "batch_sizes") or sorted(
        {r.batch_size for r in rows}
    )
    batch, load = (", ".join(map(str, values)) or "—" for values in (sizes, loads))
    configurations = labels.counted(len({*map(context.name, rows)}), "configuration")
    at = f"{context.load_title.lower()} {load}" if context.rows else f"{len(loads)} loads"
    return f"{configurations}, batch {batch}, {at}, {labels.rounds_text(rows)}"


def banners(context: Context) -> list[str]:
    """What a reader must know first: an interrupted run, other work on the machine, failures."""
    found = [
        *notes.disturbances((*context.rows, *context.searched)), *_interrupted(context),
        *notes.unmeasured(context),
    ]  # fmt: skip
    failed = [r for r in context.rows if r.failures]
    if failed:
        found.append(
            f"{labels.counted(len(failed), 'point')} could not be measured in every round "
            f"({labels.listed(dict.fromkeys(words_of(r.failures[0].reason) for r in failed))}); "
            "what failed and why is listed under “What failed and what was flagged”."
        )
    return found


def _interrupted(context: Context) -> list[str]:
    if context.data.complete:
        return []
    done, expected = len(context.data.measurements), context.expected_measurements()
    has = labels.counted(done, "measurement")
    if expected:
        has = f"{done:,} of {expected:,} measurements"
    merged = "shards" in context.manifest and "lanes" not in context.manifest
    how = "Measure what is missing, and merge all shards again" if merged else (
        f"Finish it with {harness_command('run', '--resume', context.data.path)}"
    )  # fmt: skip
    return [
        f"This run did not reach its end: it has {has}, "
        f"{labels.rounds_text((*context.rows, *context.searched))} a point. {how}; intervals are "
        "over the rounds that are there."
    ]
