"""docs/import.md, made from the tables: `python -m harness.migrate.page docs/import.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.migrate import model_analyzer, perf_analyzer
from harness.migrate.table import markdown

START = "\n## Model Analyzer\n"


def reference() -> str:
    """What stands below the page's introduction."""
    return (
        f"{START}\n{markdown(model_analyzer.TABLE.values(), 'Model Analyzer')}"
        f"\n## perf_analyzer\n\n{markdown(perf_analyzer.TABLE.values(), 'perf_analyzer')}"
    )


if __name__ == "__main__":
    page = Path(sys.argv[1])
    introduction = page.read_text("utf-8").partition(START)[0]
    page.write_text(introduction + reference(), "utf-8")
