"""How long does the report of a large run take, and how much memory? A synthetic run, built once.

PYTHONPATH=.:tests python benchmarks/report_scale.py     10,000 points, 10 million samples

Prints seconds, of the wall and of the CPU, and the peak of the resident memory of the process that
builds the report, by format. Building the run itself takes minutes and is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from support.synthetic_run import Synthetic, write_run

from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, write_samples
from harness.results.store import read_run

BATCHES, CALLERS = (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)
SEED = 20_261_128


def build(path: Path, points: int, rounds: int, samples: int) -> None:
    """A run of so many points, of 25 a backend, with samples of each round on disk."""
    number = points // (len(BATCHES) * len(CALLERS))
    rng = np.random.default_rng(SEED)
    backends = [
        Synthetic(f"b{i:03}", ("torch", "onnxruntime")[i % 2], *rng.uniform((0.5, 0.05), (2, 0.4)),
                  memory_mib=400 + 7 * i)
        for i in range(number)
    ]  # fmt: skip
    write_run(path, backends=backends, batch_sizes=BATCHES, concurrency=CALLERS, rounds=rounds,
              failures=False)  # fmt: skip
    rows = read_run(path).measurements
    each = max(1, samples // len(rows))
    for row in rows:
        write_samples(path / row.samples, _samples(row, each, rng), {})


def _samples(row: MeasurementRow, number: int, rng: np.random.Generator) -> Samples:
    done = np.linspace(row.window_begin_ns, row.window_end_ns, number + 1).astype(np.int64)[1:]
    sent = done - (1e6 * row.latency_mean_ms * rng.lognormal(0, 0.1, number)).astype(np.int64)
    caller = (np.arange(number) % (row.concurrency or 1)).astype(np.uint16)
    return Samples(sent, sent, done, np.zeros(number, np.uint8), caller)


def child(run: Path, output: Path, formats: tuple[str, ...]) -> None:
    """Build the report in this process, and say what it took as a line of JSON."""
    from harness.report.build import build_report

    begin = time.perf_counter(), time.process_time()
    made = build_report(run, formats=formats, output=output)
    print(json.dumps({
        "formats": "+".join(formats),
        "seconds": round(time.perf_counter() - begin[0], 2),
        "cpu_seconds": round(time.process_time() - begin[1], 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "files_mib": {p.name: round(p.stat().st_size / 2**20, 2) for p in made.all()},
    }))  # fmt: skip


def main() -> None:
    """Build what is missing, then the report in each set of formats, a process each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--run", type=Path, default=Path("runs/report-scale"))
    parser.add_argument("--formats", nargs="*", default=["html", "pdf", "html,pdf,csv,json"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.run, asked.run / "report", tuple(asked.child.split(",")))
        return
    if not asked.run.exists():
        build(asked.run, asked.points, asked.rounds, asked.samples)
    for formats in asked.formats:
        subprocess.run(
            [sys.executable, __file__, "--run", str(asked.run), "--child", formats], check=True
        )


if __name__ == "__main__":
    main()
