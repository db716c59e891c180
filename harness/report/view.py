"""The view: everything a report says, in order, before any format. HTML and PDF share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.report.model.blocks import Chart
from harness.report.model.context import Context
from harness.report.model.manifest_facts import date_text, text
from harness.report.model.section import Section
from harness.report.sections import (
    capacity,
    comparison,
    configurations,
    energy,
    environment,
    flags,
    gap,
    memory,
    method,
    pareto,
    parity,
    point_detail,
    points,
    scaling,
    sizes,
    summary,
)

SECTIONS: tuple[Callable[[Context], Section | None], ...] = (
    summary.section, points.section, summary.choice_section, sizes.section, pareto.section,
    capacity.section, comparison.section, scaling.section, gap.section, energy.section,
    configurations.section,
    memory.section, point_detail.section, parity.section, environment.section, method.section,
    flags.section,
)  # fmt: skip
"""The report from top to bottom; one that has nothing to say of a run gives None."""


@dataclass(frozen=True, slots=True)
class View:
    """A whole report."""

    title: str
    name: str
    footer: str
    sections: tuple[Section, ...]

    def all_charts(self) -> list[Chart]:
        """Every chart that the HTML draws at once, in order."""
        return [c for s in self.sections for c in s.charts()]

    def printed_charts(self) -> list[Chart]:
        """Every chart of the PDF, in order."""
        return [c for s in self.sections if not s.screen_only for c in s.printed_charts()]

    @property
    def shortened(self) -> bool:
        """Whether print leaves out what the full PDF has."""
        return any(s.appendix and s.screen_only for s in self.sections)

    def folded_charts(self) -> list[Chart]:
        """Those that only the HTML has, behind folds."""
        return [c for s in self.sections for c in s.folded_charts()]

    def contents(self, *, screen: bool) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """Id, title and sub-entries of each section that a format has."""
        shown = [s for s in self.sections if screen or not s.screen_only]
        parts = {s.id: s.parts if screen else s.printed_parts() for s in shown}
        return [(s.id, s.title, [(p.id, p.name) for p in parts[s.id] if p.name]) for s in shown]


def build_view(context: Context, more: Iterable[Section] = (), *, full: bool = False) -> View:
    """Everything the report says about a run; works on partial and empty ones. A `full` one has in
    print too what is else on the screen only. `more` comes after all.
    """
    version = text(context.manifest, "harness_version", default="")
    footer = f"harness {version} · run of {date_text(context.manifest)}".replace("  ", " ")
    found = [*(make(context) for make in SECTIONS), *more]
    return View(
        summary.title(context), summary.name(context), footer,
        tuple(section.settled(full=full) for section in found if section is not None),
    )  # fmt: skip
