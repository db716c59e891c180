"""Real processes that leak, and real ones whose cache fills: what is said of each?

    .venv/bin/python benchmarks/stress_leak_real.py --minutes 61 --page docs/benchmarks

`--runs` processes leak 1 MiB a minute, and as many fill a cache of 200 MiB with a time constant of
five minutes and then hold it, all at the same time. Their resident memory is read once a second as
`harness stress` reads a server's, and judged by the same rule. No soak of less than an hour is said
to leak, so a shorter one only shows that this script works.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from perf_analyzer import command_line, cpu_name

from harness.stress.leak import Growth, judge_growth
from harness.stress.memory import MemoryWatch, read_memory

CODE = """
import math, sys, time
kind, began, kept, size = sys.argv[1], time.monotonic(), [], 0.0
while True:
    minutes = (time.monotonic() - began) / 60
    wanted = minutes if kind == "leak" else 200 * (1 - math.exp(-minutes / 5))
    more = int((wanted - size) * 2**20)
    if more > 4096:
        kept.append(bytearray(b"x") * more)
        size = wanted
    for _ in range(20):
        b"".join(bytes(1000) for _ in range(200))
    time.sleep(1)
"""
KINDS = {"leak": "a leak of 1 MiB a minute", "cache": "a cache that fills to 200 MiB"}


def watch(runs: int, minutes: float) -> dict[str, list[Growth | None]]:
    """The verdicts on `runs` processes of each kind."""
    children = {kind: [subprocess.Popen([sys.executable, "-c", CODE, kind]) for _ in range(runs)]
                for kind in KINDS}  # fmt: skip
    watches = {kind: [MemoryWatch(lambda p=p: p.pid) for p in all_]  # type: ignore[misc]
               for kind, all_ in children.items()}  # fmt: skip
    end = time.monotonic() + minutes * 60
    try:
        while time.monotonic() < end:
            time.sleep(1.0)
            for all_ in watches.values():
                for one in all_:
                    one.read()
    finally:
        for process in (p for all_ in children.values() for p in all_):
            process.kill()
            process.wait()
    found: dict[str, list[Growth | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.parquet"
        for kind, all_ in watches.items():
            found[kind] = []
            for one in all_:
                one.save(path)
                theirs = read_memory(path)[0]
                seconds = (theirs.t_ns - theirs.t_ns[0]) / 1e9
                found[kind].append(judge_growth(seconds, theirs.resident / 2**20))
    return found


def page(found: dict[str, list[Growth | None]], minutes: float) -> str:
    rows = []
    for kind, all_ in found.items():
        verdicts = Counter("none" if g is None else g.kind for g in all_)
        slopes = sorted(g.slope for g in all_ if g is not None)
        between = f"{slopes[0]:.1f} – {slopes[-1]:.1f}" if slopes else "n/a"
        said = ", ".join(f"{n} × {v}" for v, n in verdicts.most_common())
        rows.append(f"| {KINDS[kind]} | {len(all_)} | {said} | {between} |")
    return "\n".join([
        "# Real processes: leak or cache?\n",
        f"Written by `{command_line()}` on {cpu_name()}: {minutes:g} minutes, a reading of "
        "each process's resident memory a second. [Many more curves](stress-leak.md) "
        "were simulated.\n",
        "| process | how many | said of them | slopes, MiB an hour, second half |",
        "|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=61.0)
    parser.add_argument("--runs", type=int, default=10, help="processes of each kind")
    parser.add_argument("--page", type=Path, help="folder for stress-leak-real.md")
    options = parser.parse_args()
    text = page(watch(options.runs, options.minutes), options.minutes)
    print(text)
    if options.page:
        (options.page / "stress-leak-real.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
