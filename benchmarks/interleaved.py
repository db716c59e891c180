"""What turns gain: the scatter of a block's ratio, in turns and one window after the other.

    PYTHONPATH=. python benchmarks/interleaved.py --output OUT [--comparisons 5]
    PYTHONPATH=. python benchmarks/interleaved.py --page OUT … docs/benchmarks

Two backends that are the same, ONNX Runtime on one thread with 20 equal matrix products, measured
by `harness compare` in four blocks: with turns of 100 ms, and with one window of 2 s after the
other, by turns themselves, so that both ways meet the same hours of the machine. What is compared
is the standard deviation of the log of a block's ratio, and the variances by Fisher's F.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from compare_models import products
from scipy import stats

from harness.results.rows import MeasurementRow
from harness.results.store import read_run
from harness.system.machine import describe_machine

SCENARIO = """\
scenario: interleaved
model: {name: products, batch: none, source: {onnx: products.onnx}}
backends:
  - {name: base, kind: onnxruntime, threads: 1}
  - {name: candidate, kind: onnxruntime, threads: 1}
load: {concurrency: [1]}
measurement: {profile: quick}
"""
WAYS = {"in turns of 100 ms": "100ms", "one window after the other": "0s"}
METRICS = ("throughput", "p50", "p99")
BLOCKS = 4


def shifts(rows: Iterable[MeasurementRow]) -> dict[str, list[float]]:
    """The logs of candidate over base of each block, by metric."""
    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    by_round: dict[int, dict[str, MeasurementRow]] = {}
    for row in rows:
        by_round.setdefault(row.round, {})[row.backend] = row
    for both in by_round.values():
        if len(both) < 2:
            continue
        base, candidate = both["base"], both["candidate"]
        found["throughput"].append(math.log(candidate.throughput / base.throughput))
        for name in METRICS[1:]:
            one, other = base.latency_ms[name], candidate.latency_ms[name]
            if one is not None and other is not None:
                found[name].append(math.log(other / one))
    return found


def measured(comparisons: int) -> dict[str, dict[str, list[float]]]:
    """By way and metric: the shift of every block."""
    found: dict[str, dict[str, list[float]]] = {w: {m: [] for m in METRICS} for w in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        products(folder / "products.onnx", 20)
        (folder / "s.yaml").write_text(SCENARIO, encoding="utf-8")
        for number in range(comparisons):
            for way in list(WAYS) if number % 2 == 0 else list(reversed(WAYS)):
                run = folder / f"run-{number}-{WAYS[way]}"
                command = [
                    sys.executable, "-m", "harness", "compare", "s.yaml", "-o", str(run), "-q",
                    "--base", "base", "--candidate", "candidate", "--blocks", str(BLOCKS),
                    "--set", f"measurement.interleave={WAYS[way]}",
                ]  # fmt: skip
                subprocess.run(command, cwd=folder, capture_output=True, check=False)
                for metric, values in shifts(read_run(run).measurements).items():
                    found[way][metric] += values
    return found


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Standard deviation of the logs with its 95 % interval by chi squared."""
    n, deviation = len(values), float(np.std(values, ddof=1))
    low, high = (deviation * math.sqrt((n - 1) / stats.chi2.ppf(p, n - 1)) for p in (0.975, 0.025))
    return deviation, low, high


def times_less(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """How many times smaller the standard deviation of `other` is, with its 95 % interval by F."""
    ratio = float(np.var(one, ddof=1) / np.var(other, ddof=1))
    a, b = len(one) - 1, len(other) - 1
    low, high = ratio / stats.f.ppf(0.975, a, b), ratio / stats.f.ppf(0.025, a, b)
    return math.sqrt(ratio), math.sqrt(low), math.sqrt(high)


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The result in words."""
    lines = [
        "# What turns gain", "",
        "Written by `python benchmarks/interleaved.py`. The same backend twice (ONNX Runtime on "
        "one thread, 20 equal products), compared by `harness compare` with turns of 100 ms and "
        "with one window of 2 s after the other; both ways by turns themselves. The scatter is the "
        "standard deviation of the log of a block's ratio with its 95 % interval (chi squared), "
        "the gain the ratio of both with its own (F).", "",
    ]  # fmt: skip
    for result in results:
        cpu = result["machine"]["cpu"]
        lines += [
            f"On {cpu['model']}, {cpu['usable']} processors, {result['date']}"
            + (f"; {result['about']}" if result["about"] else "") + ":", "",
            "| metric | blocks | one window after the other | in turns of 100 ms | times less |",
            "|---|---|---|---|---|",
        ]  # fmt: skip
        turns, apart = (result["shifts"][way] for way in WAYS)
        for metric in METRICS:
            one, other = apart[metric], turns[metric]
            if min(len(one), len(other)) < 3:
                continue
            cells = [
                f"{100 * v:.1f} % ({100 * a:.1f} to {100 * b:.1f})"
                for v, a, b in (spread(one), spread(other))
            ]
            gain = "{:.1f} ({:.1f} to {:.1f})".format(*times_less(one, other))
            lines.append(
                f"| {metric} | {len(one)} and {len(other)} | {cells[0]} | {cells[1]} | {gain} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--comparisons", type=int, default=5, help="of each way, in four blocks")
    parser.add_argument("--about", default="", help="what else the machine did, for the page")
    parser.add_argument("--page", type=Path, nargs="+", metavar="OUT", help="… and the folder")
    options = parser.parse_args()
    if options.page:
        *outs, docs = options.page
        results = [r for out in outs for r in json.loads((out / "interleaved.json").read_text())]
        (docs / "interleaved.json").write_text(json.dumps(results, indent=1) + "\n")
        (docs / "interleaved.md").write_text(page(results))
        return
    machine = describe_machine()
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine, "about": options.about, "shifts": measured(options.comparisons),
    }  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "interleaved.json").write_text(json.dumps([result], indent=1) + "\n")
    print(page([result]))


if __name__ == "__main__":
    main()
