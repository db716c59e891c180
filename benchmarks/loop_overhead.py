"""What the timed loop of in-process backends costs a request, with the fake backend.

    .venv/bin/python benchmarks/loop_overhead.py --rounds 15 --output docs/benchmarks

A caller of the fake backend with a service time of zero returns at once, so the harness's closed
loop does nothing but its own work. Two things are measured, in alternation:

* the loop: time of one turn, everything in it, less what a bare `caller.infer(request)` costs in
  a loop of its own. It bounds the throughput.
* the clock: what stands between the two readings of a request's time besides the backend, which
  is in every latency: latency as recorded, less the same bare call.

The turn includes one append for each of the two times; memory grows, nothing is written.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from perf_analyzer import command_line, cpu_name
from scipy import stats

from harness.backends.base import Backend, BackendContext
from harness.backends.fake import FakeBackend
from harness.backends.fake import FakeSettings as FakeSpec
from harness.load.closed import ClosedLoop
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import OK

TARGET_NS = 1000.0
BARE = 200_000


@dataclass(frozen=True)
class Cost:
    """One round; ns a request."""

    turn: float
    """Of the loop, median over stretches of a thousand requests."""
    bare: float
    latency: float
    """As recorded, median."""

    @property
    def loop(self) -> float:
        return self.turn - self.bare

    @property
    def clock(self) -> float:
        return self.latency - self.bare


def backend() -> Backend[object, object]:
    spec = FakeSpec.model_validate({"kind": "fake", "name": "fake", "service_time_ms": 0.0})
    inputs = (TensorSpec("x", "float32", ("batch", 16)),)
    fake = FakeBackend(spec, BackendContext(PreparedModel("nothing", {}, "key", inputs, ())))
    return cast(Backend[object, object], fake)


def bare(fake: Backend[object, object], request: Any) -> float:
    """The median over stretches of a thousand calls in an empty `for` loop, less the loop's own."""
    caller, clock, found = fake.caller(), time.perf_counter_ns, []
    infer = caller.infer
    for _ in range(BARE // 1000):
        begin = clock()
        for _ in range(1000):
            infer(request)
        middle = clock()
        for _ in range(1000):
            pass
        found.append((middle - begin - (clock() - middle)) / 1000)
    return float(np.median(found))


def measure(seconds: float) -> Cost:
    fake = backend()
    request = fake.prepare({"x": np.zeros((1, 16), np.float32)})
    gc.collect()
    gc.disable()
    try:
        alone = bare(fake, request)
        loop = ClosedLoop(fake, [request] * 8, 1, 10.0)
        loop.start()
        time.sleep(seconds)
        samples = loop.stop(10.0)
    finally:
        gc.enable()
    assert (samples.status == OK).all()
    half = samples.sent[len(samples) // 2 :]  # the first half is the warm-up
    stretches = half[: len(half) // 1000 * 1000].reshape(-1, 1000)
    turns = np.diff(stretches[:, 0]) / 1000
    latency = (samples.done - samples.sent)[len(samples) // 2 :]
    return Cost(float(np.median(turns)), alone, float(np.median(latency)))


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and its 95 % t-interval."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / n**0.5
    return mean - half, mean, mean + half


def page(rounds: list[Cost], about: dict[str, object]) -> str:
    loops, clocks = [r.loop for r in rounds], [r.clock for r in rounds]
    lines = [
        "# Overhead of the timed loop", "",
        f"{about['rounds']} rounds of {about['seconds']:g} s with the fake backend at a service "
        f"time of zero and one caller ({about['cpu']}, Python {about['python']}). Each round's "
        "value is a median over stretches of a thousand requests; means over the rounds, 95 % "
        "t-intervals, smallest and largest round.", "",
        "| what | mean | 95 % interval | smallest–largest | target |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, values, target in (
        ("one turn of the loop, without the backend's call", loops, TARGET_NS),
        ("inside the measured latency, without the backend's call", clocks, TARGET_NS),
        ("the bare call, for comparison", [r.bare for r in rounds], None),
    ):
        low, mean, high = interval(values)
        met = (
            "" if target is None else f"≤ {target:.0f} ns: {'met' if high <= target else 'missed'}"
        )
        lines.append(f"| {name} | {mean:.0f} ns | {low:.0f}–{high:.0f} ns | "
                     f"{min(values):.0f}–{max(values):.0f} ns | {met} |")  # fmt: skip
    return "\n".join([*lines, "", f"Reproduce: `{about['command']}`", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--output", type=Path, help="folder for loop_overhead.json and .md")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("an interval needs at least two rounds")
    rounds = [measure(options.seconds) for _ in range(options.rounds)]
    about: dict[str, object] = {
        "command": command_line(),
        "rounds": options.rounds, "seconds": options.seconds, "cpus": os.cpu_count(),
        "cpu": cpu_name(), "python": platform.python_version(),
    }  # fmt: skip
    text = page(rounds, about)
    print(text)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        data = {"about": about, "rounds": [asdict(r) for r in rounds]}
        (options.output / "loop_overhead.json").write_text(json.dumps(data, indent=1) + "\n")
        (options.output / "loop_overhead.md").write_text(text)


if __name__ == "__main__":
    main()
