"""Turn the JSON of the GPU benchmarks into pages of the documentation.

    PYTHONPATH=. python benchmarks/gpu/render.py OUT/*.json [--output docs/benchmarks]

The JSON is copied beside its page, so that every number can be computed again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pages import Page, measured, mib, number, opening, percent, table

from harness.analysis.intervals import Interval, log_t_interval

Data = Mapping[str, Any]
HANDLES = "onnxruntime-handles"
RUNTIMES = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
POINT = "b"
"""Names of stages under load begin with it: `b16/c4`."""


def head(data: Data, *paragraphs: str) -> list[str]:
    """Machine, command and method."""
    versions = dict.fromkeys(
        f"{RUNTIMES.get(d.get('flavor', key), key)} {d[key]}"
        for case in data["cases"].values()
        for d in _details(case)
        for key in ("torch", "onnxruntime", "tensorrt")
        if key in d and key not in data["packages"]
    )
    script = Path(data["command"][1])
    shown = f"PYTHONPATH=. python benchmarks/gpu/{script.name} --output OUT"
    render = f"PYTHONPATH=. python benchmarks/gpu/render.py OUT/{data['benchmark']}.json"
    lines = opening(data, shown, render, versions=versions)
    if data["quick"] or data["device"] != "cuda":
        lines += ["**A trial of the script, not a measurement.**", ""]
    for paragraph in paragraphs:
        lines += [paragraph, ""]
    return lines


def _details(case: Data) -> Iterator[Data]:
    if isinstance(case.get("details"), dict):
        yield case["details"]
    yield from (s["details"] for s in case.get("stages", ()) if "details" in s)


def failures(data: Data) -> list[str]:
    if not data["failures"]:
        return []
    lines = [f"- `{name}`: {why.splitlines()[0]}" for name, why in data["failures"].items()]
    return ["", "Not measured:", "", *lines]


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean with the 95 % t-interval, for differences, which may be negative."""
    from scipy import stats

    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    half = (
        float(stats.t.ppf(0.975, len(values) - 1))
        * statistics.stdev(values)
        / math.sqrt(len(values))
    )
    return Interval(mean, mean - half, mean + half, len(values))


# -------------------------------------------------------------------------------------- overhead

TARGET = 1.02


def overhead(data: Data) -> Page:
    cases = {n: c for n, c in data["cases"].items() if n != "null"}
    lines = head(
        data,
        "ResNet-50, batch 1, one caller, `io: host`. Compared are the harness's median a call and "
        "that of a loop written by hand around the same loaded model in the same process, with the "
        "same copies and the same synchronisation of its own stream, its contexts and output "
        "buffers made once outside the loop. *Call by call*: one call of each in turn, in random "
        "order, in one thread; a block of turns gives one ratio of medians. *In blocks*: the "
        "harness's side is a whole measurement (closed loop, callers opened anew, warm-up left "
        "out), in shuffled order with blocks of the other; *between calls* compares the time from "
        "one answer to the next, which includes what either side does outside the clock. Intervals "
        "are 95 % t-intervals on the logs of the blocks' ratios. Target: a ratio of at most "
        f"{TARGET}, call by call.",
    )  # fmt: skip
    columns = ("backend", "blocks × turns", "by hand µs", "harness µs", "call by call",
               "difference µs", "in blocks", "between calls", "target")  # fmt: skip
    every = {n: [c, *data.get("repeats", {}).get(n, ())] for n, c in cases.items()}
    lines += table(columns, [_overhead_row(n, c) for n, found in every.items() for c in found])
    lines += ["", _off_target({n: [_ratio(c) for c in found] for n, found in every.items()})]
    lines += [line for note in data.get("notes", ()) for line in ("", note)]
    if "null" in data["cases"]:
        lines += ["", "## The timed loop alone", "", *_null(data["cases"]["null"])]
    return Page("overhead", "The harness's own cost", [*lines, *failures(data)])


def _overhead_row(name: str, case: Data) -> tuple[str, ...]:
    pairs, turns = case["pairs"], case["turns"]
    harness, hand = ([t[f"{s}_median_ns"] / 1e3 for t in turns] for s in ("harness", "by_hand"))
    ratio = _ratio(case)
    gap = mean_interval([h - b for h, b in zip(harness, hand, strict=True)])
    blocks, spacing = (
        log_t_interval([p["harness"][key] / p["by_hand"][key] for p in pairs])
        for key in ("median_ns", "spacing_ns")
    )
    return (
        f"`{name}`", f"{len(turns)} × {case['turns_a_block']}",
        number(statistics.median(hand), 4), number(statistics.median(harness), 4),
        measured(ratio), measured(gap, 3), measured(blocks), measured(spacing), _verdict(ratio),
    )  # fmt: skip


def _ratio(case: Data) -> Interval:
    """The harness's time a call against that by hand, call by call."""
    return log_t_interval([t["harness_median_ns"] / t["by_hand_median_ns"] for t in case["turns"]])


def _off_target(found: Mapping[str, Sequence[Interval]]) -> str:
    """Which backends are not shown to meet the target; of each, one interval a process."""
    said = []
    for name, ratios in found.items():
        verdicts = [_verdict(ratio) for ratio in ratios]
        if set(verdicts) != {"met"}:
            values = ", ".join(f"{ratio.value:.3f}" for ratio in ratios)
            counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
            said.append(f"`{name}` ({values}: {counts})")
    return f"Not shown to meet the target: {'; '.join(said)}." if said else "All meet the target."


def _verdict(ratio: Interval) -> str:
    if ratio.high is not None and ratio.high <= TARGET:
        return "met"
    return "missed" if ratio.low is not None and ratio.low > TARGET else "not decided"


def _null(case: Data) -> list[str]:
    pairs = case["pairs"]
    inside = [p["harness"]["median_ns"] for p in pairs]
    whole = [p["harness"]["median_spacing_ns"] for p in pairs]
    mean = [p["harness"]["spacing_ns"] for p in pairs]
    hand = [p["by_hand"]["spacing_ns"] for p in pairs]
    return [
        f"A backend that answers at once, {len(pairs)} blocks of {case['calls']:,} requests: one "
        f"request takes {measured(log_t_interval(whole))} ns from answer to answer (median; the "
        f"mean is {measured(log_t_interval(mean))} ns, with everything that interrupts the "
        f"thread), of which the clock sees {measured(log_t_interval(inside))} ns. A loop by hand "
        f"around the same calls: {measured(log_t_interval(hand))} ns (mean). Target: at most 1 µs.",
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------- memory


EXPLAINED = 0.02
"""How far the sum of what is known may be off the sampler's peak."""
MEMORY_COLUMNS = (
    "*Sampler's peak*: the largest of our NVML readings of the process in the stage, up to 200 a "
    "second. *nvidia-smi*: what `nvidia-smi --query-compute-apps` shows for the process at the "
    "stop, under load while requests flow. *Sampler against nvidia-smi*: the sampler's last "
    "reading of the stage against it; the peak may be from before, and under load the last reading "
    "is from when the load has just ended.",
    "What the memory is. *Allocators*: what they say they hold (PyTorch: reserved; ONNX Runtime: "
    "its arena, from its own log; TensorRT: `device_memory_size_v2` of every context, weights, "
    "input and output buffers). *Left after giving back*: what the process holds beyond the bare "
    "context and its allocators once the backend has given back what the stage took: code of "
    "kernels and handles of the libraries, which no allocator knows. *Calling threads*: what ONNX "
    "Runtime makes for the threads that call it and frees when they end (handles of cuBLAS and "
    "cuDNN with their workspaces), measured with a model of two tiny layers, "
    f"`{HANDLES}`, whose own sums are therefore no test. *Bare context*: the CUDA context, "
    "measured by processes that make nothing else. *Sum* adds these four up.",
)


def memory(data: Data) -> Page:
    lines = head(
        data,
        "ResNet-50; all sizes in MiB of 2^20 bytes. Each backend in a fresh process, stopped after "
        "each stage. After each stage the backend gives back what a point took, as the harness has "
        "it do before every point; in the last, *released*, it gives back everything.",
        *MEMORY_COLUMNS,
        f"The target is a sum within {100 * EXPLAINED:.0f} % of the sampler's peak.",
    )  # fmt: skip
    bare = _bare(data)
    shown = ", ".join(mib(b) for b in bare)
    handles = caller_bytes(data["cases"].get(HANDLES, {}))
    first, each = handles or (None, None)
    lines += [f"Bare context, {len(bare)} processes: {shown or '–'} MiB. ONNX Runtime's calling "
              f"threads: {mib(first)} MiB after the first call of one (stage *warm*), {mib(each)} "
              "MiB each under load.", ""]  # fmt: skip
    columns = ("backend", "stage", "sampler's peak", "nvidia-smi", "sampler against nvidia-smi",
               "allocators", "left after giving back", "calling threads", "bare context", "sum",
               "sum / peak")  # fmt: skip
    context = statistics.median(bare) if bare else None
    parts = [p for name, case in data["cases"].items() if "context-" not in name
             for p in _memory_parts(name, case, context, handles)]  # fmt: skip
    lines += [*table(columns, [p.cells() for p in parts]), "", _missed(parts)]
    details = [r for name, case in data["cases"].items() for r in _allocator_rows(name, case)]
    lines += ["", "What the allocators say under load, MiB:", ""]
    lines += table(("backend", "point", "allocator", "MiB"), details)
    return Page("memory", "GPU memory by stage", [*lines, *failures(data)])


def _bare(data: Data) -> list[float]:
    found = []
    for name, case in data["cases"].items():
        if name.startswith("context-"):
            held = case["stages"][-1].get("process_held")
            found += [held] if held else []
    return found


def smi_bytes(stage: Data) -> float | None:
    """nvidia-smi's figure for the process of the stage."""
    value = stage["smi"].get("bytes", {}).get(str(stage["pid"]))
    return None if value is None else float(value)


def caller_bytes(case: Data) -> tuple[float, float] | None:
    """What a calling thread makes ONNX Runtime hold while it lives: after its first call, and
    under load, where it is a share of what the most callers hold together.
    """
    held = {
        st["stage"]: st["process_held"] - allocated(st)
        - (st["after"]["process_held"] - allocated(st["after"]))
        for st in case.get("stages", ())
        if st.get("process_held") and st.get("after", {}).get("process_held")
    }  # fmt: skip
    counts = {int(n.partition("/c")[2]): size for n, size in held.items() if "/c" in n}
    if not counts or "warm" not in held:
        return None
    many = max(counts)
    return held["warm"], counts[many] / many


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """One line of the table, in bytes; None where there is no such thing."""

    backend: str
    stage: str
    peak: float | None
    smi: float | None
    difference: float | None
    known: float | None = None
    left: float | None = None
    callers: float | None = None
    context: float | None = None

    @property
    def total(self) -> float | None:
        if self.known is None or self.left is None or self.context is None:
            return None
        return self.known + self.left + self.context + (self.callers or 0.0)

    @property
    def share(self) -> float | None:
        """Of the sampler's peak."""
        return self.total / self.peak if self.total and self.peak else None

    def cells(self) -> tuple[str, ...]:
        parts = (self.known, self.left, self.callers, self.context, self.total)
        return (
            f"`{self.backend}`", self.stage, mib(self.peak), mib(self.smi),
            percent(self.difference), *map(mib, parts), percent(self.share),
        )  # fmt: skip


def _memory_parts(
    name: str, case: Data, context: float | None, handles: tuple[float, float] | None = None
) -> Iterator[MemoryParts]:
    for stage in case["stages"]:
        peak, smi = stage.get("process_peak"), smi_bytes(stage)
        difference = None if not peak or not smi else stage["process_held"] / smi - 1
        after = stage.get("after", {})
        row = MemoryParts(name, stage["stage"], peak, smi, difference)
        if stage["allocators"] and after.get("process_held") and context is not None:
            callers = None
            left = after["process_held"] - context - allocated(after)
            if name.startswith("onnxruntime") and handles is not None:
                callers = _callers(stage["stage"], *handles)
            row = replace(row, known=allocated(stage), left=left, callers=callers, context=context)
        yield row


def _missed(rows: Sequence[MemoryParts]) -> str:
    """Which stages are off by more than the target, and by how much."""
    judged = [r for r in rows if r.share is not None and r.backend != HANDLES]
    missed = [
        f"`{r.backend}` at {r.stage} ({percent(r.share)}: {mib(abs(r.peak - r.total))} MiB "
        f"{'unexplained' if r.total < r.peak else 'too much'})"
        for r in judged
        if r.share is not None and r.peak and r.total and abs(r.share - 1) > EXPLAINED
    ]
    count = f"{len(missed) or 'None'} of the {len(judged)} sums"
    if not missed:
        return f"{count} is off by more than the target."
    verb = "is" if len(missed) == 1 else "are"
    return f"{count} {verb} off by more than the target: {', '.join(missed)}."


def _callers(stage: str, first: float, each: float) -> float | None:
    count = stage.partition("/c")[2]
    return each * int(count) if count else first if stage == "warm" else None


def allocated(stage: Data) -> float:
    """Bytes that the allocators hold on the device; torch's allocated are among its reserved."""
    return float(sum(v for k, v in stage["allocators"].items()
                     if k in ("torch_reserved", "arena") or k.startswith("tensorrt_")))  # fmt: skip


def _allocator_rows(name: str, case: Data) -> Iterator[tuple[str, ...]]:
    for stage in case["stages"]:
        if stage["stage"].startswith(POINT) and stage["stage"] != "baseline":
            for key, value in stage["allocators"].items():
                yield f"`{name}`", stage["stage"], key, mib(value)


# -------------------------------------------------------------------------------------- roofline


def roofline(data: Data) -> Page:
    cases = data["cases"]
    limits, model = cases.get("limits"), cases.get("model")
    lines = head(
        data,
        "The limits are measured on this GPU, not read from a data sheet: products of square "
        "matrices of random numbers (20 repeats after a warm-up, CUDA events, the median), and "
        "copies within device memory, counting bytes read and bytes written. Throughput is the "
        "harness's closed loop with `io: device` and one or two callers, the better of which is "
        "shown; in brackets the smallest and the largest of five parts of the window.",
    )  # fmt: skip
    if limits:
        lines += ["## The GPU's limits", "", *table(
            ("kernel", "median", "smallest", "largest", "clock MHz", "power W"), _limit_rows(limits)
        ), ""]  # fmt: skip
    if model:
        lines += ["## What an image costs", "", *_cost(model), ""]
    lines += ["## Throughput", "", *table(
        ("backend", "batch", "callers", "images a second", "share of matrix rate",
         "share of bandwidth"), _throughput_rows(cases),
    )]  # fmt: skip
    lines += ["", *unmeasured(cases), *_best(cases)]
    return Page("roofline", "How near the limit", [*lines, *failures(data)])


def matrix_rate(limits: Data, precision: str) -> float | None:
    """FLOP/s in the median repeat."""
    kernel = limits["matmul"].get(precision)
    return 2 * limits["size"] ** 3 / statistics.median(kernel["seconds"]) if kernel else None


def bandwidth(limits: Data) -> float:
    """Bytes a second, read and written."""
    return float(2 * limits["copy_bytes"] / statistics.median(limits["copy"]["seconds"]))


def _limit_rows(limits: Data) -> Iterator[tuple[str, ...]]:
    work = {f"{name} matrix product, TFLOP/s": (k, 2 * limits["size"] ** 3 / 1e12)
            for name, k in limits["matmul"].items()}  # fmt: skip
    work["copy, GB/s"] = (limits["copy"], 2 * limits["copy_bytes"] / 1e9)
    for name, (kernel, amount) in work.items():
        rates = [amount / s for s in kernel["seconds"]]
        state = kernel.get("state", {})
        yield (
            name, number(statistics.median(rates), 4), number(min(rates), 4), number(max(rates), 4),
            number(state.get("sm_clock_mhz")), number(state.get("power_w")),
        )  # fmt: skip


def _cost(model: Data) -> list[str]:
    return [
        f"{model['flop'] / 1e9:.2f} GFLOP, counted by `torch.utils.flop_counter` (torch "
        f"{model['torch']}; two operations a multiply-add: {model['flop'] / 2e9:.2f} GMAC), and "
        f"{model['parameters'] / 1e6:.2f} million parameters, which move once a batch. "
        f"Activations: at least {model['fused_elements'] / 1e6:.1f} million elements an image "
        "where batch norm, ReLU and the addition are part of the convolution before them (inputs "
        "and outputs of every convolution, pooling and linear layer, and the shortcuts), "
        f"{model['unfused_elements'] / 1e6:.1f} million where every layer reads and writes for "
        "itself. The share of bandwidth below takes the smaller, so it is a lower bound for a "
        "runtime that fuses less, and too high for small batches whose tensors stay in the L2 "
        "cache.",
    ]  # fmt: skip


ITEM = {"fp16": 2, "bf16": 2, "fp32": 4, "tf32": 4}


def shares(
    cases: Data, precision: str, batch: int, images: float
) -> tuple[float | None, float | None]:
    """Of the matrix rate and of the bandwidth."""
    limits, model = cases.get("limits"), cases.get("model")
    if not limits or not model:
        return None, None
    rate = matrix_rate(limits, precision)
    moved = ITEM[precision] * (model["fused_elements"] + model["parameters"] / batch)
    return images * model["flop"] / rate if rate else None, images * moved / bandwidth(limits)


def best_rows(cases: Data) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(case, precision, row) for each batch, the number of callers that gave more."""
    for name, case in cases.items():
        if name in ("limits", "model"):
            continue
        good = [r for r in case["rows"] if "error" not in r]
        for batch in sorted({r["batch"] for r in good}):
            row = max((r for r in good if r["batch"] == batch), key=lambda r: r["images_s"])
            yield name, case["settings"].get("precision", "fp32"), row


def unmeasured(cases: Data) -> list[str]:
    """A line for each batch size at which a backend failed or its time had run out."""
    found = []
    for name, case in cases.items():
        for row in case.get("rows", ()):
            if "error" in row:
                said = " ".join(str(row["error"]).split())
                found.append(f"* `{name}` at batch {row['batch']}: {said}")
        if skipped := case.get("skipped"):
            sizes = ", ".join(map(str, skipped))
            found.append(f"* `{name}` at batch {sizes}: its time had run out")
    return ["Not measured:", "", *found, ""] if found else []


def _throughput_rows(cases: Data) -> Iterator[tuple[str, ...]]:
    for name, precision, row in best_rows(cases):
        matrix, memory_share = shares(cases, precision, row["batch"], row["images_s"])
        parts = row["images_s_parts"]
        yield (
            f"`{name}`", str(row["batch"]), str(row["callers"]),
            f"{number(row['images_s'], 4)} [{number(min(parts), 4)}, {number(max(parts), 4)}]",
            percent(matrix), percent(memory_share),
        )  # fmt: skip


def _best(cases: Data) -> list[str]:
    rows = list(best_rows(cases))
    if not rows:
        return []
    name, precision, row = max(rows, key=lambda r: r[2]["images_s"])
    matrix, memory_share = shares(cases, precision, row["batch"], row["images_s"])
    return [
        f"The most: {number(row['images_s'], 4)} images a second, `{name}` at batch {row['batch']} "
        f"with {row['callers']} caller{'s' if row['callers'] > 1 else ''}: {percent(matrix)} of "
        f"the measured {precision} matrix rate and {percent(memory_share)} of the measured "
        f"bandwidth.",
    ]


# ------------------------------------------------------------------------------------- telemetry


def telemetry(data: Data) -> Page:
    lines = head(
        data,
        "One caller, batch 1, `io: host`, the model in a process of its own. *On*: the real "
        "sampler reads that process's tree and the GPU through NVML; *off*: there is no sampler. "
        "Pairs of measurements in shuffled order; the interval is the 95 % t-interval on the logs "
        "of the pairs' ratios of throughput, on over off: 1 means that sampling costs nothing.",
    )  # fmt: skip
    columns = ("model", "pairs", "off, requests/s", "on, requests/s", "ratio, on / off",
               "ratio of medians of latency", "sampler: share of a core", "GPU memory readings/s",
               "power readings/s")  # fmt: skip
    lines += table(columns, [_telemetry_row(n, c) for n, c in data["cases"].items()])
    return Page("telemetry", "What telemetry costs", [*lines, *failures(data)])


def _telemetry_row(name: str, case: Data) -> tuple[str, ...]:
    pairs = case["pairs"]
    ratio = log_t_interval([p["on"]["throughput"] / p["off"]["throughput"] for p in pairs])
    latency = log_t_interval([p["on"]["median_ns"] / p["off"]["median_ns"] for p in pairs])
    side = {s: statistics.median(p[s]["throughput"] for p in pairs) for s in ("on", "off")}
    cpu = [p["on"]["sampler"]["cpu_share"] for p in pairs if p["on"]["sampler"]["cpu_share"]]
    return (
        f"`{name}`", str(len(pairs)), number(side["off"], 4), number(side["on"], 4),
        measured(ratio), measured(latency), percent(statistics.median(cpu) if cpu else None),
        _rate(pairs, "_device_bytes"), _rate(pairs, "_power_w"),
    )  # fmt: skip


def _rate(pairs: Sequence[Data], suffix: str) -> str:
    rates = [r for p in pairs for n, r in p["on"]["sampler"]["rates"].items() if n.endswith(suffix)]
    return number(statistics.median(rates)) if rates else "–"


# ------------------------------------------------------------------------------------------ main


def repeatability(data: Data) -> Page:
    lines = head(
        data,
        "ResNet-50 at batch 1, an engine for this batch alone from an fp32 ONNX file, run without "
        "the harness: `execute_async_v3` on PyTorch's stream with PyTorch's buffers, and a "
        "synchronisation after every call. Eight inputs take turns; a call is compared with one "
        "that was made 0.3 s after the call before it, and is wrong when a value is further off "
        "than 3 % of the outputs' root mean square.",
    )  # fmt: skip
    rows = [
        (name, f"TensorRT-RTX {c['tensorrt']}", f"{c['wrong']} of {c['calls']}",
         percent(c["worst"]))
        for name, c in data["cases"].items()
    ]  # fmt: skip
    lines += table(("case", "version", "wrong calls", "worst error, share of rms"), rows)
    lines += [
        "", "What it means is in [tensorrt.md](../tensorrt.md#known-limits). The harness flags "
        "such points `parity` or `wrong_outputs`, and ranks none of them.",
    ]  # fmt: skip
    return Page("repeatability", "The same answer twice", [*lines, *failures(data)])


# --------------------------------------------------------------------------------------- streams

LEAST_OF_C = 0.9


def streams(data: Data) -> Page:
    cases = {n: c for n, c in data["cases"].items() if n != "timing"}
    lines = head(
        data,
        "ResNet-50 in fp16, closed loop, `io: host`, windows of 0.6 s after a warm-up. *Threads*: "
        "each caller in a thread that waits for its stream. *Streams*: one thread begins the "
        "requests of all callers and asks their events (`callers: streams`). *C*: a loop in C over "
        "the same captured graphs, copies and streams (`streams_loop.c`), which is the least that "
        "such a load can be. Throughput is the mean over rounds, ± its standard deviation from "
        "round to round; latencies are means of the rounds'; *launching* is the share of its time "
        "that the one thread spent beginning requests.",
        *data.get("notes", ()),
    )  # fmt: skip
    columns = ("backend", "batch", "callers", "way", "rounds", "inferences/s", "p50 ms", "p99 ms",
               "CPU %", "launching", "of C")  # fmt: skip
    rows = [row for name, case in cases.items() for row in _stream_rows(name, case)]
    lines += [*table(columns, rows), "", f"Target: at least {LEAST_OF_C} of C."]
    if timing := data["cases"].get("timing"):
        lines += ["", "## What timing costs", "",
                  "Graphs, batch 1, 16 callers in one thread, by how often CUDA events time the "
                  "parts of a request of each caller:", ""]  # fmt: skip
        lines += table(("timed", "requests/s", "p50 ms", "p99 ms"), [
            (row["name"], number(row["requests_s"], 4), number(row["p50_ms"]),
             number(row["p99_ms"])) for row in timing["rows"]
        ])  # fmt: skip
    return Page("streams", "Concurrent callers in one process", [*lines, *failures(data)])


def _stream_rows(name: str, case: Data) -> Iterator[tuple[str, ...]]:
    found: dict[tuple[int, int], dict[str, list[Data]]] = {}
    for row in case["rows"]:
        found.setdefault((row["batch"], row["callers"]), {}).setdefault(row["way"], []).append(row)
    for (batch, callers), ways in sorted(found.items()):
        for way, rows in sorted(ways.items(), reverse=True):
            rates = [row["requests_s"] for row in rows]
            mean = statistics.fmean(rates)
            spread = statistics.stdev(rates) / mean if len(rates) > 1 else None
            c = statistics.fmean(r["requests_s"] for r in ways["c"]) if "c" in ways else None
            yield (
                f"`{name}`", str(batch), str(callers), way, str(len(rows)),
                f"{number(batch * mean, 4)} ± {percent(spread)}", number(_mean(rows, "p50_ms")),
                number(_mean(rows, "p99_ms")), number(_mean(rows, "cpu_percent")),
                percent(_mean(rows, "launching"), 0),
                number(mean / c) if c and way != "c" else "–",
            )  # fmt: skip


def _mean(rows: Sequence[Data], key: str) -> float | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.fmean(values) if values else None


SAME_SHARE, SAME_MIB = 0.02, 16.0
"""A point's memory measured alone and beside others may differ by the larger of the two."""


def point_memory(data: Data) -> Page:
    """A point's memory, alone and in a run with a larger one."""
    lines = head(
        data,
        "ResNet-50, batch 1, one caller: the peak of the processes' memory in the window, MiB. "
        "*Alone*: nothing else in the run. *Beside*: the run measures a point with 16 "
        "callers too. A constraint asks about memory, so each point has a session, and a server, "
        f"of its own. They are the same where all lie within {100 * SAME_SHARE:g} % or "
        f"{SAME_MIB:g} MiB, whichever is more. *As its own runs*: the runs alone differ from one "
        "another by more, and those beside others lie among them.",
    )
    rows = []
    for name, case in data["cases"].items():
        every = [*case["alone"], *case["beside"]]
        spread = max(every) - min(every)
        room = max(SAME_SHARE * min(every), SAME_MIB)
        alone = min(case["alone"]) - room, max(case["alone"]) + room
        among = alone[0] <= min(case["beside"]) and max(case["beside"]) <= alone[1]
        same = "yes" if spread <= room else "as its own runs" if among else "NO"
        shown = (", ".join(f"{v:,.0f}" for v in case[what]) for what in ("alone", "beside"))
        rows.append((f"`{name}`", *shown, f"{spread:,.0f}", same))
    lines += table(("backend", "alone", "beside 16 callers", "spread", "same"), rows)
    return Page("point-memory", "GPU memory of a point, whatever ran before it",
                [*lines, *failures(data)])  # fmt: skip


PAGES: dict[str, Callable[[Data], Page]] = {
    "overhead": overhead, "memory": memory, "roofline": roofline, "telemetry": telemetry,
    "repeatability": repeatability, "streams": streams, "point_memory": point_memory,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    asked = parser.parse_args()
    for path in asked.records:
        data = json.loads(path.read_text(encoding="utf-8"))
        page = PAGES[data["benchmark"]](data)
        print(page.write(asked.output))
        copy = asked.output / f"gpu-{page.name}.json"
        if copy.resolve() != path.resolve():
            shutil.copyfile(path, copy)


if __name__ == "__main__":
    main()
