"""Whether a session's first measurement that counts is like the ones after it.

    .venv/bin/python benchmarks/session_start.py --sessions 40 --output docs/benchmarks
    .venv/bin/python benchmarks/session_start.py --device cuda --sessions 40 --seconds 60
    .venv/bin/python benchmarks/session_start.py --pool OLD.json NEW.json   their sessions together

Fresh processes are cold for longer than a point's warm-up, so a session opens with a measurement
that is discarded. Here each session measures one point again and again: the discarded one, then
`REPEATS` that count. Of every session the log of (one measurement / geometric mean of the last
ones) is taken, and Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945) asks over the sessions
whether it is off zero: for the discarded one, whose p says what the opening is good for, and for
the first one that counts, whose p must be above 0.05. Real workers, PyTorch and ONNX Runtime, a
small convolutional net: on the CPU, backends in turns; or on GPUs with shorter windows, each
backend on the next GPU that there is, side by side where there are two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from harness.measure.reduce import reduce
from harness.results.samples import Samples
from harness.run.session.preparing import Prepared, prepare
from harness.run.session.session import Session
from harness.scenario.points import Point
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import DEFAULT_CONFIG
from harness.scenario.wording import signed
from harness.system.machine import describe_machine
from harness.system.paths import cache_directory
from harness.telemetry.client import Telemetry

HERE = Path(__file__).resolve().parent
REPEATS = 4
LEVEL = 0.05
BOTH = "all backends"
FIRST = "first that counts"
CPU = "[{kind: torch, name: torch, device: cpu}, {kind: onnxruntime, name: onnxruntime}]"
GPU = ("[{{kind: torch, name: torch, device: 'cuda:0'}}, {{kind: onnxruntime, name: onnxruntime, "
       "provider: CUDAExecutionProvider, device: 'cuda:{second}'}}]")  # fmt: skip
SECONDS = {"cpu": ("500ms", "1s"), "cuda": ("200ms", "300ms")}
"""Warm-up and window."""
SCENARIO = """
scenario: session-start
model:
  name: small
  source: {{torch: "session_start:make"}}
  inputs: [{{name: x, shape: [batch, 3, 64, 64]}}]
backends: {backends}
load: {{batch_sizes: 1, concurrency: 1}}
measurement: {{rounds: 1, warmup: {warmup}, warmup_requests: 5, window: {window},
              window_requests: 130, window_max: 10s}}
"""


def make() -> Any:
    """A convolutional net of some milliseconds a request."""
    import torch

    layers = [torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3),
              torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
              torch.nn.Linear(32, 10)]  # fmt: skip
    return torch.nn.Sequential(*layers)


def one_session(
    scenario: Scenario, prepared: Prepared, backend: int, folder: Path, stem: str
) -> list[float]:
    """Requests a second of the discarded measurement and of those that count, in their order."""
    spec, found = scenario.backends[backend], []
    point, file = Point(spec.name, DEFAULT_CONFIG, 1, concurrency=1), folder / "samples.npz"
    logs = folder / "logs"
    with (
        Telemetry(folder / ".raw", logs / "telemetry.log") as telemetry,
        Session(scenario, spec, prepared, base=HERE, logs=logs, stem=stem,
                cache=cache_directory(), telemetry=telemetry) as session,
    ):  # fmt: skip
        session.open(1, lambda _: None)
        for number in range(1 + REPEATS):
            planned = session.settings(point, 0)
            settings = planned if number else replace(planned, window_requests=1)
            (answer,) = session.measure(point, 0, {"": file}, lambda _: None, settings=settings)
            samples = Samples.load(file, answer.messages)
            window = answer.window
            found.append(reduce(samples, window.begin_ns, window.end_ns, 1, False).throughput)
    return found


def judged(sessions: list[list[float]]) -> dict[str, dict[str, float]]:
    """For the discarded measurement and the first that counts: median difference and p."""
    logs = np.log(np.array(sessions))
    later = logs[:, 2:].mean(axis=1)
    found = {}
    for column, name in enumerate(("discarded", FIRST)):
        off = logs[:, column] - later
        found[name] = {
            "percent": 100 * float(np.expm1(np.median(off))), "below": int((off < 0).sum()),
            "of": len(off),
            "p": float(wilcoxon(off).pvalue),
        }  # fmt: skip
    return found


def result_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What `parts` show together: each has its `command`, `machine` and `rates`."""
    rates: dict[str, list[list[float]]] = {}
    for part in parts:
        for name, rows in part["rates"].items():
            rates.setdefault(name, []).extend(rows)
    every = {**rates, BOTH: [row for rows in rates.values() for row in rows]}
    return {"backends": {name: judged(rows) for name, rows in every.items()}, "parts": parts}


def pooled(files: list[Path]) -> dict[str, Any]:
    """The sessions of several results, each of which is one part or has parts already."""
    read = [json.loads(path.read_text("utf-8")) for path in files]
    return result_of([part for data in read for part in data["parts"]])


def page(result: dict[str, Any]) -> str:
    """The result in words."""
    parts = result["parts"]
    said = "; ".join(f"`{part['command']}` on {part['machine']}" for part in parts)
    lines = [
        "# The first measurement of a session", "",
        f"{said}. Each session measures one point "
        f"{1 + REPEATS} times; a measurement is compared with the geometric mean of the last "
        f"{REPEATS - 1}, over the sessions by Wilcoxon's signed-rank test.", "",
        "| backend | measurement | median difference | below | p |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for backend, found in result["backends"].items():
        lines += [f"| {backend} | {name} | {_cells(row)} |" for name, row in found.items()]
    firsts = {name: found[FIRST]["p"] for name, found in result["backends"].items()}
    lines += ["", _verdict(firsts)]
    if len(parts) > 1:
        lines += ["", "Each part alone, the first that counts:", ""]
        lines += ["| measured | backend | median difference | below | p |", "|---|---|---|---|---|"]
        for part in parts:
            for backend, found in result_of([part])["backends"].items():
                lines.append(f"| {part['date']} | {backend} | {_cells(found[FIRST])} |")
        lines += ["", "The test was made after each part, and one p a backend and one for all: by "
                  "chance alone some p is below 0.05 more often than once in twenty."]  # fmt: skip
    beside = [f"{part['date']}: {part['beside']}" for part in parts if part.get("beside")]
    return "\n".join([*lines, *(["", *beside] if beside else [])]) + "\n"


def _cells(row: dict[str, float]) -> str:
    off = signed(row["percent"], ".2f")
    return f"{off} % | {row['below']} of {row['of']} | {row['p']:.2g}"


def _verdict(firsts: dict[str, float]) -> str:
    """Of which backends the first measurement that counts differs; `firsts` has their p."""
    off = [f"{name} (p {p:.2g})" for name, p in firsts.items() if p <= LEVEL]
    same = [name for name, p in firsts.items() if p > LEVEL]
    if not off:
        return (
            f"The first measurement that counts does not differ from the later ones (p > {LEVEL})."
        )
    rest = f"; of {' and '.join(same)} it is not shown to (p > {LEVEL})" if same else ""
    return (
        f"The first measurement that counts DIFFERS from the later ones of {', '.join(off)}{rest}."
    )


def sessions(
    options: argparse.Namespace, scenario: Scenario, prepared: Prepared, folder: Path,
    backends: list[int],
) -> dict[str, list[list[float]]]:  # fmt: skip
    """Of each backend, its sessions, in turns until there are enough or time is up."""
    found: dict[str, list[list[float]]] = {scenario.backends[b].name: [] for b in backends}
    until = time.monotonic() + options.seconds
    for number in range(options.sessions):
        for backend in backends[:: 1 if number % 2 else -1]:
            if time.monotonic() > until:
                return found
            name = scenario.backends[backend].name
            own = folder / name
            (own / "logs").mkdir(parents=True, exist_ok=True)
            found[name].append(one_session(scenario, prepared, backend, own, f"s{number}"))
            print(number, name, *(f"{v:.1f}" for v in found[name][-1]), flush=True)
    return found


def measured(options: argparse.Namespace) -> dict[str, list[list[float]]]:
    """Every backend's sessions; on GPUs both backends side by side, each on its own."""
    gpus = len(describe_machine()["gpus"]) if options.device == "cuda" else 0
    warmup, window = SECONDS[options.device]
    scenario = load_text(SCENARIO.format(
        backends=GPU.format(second=int(gpus > 1)) if gpus else CPU, warmup=warmup, window=window,
    ))  # fmt: skip
    together: Iterable[list[int]] = [[0], [1]] if gpus > 1 else [[0, 1]]
    with tempfile.TemporaryDirectory(prefix="session-start-") as text, ThreadPoolExecutor() as pool:
        folder = Path(text)
        (folder / "logs").mkdir()
        prepared = prepare(scenario, base=HERE, logs=folder / "logs", cache=cache_directory())
        begun = [pool.submit(sessions, options, scenario, prepared, folder, own)
                 for own in together]  # fmt: skip
        return {name: rows for future in begun for name, rows in future.result().items()}


def main() -> None:
    """Measure or pool, and write session-start.json and .md, or those of the GPU."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sessions", type=int, default=40, help="of each backend, at most")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin none after so long")
    parser.add_argument("--device", choices=list(SECONDS), default="cpu")
    parser.add_argument("--beside", default="", help="what else ran, a sentence for the page")
    parser.add_argument("--pool", type=Path, nargs="+", metavar="JSON", help="measure nothing")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    options = parser.parse_args()
    result = pooled(options.pool) if options.pool else result_of([part_of(options)])
    on_gpu = any("--device cuda" in part["command"] for part in result["parts"])
    name = "gpu-session-start" if on_gpu else "session-start"
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.output / f"{name}.md").write_text(page(result))
    print(page(result))


def part_of(options: argparse.Namespace) -> dict[str, Any]:
    """What one call measures, and on what."""
    machine = describe_machine()
    gpus = [str(gpu["name"]) for gpu in machine["gpus"]] if options.device == "cuda" else []
    rates = measured(options)
    return {
        "command": f"benchmarks/session_start.py --device {options.device} --sessions "
        f"{options.sessions} --seconds {options.seconds:g}",
        "machine": ", ".join([platform.processor() or platform.machine(),
                              f"{os.cpu_count()} CPUs", *gpus]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "beside": options.beside, "rates": rates,
    }  # fmt: skip


if __name__ == "__main__":
    main()
