"""`build_report`: a run directory in, HTML, PDF and CSV files out."""

from __future__ import annotations

import gc
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.report.model.context import Context, build_context
from harness.report.model.section import Section
from harness.report.outputs.csv import write_csvs
from harness.report.outputs.summary_json import render_summary
from harness.results.store import RunData, read_run
from harness.system.files import write_text

FORMATS = ("html", "pdf", "csv", "json")


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """What was written; None or empty for formats that were not asked for."""

    html: Path | None = None
    pdf: Path | None = None
    csvs: tuple[Path, ...] = ()
    json: Path | None = None

    def all(self) -> list[Path]:
        """Every file, HTML first."""
        return [p for p in (self.html, self.pdf, *self.csvs, self.json) if p is not None]


def require_formats(formats: Collection[str]) -> None:
    """Raise UsageError on an unknown format, or none."""
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        wrong = f"unknown report format '{unknown[0]}'" if unknown else "no report format given"
        raise UsageError(f"{wrong}; choose from {', '.join(FORMATS)}")


def build_report(
    run_dir: Path,
    *,
    output: Path | None = None,
    formats: Collection[str] = FORMATS,
    full: bool = False,
    more: Sequence[Section] = (),
    data: RunData | None = None,
) -> ReportPaths:
    """Build the report of a run, whole, interrupted or failed, from its directory alone.

    A `full` PDF has every configuration and every point; `more` sections come last; `data` is the
    directory as read, where it was. Files go to
    `output`, by default the run directory, and replace older ones. Raises
    RunDirectoryError when `run_dir` is no run directory, UsageError on an unknown format or none.
    """
    require_formats(formats)
    collecting = gc.isenabled()
    gc.disable()  # each search for cycles would look through all rows again
    try:
        context = build_context(data or read_run(run_dir))
        target = output or run_dir
        target.mkdir(parents=True, exist_ok=True)
        html, pdf = _documents(context, target, formats, more, full=full)
        csvs = write_csvs(context, target) if "csv" in formats else ()
        summary = target / "summary.json" if "json" in formats else None
        if summary is not None:
            write_text(summary, render_summary(context))
        return ReportPaths(html, pdf, tuple(csvs), summary)
    finally:
        if collecting:
            gc.enable()


def _documents(
    context: Context, target: Path, formats: Collection[str], more: Sequence[Section], *,
    full: bool,
) -> tuple[Path | None, Path | None]:  # fmt: skip
    from harness.report.charts.matplotlib import svg
    from harness.report.outputs.html import render_html
    from harness.report.view import build_view

    if not {"html", "pdf"} & {*formats}:
        return None, None
    view, html, pdf = build_view(context, more, full=full), None, None
    # a browser without scripts has what the PDF has, by itself page 1's
    drawn = view.printed_charts() if "pdf" in formats else view.sections[0].charts()
    drawings = {chart.id: svg(chart) for chart in drawn}
    if "html" in formats:
        html = target / "report.html"
        write_text(html, render_html(view, drawings))
    if "pdf" in formats:
        from harness.report.outputs.pdf import write_pdf

        pdf = target / "report.pdf"
        write_pdf(view, drawings, pdf, str(context.manifest.get("created") or ""))
    return html, pdf
