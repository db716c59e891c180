"""How long does the report of a large run take, and how much memory? A synthetic run, built once.

    python benchmarks/report_scale.py     10,000 points, 10 million samples

Prints seconds, of the wall and of the CPU, and the peak of the resident memory of the process that
builds the report, by format; with `--output` writes report_scale.json, of which `--render` makes
the page. Building the run itself takes minutes and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.synthetic_run import Synthetic, write_run

from harness.measure.distribution import latency_counts
from harness.report.sections.points import MOST_OF_VAST
from harness.results.details import MeasurementDetails
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, write_samples
from harness.results.store import JOURNAL, MANIFEST, SCHEMA_VERSION, read_run

BATCHES, CALLERS = (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)
SEED = 20_261_128
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"


def build(path: Path, points: int, rounds: int, samples: int) -> None:
    """A run of so many points, of 25 a backend, with samples of each round on disk."""
    number = points // (len(BATCHES) * len(CALLERS))
    rng = np.random.default_rng(SEED)
    backends = [
        Synthetic(f"b{i:03}", ("torch", "onnxruntime")[i % 2], fixed, item, memory_mib=400 + 7 * i)
        for i in range(number) for fixed, item in [rng.uniform((0.5, 0.05), (2, 0.4))]
    ]  # fmt: skip
    part = path.with_name(f"{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with mock.patch.object(os, "fsync"):  # of 60,000 files and lines none is anybody's data
        write_run(part, backends=backends, batch_sizes=BATCHES, concurrency=CALLERS, rounds=rounds,
                  failures=False)  # fmt: skip
        rows = read_run(part).measurements
        each, counts = max(1, samples // len(rows)), dict[str, MeasurementDetails]()
        for row in rows:
            made = _samples(row, each, rng)
            write_samples(part / row.samples, made, {})
            counts[row.samples] = latency_counts(
                made, row.window_begin_ns, row.window_end_ns, open_loop=False
            )
    complete(part, counts)
    part.rename(path)


def complete(run: Path, counts: Mapping[str, MeasurementDetails]) -> None:
    """Give the rows what a run of today writes besides: cores, and the latencies in bins."""
    manifest = json.loads((run / MANIFEST).read_text())
    (run / MANIFEST).write_text(json.dumps({**manifest, "schema_version": SCHEMA_VERSION}))
    lines = []
    for line in (run / JOURNAL).read_text().splitlines():
        event = json.loads(line)
        if event["event"] == MeasurementRow.EVENT:
            event["details"] |= counts[event["samples"]]
            event["cpu_cores"] = event["cpu_percent"] / 100
        lines.append(json.dumps(event) + "\n")
    (run / JOURNAL).write_text("".join(lines))


def _samples(row: MeasurementRow, number: int, rng: np.random.Generator) -> Samples:
    assert row.latency_mean_ms is not None
    done = np.linspace(row.window_begin_ns, row.window_end_ns, number + 1).astype(np.int64)[1:]
    sent = done - (1e6 * row.latency_mean_ms * rng.lognormal(0, 0.1, number)).astype(np.int64)
    caller = (np.arange(number) % (row.concurrency or 1)).astype(np.uint16)
    return Samples(sent, sent, done, np.zeros(number, np.uint8), caller)


def cpu() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} threads"


def child(run: Path, output: Path, formats: tuple[str, ...]) -> None:
    """Build the report in this process, and say what it took as a line of JSON."""
    from harness.report.build import build_report

    begin = time.perf_counter(), time.process_time()
    made = build_report(run, formats=formats, output=output)
    print(json.dumps({
        "formats": "+".join(formats),
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(time.perf_counter() - begin[0], 2),
        "cpu_seconds": round(time.process_time() - begin[1], 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "files_mib": {p.name: round(p.stat().st_size / 2**20, 2) for p in made.all()},
    }))  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """docs/benchmarks/report-scale.md."""
    body = "\n".join(
        f"| {made['formats'].replace('+', ', ')} | {made['cpu_seconds']} | {made['seconds']} | "
        f"{made['load']} | "
        f"{made['peak_mib']} | {made['files_mib'].get('report.html', '')} | "
        f"{made['files_mib'].get('report.pdf', '')} |"
        for made in found["made"]
    )
    return f"""# How long does the report of a large run take?

Written by `python benchmarks/report_scale.py`. A synthetic run of {found["points"]:,} points,
{found["rounds"]} rounds and {found["samples"]:,} samples, its rows with all that a run writes,
the latencies in bins too. Each report was built in a process of its own from the run directory
alone, on {found["cpu"]}; of each the best by seconds of the CPU, tries: {found["tries"]}.
The load average is how many processes wanted a thread: where it is far above 1, other work ran,
the seconds of the clock say nothing of a quiet machine, and those of the CPU are more than there.
Asked for were 20 s and 1,024 MiB.

| formats | CPU seconds | seconds | load average | peak MiB | report.html, MiB | report.pdf, MiB |
|---|---|---|---|---|---|---|
{body}

The page has every point in its table and the best {MOST_OF_VAST} in detail; it says what it lacks.
"""


def main() -> None:
    """Build what is missing, then the report in each set of formats, a process each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--run", type=Path, default=Path("runs/report-scale"))
    parser.add_argument("--formats", nargs="*", default=["html", "pdf", "html,pdf,csv,json"])
    parser.add_argument("--tries", type=int, default=3, help="of each; the best counts")
    parser.add_argument("--output", type=Path, help="folder of report_scale.json")
    parser.add_argument("--render", type=Path, help="a report_scale.json: write its page alone")
    parser.add_argument("--page", type=Path, default=DOCS, help="folder of the page")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.run, asked.run / "report", tuple(asked.child.split(",")))
        return
    if asked.render:
        text = page(json.loads(asked.render.read_text()))
        (asked.page / "report-scale.md").write_text(text)
        return
    if not asked.run.exists():
        build(asked.run, asked.points, asked.rounds, asked.samples)
    found: dict[str, Any] = {"points": asked.points, "rounds": asked.rounds,
                             "samples": asked.samples, "cpu": cpu(), "tries": asked.tries,
                             "made": []}  # fmt: skip
    for formats in asked.formats:
        command = [sys.executable, __file__, "--run", str(asked.run), "--child", formats]
        tries = []
        for _ in range(asked.tries):
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            print(line, end="", flush=True)
            tries.append(json.loads(line))
        found["made"].append(min(tries, key=lambda made: made["cpu_seconds"]))
        if asked.output:
            asked.output.mkdir(parents=True, exist_ok=True)
            (asked.output / "report_scale.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
