"""The tutorial's table from runs of scenarios/resnet50-tutorial.yaml.

    python benchmarks/gpu/tutorial_table.py RUN_DIRECTORY... [--output docs/benchmarks]

A value is the geometric mean over the rounds, each a fresh process, with its 95 % t-interval on the
logs, as in the report. The first call is given for the first round's process, which builds engines
and compiles kernels unless they are cached, and as the median of the others.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from pages import Page, machine_lines, measured, mib, number, table

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow, summarize
from harness.results.rows import LoadedRow, ParityRow
from harness.results.store import RunData, read_run

CLAIM = ("The tutorial gives, for ResNet-50 at batch 1 and without intervals, versions or method, "
         "PyTorch 16 ms and 98 MB against TensorRT 3 ms and 50 MB.")  # fmt: skip


def page(runs: Sequence[Path], beside: str = "") -> Page:
    """The table of the runs; `beside` is a sentence on what else the machine did."""
    found = [read_run(path) for path in runs]
    lines = [*machine_lines(found[0].manifest), "", CLAIM, ""]
    lines += ["Measured by the harness itself:", "", "```"]
    lines += [" ".join(map(str, run.manifest["command"])) for run in found]
    lines += ["python benchmarks/gpu/tutorial_table.py RUN_DIRECTORY...", "```", ""]
    rounds = sorted({row.rounds for run in found for row in summarize(run.measurements)})
    lines += [
        "The clock includes both copies (`io: host`), and the answer is on the host when it stops. "
        f"{' or '.join(map(str, rounds))} rounds, each in a fresh process, backends in shuffled "
        "order, which in the first round was that of the table; in brackets the 95 % interval over "
        "the rounds; a p99 with ≥ is a lower bound: it rests on too few slow requests. "
        "*First call* is the first request after loading: in the first round's "
        "process, then the median of the later rounds'. In it TensorRT-RTX compiles its kernels, "
        "unless it finds them in a cache that the harness keeps beside the engine; backends with "
        "the same engine (with and without CUDA graphs) share that cache, so the one that came "
        "first in the first round compiled for both. For the other runtimes the harness keeps "
        "nothing compiled from one process to the next. *Load* is the median over the rounds, "
        "*build* what building the engine took, once. *Disk* is what is loaded: weights, ONNX file "
        "or engine. *GPU memory* is the process's peak in the window, with its CUDA context. "
        "*Against* is the ratio of medians to eager PyTorch fp32.", "",
        *((beside, "") if beside else ()),
    ]  # fmt: skip
    base = _base([row for run in found for row in summarize(run.measurements)])
    rows = [cells for run in found for cells in _rows(run, base)]
    head = ("backend", "p50 ms", "p99 ms", "against", "first call, first round / later ms",
            "load s", "build s", "disk MiB", "GPU memory MiB", "outputs")  # fmt: skip
    lines += table(head, rows)
    lines += _failures(found)
    return Page("tutorial", "The tutorial's table", lines)


def _base(rows: Iterable[SummaryRow]) -> Interval | None:
    return next((r.value("latency_p50_ms") for r in rows if r.backend == "torch-cuda-fp32"), None)


def _rows(run: RunData, base: Interval | None) -> Iterable[tuple[str, ...]]:
    for row in summarize(run.measurements):
        loads = sorted((x for x in run.loads if x.backend == row.backend), key=lambda x: x.round)
        p50 = row.value("latency_p50_ms")
        ratio = f"{p50.value / base.value:.2f}" if p50 and base else "–"
        yield (
            f"`{row.backend}`{'' if row.valid else ' (invalid)'}", measured(p50),
            measured(row.value("latency_p99_ms")), ratio, _first_calls(loads),
            number(statistics.median(x.seconds or 0 for x in loads)) if loads else "–",
            number(_build(loads)), mib(loads[0].bytes_on_disk if loads else None),
            number(row.gpu_memory_mib), _parity(run.parity, row.backend),
        )  # fmt: skip


def _first_calls(loads: Sequence[LoadedRow]) -> str:
    calls = [x.first_call_ms for x in loads if x.first_call_ms is not None]
    if not calls:
        return "–"
    later = number(statistics.median(calls[1:])) if calls[1:] else "–"
    return f"{number(calls[0])} / {later}"


def _build(loads: Sequence[LoadedRow]) -> float | None:
    found = (x.details.get("build_seconds") for x in loads)
    return next((float(str(seconds)) for seconds in found if seconds is not None), None)


def _parity(rows: Sequence[ParityRow], backend: str) -> str:
    mine = [r for r in rows if r.backend == backend]
    if not mine:
        return "–"
    worst = max((r.max_abs_error or 0.0) for r in mine)
    state = "agree" if all(r.status == "agrees" for r in mine) else mine[-1].status
    return f"{state} (max {worst:.1e})"


def _failures(runs: Sequence[RunData]) -> list[str]:
    seen = {f"`{f.backend}`: {f.message}" for run in runs for f in run.failures}
    return ["", "Not measured:", "", *(f"- {text}" for text in sorted(seen))] if seen else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--beside", default="", help="what else the machine did, a sentence")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    asked = parser.parse_args()
    print(page(asked.runs, asked.beside).write(asked.output))


if __name__ == "__main__":
    main()
