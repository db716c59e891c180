"""The sharing table: replicas of ResNet-50 on one GPU against one tenant with the same load.

    PYTHONPATH=. python benchmarks/gpu/sharing.py --output OUT --seconds 460
    PYTHONPATH=. python benchmarks/gpu/sharing.py --render OUT/sharing.json --page docs/benchmarks

It writes a scenario for `harness share` and runs it: 2 and 4 tenants, time-slicing, MPS and MPS
with half of the threads each, at several loads of the device. What scatters is how a process has
started, and not what it does then: so windows are short, rounds are many, each with new processes,
and a share is taken within rounds. A round takes an H200 about 75 s; after `--seconds` it ends, and
what is there of the last round counts. What the run says is in `sharing.json`, raw values are in
OUT/run. With the same OUT a later call goes on, for as long again.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pages

from harness.analysis.intervals import Interval, t_quantile
from harness.scenario.spec.backend import packages
from harness.system.files import jsonable
from harness.system.machine import describe_machine, package_versions

if TYPE_CHECKING:
    from harness.tenants.results import Results

ROOT = Path(__file__).parents[2]
GPU_MODES = ["dedicated", "time_slicing", "mps", {"kind": "mps", "threads": 50}]
LOADS, COUNTS = [2, 8, 32], [2, 4]
BATCH = 16
"""Of a request: by less, PyTorch's and ONNX Runtime's hosts are what a GPU waits for."""
MOST_ROUNDS = 40
WORDS = {"time_slicing": "time-slicing", "mps": "MPS", "mps-50%": "MPS, 50 % of threads each"}


def scenario(device: str, *, quick: bool) -> dict[str, Any]:
    """What is measured. A GPU's tenant is ONNX Runtime in fp16, which starts fast."""
    gpu = device == "cuda"
    batch = BATCH if gpu else 1
    backend = (
        {"name": "onnxruntime", "kind": "onnxruntime", "provider": "CUDAExecutionProvider",
         "precision": "fp16", "io": "device"} if gpu else
        {"name": "onnxruntime", "kind": "onnxruntime", "provider": "CPUExecutionProvider",
         "threads": 1}
    )  # fmt: skip
    return {
        "scenario": "sharing",
        "description": "ResNet-50 as replicas on one device",
        "model": {
            "name": "resnet50", "source": {"torch": "harness.models.resnet:resnet50", "seed": 0},
            "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 3, 224, 224]}],
            "parity": {"on_mismatch": "measure"},
        },
        "backends": [backend],
        "sharing": {
            "tenants": [{"name": "resnet50", "load": {"concurrency": 4, "batch_size": batch}}],
            "modes": GPU_MODES if gpu else ["time_slicing"],
            "replicas": {"counts": [2] if quick else COUNTS,
                         "concurrency": [4] if quick else LOADS},
        },
        "measurement": {
            "rounds": 2 if quick else MOST_ROUNDS, "warmup": "100ms", "warmup_requests": 8,
            "window": "500ms", "window_requests": 8 if quick else 680, "window_max": "2s",
            "distinct_inputs": 2,
        },
    }  # fmt: skip


def measure(asked: argparse.Namespace) -> None:
    """Run the scenario, or go on; its answer, with what it was measured on, as sharing.json."""
    asked.output.mkdir(parents=True, exist_ok=True)
    path, run = asked.output / "sharing.yaml", asked.output / "run"
    begin, words = time.monotonic(), ["--resume", str(run)]
    if not (run / "journal.jsonl").exists():
        made = scenario(asked.device, quick=asked.quick)
        path.write_text(json.dumps(made, indent=1), encoding="utf-8")  # JSON is YAML
        words = [str(path), "-o", str(run)]
    command = [sys.executable, "-m", "harness", "share", *words, "--quiet"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            process.wait(asked.seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    save(asked, run, time.monotonic() - begin)


def save(asked: argparse.Namespace, run: Path, seconds: float) -> None:
    """Write the record of a run directory, and print what it says."""
    from harness.tenants.results import read_results

    made = scenario(asked.device, quick=asked.quick)
    about = {"device": asked.device, "quick": asked.quick, "seconds": seconds, "scenario": made}
    record = about | record_of(read_results(run))
    path = asked.output / "sharing.json"
    path.write_text(json.dumps(jsonable(record), indent=1), encoding="utf-8")
    print("\n".join(record["answers"]), f"\n{path}: {seconds:.0f} s")


def record_of(found: Results) -> dict[str, Any]:
    """What a run says, and every round's values."""
    from harness.tenants.show import to_json

    rows = [
        {"point": m.point, "round": m.round, "requests": m.requests, "errors": m.errors,
         "throughput": m.throughput, "latency_mean_ms": m.latency_mean_ms,
         "latency_ms": dict(m.latency_ms), "gpu_energy_j": m.gpu_energy_j,
         "joules_per_inference": m.joules_per_inference, "gpu_memory_mib": m.gpu_memory_mib,
         "gpu_memory_scope": m.gpu_memory_scope, "flags": list(m.flags)}
        for m in found.data.measurements
    ]  # fmt: skip
    return {
        "benchmark": "sharing", "started": str(found.data.manifest.get("created", "")),
        "machine": describe_machine(), "packages": package_versions(packages()), "rows": rows,
        "dedicated": {t.dedicated.id: _point(found.dedicated(t)) for t in found.design.table},
        **to_json(found),
    }  # fmt: skip


def _point(row: Any) -> dict[str, Any]:
    names = ("throughput", "latency_p99_ms", "joules_per_inference", "gpu_memory_mib")
    known = {name: None if row is None else row.value(name) for name in names}
    return {name: None if found is None else asdict(found) for name, found in known.items()}


def pooled(rows: Sequence[Mapping[str, Any]], cell: str, base: str) -> Interval | None:
    """A cell's throughput over another's where not every cell has two rounds: by a two-way analysis
    of the logs, effects of cells and of rounds, in which all cells scatter alike (H. Scheffe, The
    Analysis of Variance (1959), 4.1). None where nothing is repeated, or one of both is missing.
    """
    seen = [row for row in rows if row["point"].count("/") == 1]
    cells = sorted({row["point"] for row in seen})
    rounds = sorted({row["round"] for row in seen})
    free = len(seen) - len(cells) - len(rounds) + 1
    if free < 1 or not {cell, base} <= set(cells):
        return None
    design = np.zeros((len(seen), len(cells) + len(rounds) - 1))
    for line, row in zip(design, seen, strict=True):
        line[cells.index(row["point"])] = 1.0
        if row["round"] != rounds[0]:
            line[len(cells) + rounds.index(row["round"]) - 1] = 1.0
    logs = np.log([row["throughput"] for row in seen])
    inverse = np.linalg.pinv(design.T @ design)
    found = inverse @ design.T @ logs
    scatter = float(((logs - design @ found) ** 2).sum()) / free
    contrast = np.zeros(len(found))
    contrast[cells.index(cell)], contrast[cells.index(base)] = 1.0, -1.0
    half = t_quantile(0.975, free) * math.sqrt(scatter * float(contrast @ inverse @ contrast))
    value = float(contrast @ found)
    low, high = math.exp(value - half), math.exp(value + half)
    return Interval(math.exp(value), low, high, len(rounds))


# ---------------------------------------------------------------------------------------- the page


def page(record: dict[str, Any]) -> pages.Page:
    """The table, with an interval at every number."""
    record = {**record, "table": [_whole(record, row) for row in record["table"]]}
    rounds = max((row["round"] + 1 for row in record["rows"]), default=0)
    head = ["load of the device", "tenants", "mode", "inferences/s", "kept of dedicated, %",
            "p99, ms", "p99 / dedicated", "J/inference", "energy / dedicated",
            "GPU memory, MiB"]  # fmt: skip
    rows: list[list[str]] = []
    shown: set[str] = set()
    order = sorted(record["table"], key=lambda r: (_callers(r["load"]), r["replicas"]))
    for row in order:
        if row["load"] not in shown:
            shown.add(row["load"])
            base = record["dedicated"][row["dedicated"]]
            rows.append([row["load"], "1", "dedicated", *_cells(base, 100.0, 1.0, 1.0)])
        rows.append([row["load"], str(row["replicas"]), WORDS.get(row["mode"], row["mode"]),
                     *_cells(row)])  # fmt: skip
    widths = [i.half_width for r in record["table"] if (i := _interval(r["throughput_kept"]))]
    known = [w for w in widths if w is not None]
    narrow = sum(w <= 0.05 for w in known)
    lines = [
        "Made by `benchmarks/gpu/sharing.py`, which runs `harness share`; "
        "[sharing.md](../sharing.md) says what each mode is. In brackets: 95 % intervals; a number "
        "without one is of a single round that counts, one with ≥ a lower bound.", "",
        *pages.machine_lines(record), "",
        f"ResNet-50, fp16, ONNX Runtime, batch {BATCH}, closed loop; {rounds} rounds, in each of "
        "which all processes are started anew. One tenant has all callers of the device, or n "
        f"tenants an nth each. {narrow} of {len(record['table'])} shares of throughput have a "
        f"half-width of at most 5 %; the widest is {pages.percent(max(known, default=None))}.", "",
        *([POOLED, ""] if any(row.get("pooled") for row in record["table"]) else []),
        *pages.table(head, rows), "",
        *(f"* {text}" for text in record["answers"]),
        *(f"* Could not be measured: {f['cell']}: {f['why']}" for f in record["failures"]),
    ]  # fmt: skip
    return pages.Page("sharing", "Sharing a GPU: ResNet-50 as two and four tenants", lines)


def _whole(record: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """With an interval by `pooled` where the share has none of its own."""
    share = _interval(row["throughput_kept"])
    if share is not None and share.low is not None:
        return dict(row)
    found = pooled(record["rows"], row["cell"], row["dedicated"])
    return {**row, "throughput_kept": None if found is None else asdict(found), "pooled": True}


POOLED = (
    "The time was up in the second round, so that some cells have one round only, those of one "
    "tenant among them. The intervals of the shares are those of a two-way analysis of cells and "
    "rounds, which takes all cells to scatter alike on the log scale; `harness share` itself needs "
    "two rounds of both cells."
)


def _callers(load: str) -> int:
    return int(load.split(maxsplit=1)[0])


def _interval(found: dict[str, Any] | None) -> Interval | None:
    return None if found is None else Interval(**found)


def _cells(row: dict[str, Any], *same: float) -> list[str]:
    """Numbers with their intervals; `same` is what dedicated is of itself."""
    kept, p99, joules = same or (None, None, None)
    share = _interval(row.get("throughput_kept"))
    if share is not None:
        low, high = (None if e is None else 100 * e for e in (share.low, share.high))
        share = Interval(100 * share.value, low, high)
    return [
        pages.measured(_interval(row["throughput"])),
        pages.number(kept) if kept else pages.measured(share, 3),
        pages.measured(_interval(row["latency_p99_ms"]), 3),
        pages.number(p99) if p99 else pages.measured(_interval(row.get("p99_ratio")), 3),
        pages.measured(_interval(row["joules_per_inference"]), 3),
        pages.number(joules) if joules else pages.measured(_interval(row.get("joules_ratio")), 3),
        pages.measured(_interval(row["gpu_memory_mib"]), 4),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(), help="folder for the JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=460.0)
    parser.add_argument("--quick", action="store_true", help="few cells, to try the script")
    parser.add_argument("--render", type=Path, help="only write the page of this JSON")
    parser.add_argument("--page", type=Path, help="the folder that the page goes into")
    asked = parser.parse_args()
    if asked.render is None:
        measure(asked)
    if asked.page is not None:
        source = asked.render or asked.output / "sharing.json"
        print(page(json.loads(source.read_text("utf-8"))).write(asked.page))
        (asked.page / "gpu-sharing.json").write_bytes(source.read_bytes())


if __name__ == "__main__":
    main()
