"""Each part of a request made the bound in turn: does the harness name it?

    python benchmarks/gpu/bounds.py --output OUT              about a minute
    python benchmarks/gpu/bounds.py --page OUT docs/benchmarks

Eager PyTorch on models that enqueue hundreds of small kernels, take 64 MiB, multiply large matrices
or give 64 MiB (`bound_models.py`), and a client with 10 ms of work before each request; one caller
and four, in threads and, for four, all driven by one thread. `--device cpu` does the same with
stages of set lengths in place of a GPU (`tests/support/staged.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpubench
import pages
from support.staged import STAGES, Staged

from harness.analysis.intervals import Interval
from harness.analysis.summary import summarize
from harness.backends import timing
from harness.backends.base import Backend
from harness.gap.bound import PARTS, bound_of
from harness.load.choose import make_generator
from harness.load.plan import LoadPlan, WindowSettings
from harness.measure.window import measure
from harness.models.inputs import make_inputs
from harness.run.point_row import Conditions, measurement_row
from harness.scenario.points import Point

ROUNDS, WINDOW_S, TIMEOUT_S = 4, 0.6, 30.0
CLIENT_MS = 10.0
WIDE, FLOATS = 4096, 1 << 24
MODELS: dict[str, tuple[str, int, int]] = {
    "enqueue": ("enqueues", 16, 1), "h2d": ("takes", FLOATS, 1), "compute": ("computes", WIDE, 512),
    "d2h": ("gives", 1, 1), "client": ("computes", WIDE, 1),
}  # fmt: skip
"""Part that is made the bound → model, its width, and batch size."""
WAYS = {"threads-1": (1, False), "threads-4": (4, False), "streams-4": (4, True)}


class Working(threading.Event):
    """A client with work before each request: asked whether it is to stop, it does it."""

    def is_set(self) -> bool:
        time.sleep(CLIENT_MS / 1e3)
        return super().is_set()


def opened(asked: argparse.Namespace, part: str, way: str) -> tuple[Any, int]:
    """The backend, and its batch size."""
    name, width, batch = MODELS[part]
    if asked.device == "cpu":
        return Staged({s: 4.0 if s == part else 0.5 for s in STAGES}), 1
    spec = {
        "name": name, "source": {"torch": f"bound_models:{name}", "seed": 0},
        "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", width]}],
    }  # fmt: skip
    gpubench.prepare_model(asked, spec, ["torch"], [batch])
    settings = {"kind": "torch", "device": "cuda", "precision": "fp32",
                "callers": "streams" if WAYS[way][1] else "threads"}  # fmt: skip
    return gpubench.open_case(gpubench.read_model(asked, name), settings, [batch]), batch


def measured(asked: argparse.Namespace, part: str, way: str) -> dict[str, Any]:
    """What is said of a part made the bound."""
    callers, _ = WAYS[way]
    entered, batch = opened(asked, part, way)
    with entered as backend:
        backend.load()
        inputs = {} if asked.device == "cpu" else make_inputs(backend.context.model, batch, 0)
        request = backend.prepare(inputs)
        place = Point(part, way, batch, callers)
        rows = [one_round(backend, request, place, n) for n in range(2 if asked.quick else ROUNDS)]
    (row,) = summarize(rows)
    found = bound_of(row)
    assert found is not None, "no parts were timed"
    return {
        "made": part, "way": way, "named": found.name, "largest": next(iter(found.shares)),
        "cycle_ms": found.cycle_ms, "timed": found.timed, "words": found.words,
        "shares": {name: asdict(share) for name, share in found.shares.items()},
        "rounds": [{"throughput": m.throughput, "latency_mean_ms": m.latency_mean_ms,
                    **m.details["gpu_time"]} for m in row.measurements],
    }  # fmt: skip


def one_round(backend: Backend, request: object, point: Point, round_: int) -> Any:
    """A window of a closed loop."""
    callers = point.concurrency or 1
    load: Any = make_generator(
        backend, [request], LoadPlan(concurrency=callers), request_timeout=TIMEOUT_S
    )
    if point.backend == "client":
        load._stopping = Working()
    settings = WindowSettings(0.2, 0, WINDOW_S, 0, 5.0, TIMEOUT_S)
    window, samples = measure(backend, load, settings, lambda *_: None)
    return measurement_row(point, round_, "", window, samples, {}, "", Conditions(False))


def page(record: Mapping[str, Any]) -> pages.Page:
    """What was found."""
    cases = record["cases"].values()
    named = sum(c["named"] == c["made"] for c in cases)
    wrong = sum(c["named"] not in (c["made"], "") for c in cases)
    where = "stages of set lengths on the CPU" if record["device"] == "cpu" else "eager PyTorch"
    lines = [
        *pages.opening(record, "python benchmarks/gpu/bounds.py --output OUT",
                    "python benchmarks/gpu/bounds.py --page OUT docs/benchmarks"),
        f"Each part of a request was made the bound in turn ({where}; `benchmarks/gpu/bounds.py` "
        f"says how), in {ROUNDS} windows. **The harness named the part that was made the bound in "
        f"{named} of {len(cases)} cases, another in {wrong}.** Shares of a caller's cycle, with "
        "their 95 % intervals over the windows.", "",
        *pages.table(
            ("made the bound", "callers", "named", "cycle, ms", *PARTS.values()),
            [(PARTS[c["made"]], c["way"], PARTS.get(c["named"], "none"),
              pages.number(c["cycle_ms"]), *(_share(c["shares"][p]) for p in PARTS))
             for c in cases],
        ),
        *(["", "Not measured:", "", *(f"- {n}: {w}" for n, w in record["failures"].items())]
          if record["failures"] else []),
    ]  # fmt: skip
    return pages.Page("bounds", "What bounds throughput, made so in turn", lines)


def _share(share: Mapping[str, Any]) -> str:
    found = Interval(**share)
    if found.low is None or found.high is None:
        return f"{found.value:z.0%}"
    return f"{found.value:z.0%} [{found.low:z.0%}, {found.high:z.0%}]"


def main() -> None:
    if sys.argv[1:2] == ["--page"]:
        record = json.loads(Path(sys.argv[2], "bounds.json").read_text("utf-8"))
        print(page(record).write(Path(sys.argv[3])))
        return
    asked = gpubench.options(__doc__)
    timing.TIMED_EVERY_NS = 20_000_000  # windows are short
    record = gpubench.Record("bounds", asked)
    for part in MODELS:
        for way, (_, streams) in WAYS.items():
            if streams and (asked.device == "cpu" or part == "client"):
                continue
            case = f"{part}-{way}"
            if gpubench.chosen(asked, [case]):
                record.attempt(case, lambda part=part, way=way: measured(asked, part, way))  # type: ignore[misc]


if __name__ == "__main__":
    main()
