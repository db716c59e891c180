"""The program of a benchmark that simulates: its number of runs is an option, its result a page."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs" / "benchmarks"


def write_page(
    title: str, doc: str, report: Callable[[int], str], *, runs: int, seed: int, page: str
) -> None:
    """Write `report` of so many runs to docs/benchmarks/`page`, below the title, the command that
    made it, its time and its seed. `doc` is the script's docstring, whose first line is its help.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=runs, help="simulated, of each line")
    parser.add_argument("--output", type=Path, default=PAGES / page, help="the page")
    arguments = parser.parse_args()
    command = ["python", f"benchmarks/{Path(sys.argv[0]).name}"]
    if arguments.runs != runs:
        command += ["--runs", str(arguments.runs)]
    started = time.monotonic()
    text = report(arguments.runs)
    made = f"`{shlex.join(command)}` ({time.monotonic() - started:.0f} s, seed {seed})"
    arguments.output.write_text(f"# {title}\n\nWritten by {made}.\n{text}", encoding="utf-8")
    print(text)
