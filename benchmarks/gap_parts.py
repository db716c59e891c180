"""Is a delay booked where it is? 2 ms put into the model, the queue, the wire and the client.

One embedded Triton serves the same Python model plain, with a model that takes 2 ms longer, and
with a batcher that lets a lone request wait for 2 ms; a proxy process holds each request for 2 ms,
and the client's write is held for 2 ms. A trial is a window with the delay between two without,
at the same rate; what it booked is the difference of each part to the mean of those two.
All but the batcher's delay end spinning, so that they are 2 ms to some microseconds.

python benchmarks/gap_parts.py --trials 20 --output docs/benchmarks
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness.backends import registry  # noqa: F401 - fills the table of kinds
from harness.backends.base import ServerAddress
from harness.gap.parts import PARTS, round_parts
from harness.load.plan import LoadPlan, WindowSettings
from harness.load.schedule import Segment
from harness.load.wire import connection as grpc_wire
from harness.load.wire import http as http_wire
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import Samples
from harness.run.point_row import Conditions, measurement_row
from harness.run.worker import messages
from harness.run.worker.worker import Worker
from harness.scenario.points import Point
from harness.triton.client.settings import TritonSettings
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

DELAY_MS = 2.0
RATE = 100.0
"""Requests a second, with a delay and without: back to back, a server that waits 2 ms longer in
between is colder, and everything takes longer by 5 to 10 % of that."""
TOLERANCE = 0.1
SPUN_NS = 500_000
"""The end of a wait is spun: sleeping ends late."""
PROXY = Path(__file__).with_name("delay_line.py")
PLACES = {"model": "compute", "queue": "queue", "wire": "wire", "client": "client"}
"""Where the delay is put, and the part that it must be booked on."""
SIZE = 16
MODEL = """
import time
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        end = time.perf_counter_ns() + %d
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        time.sleep(max(0, %d) / 1e9)
        while time.perf_counter_ns() < end:
            pass
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in xs]
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ %d ] }
output { name: "y" data_type: TYPE_FP32 dims: [ %d ] }
instance_group { count: 1 kind: KIND_CPU }
"""
BATCHER = "dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: %d }\n"
Parts = Mapping[str, float]


def hold(ns: int) -> None:
    """Wait, to the microsecond: asleep but for the end."""
    end = time.perf_counter_ns() + ns
    time.sleep(max(0, ns - SPUN_NS) / 1e9)
    while time.perf_counter_ns() < end:
        pass


@contextlib.contextmanager
def proxied(target: str, delay_ms: float) -> Iterator[tuple[str, Callable[[], float]]]:
    """The address of a proxy process, and what asks it for how long it held requests."""
    with subprocess.Popen(
        [sys.executable, str(PROXY), target, str(delay_ms)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        into, out = child.stdin, child.stdout
        assert into is not None and out is not None

        def held() -> float:
            into.write("\n")
            into.flush()
            return float(out.readline())

        try:
            yield f"127.0.0.1:{int(out.readline())}", held
        finally:
            into.close()
            child.wait(10)


# ---------------------------------------------------------------------------------------- client


@contextlib.contextmanager
def held_client(delay_ms: float) -> Iterator[list[int]]:
    """Connections that are opened meanwhile hold each of their writes; by how many ns."""
    spent: list[int] = []

    def slowed(write: Callable[..., int]) -> Callable[..., int]:
        def held(*arguments: Any) -> int:
            begin = time.perf_counter_ns()
            hold(int(delay_ms * 1e6))
            spent.append(time.perf_counter_ns() - begin)
            return write(*arguments)

        return held

    def held_http(self: Any, made: Any) -> None:
        connect(self, made)
        self._write = slowed(self._write)

    def held_grpc(self: Any, owner: Any) -> None:
        init(self, owner)
        self._write = slowed(self._write)

    connect, init = http_wire._Connection._connect, grpc_wire.Connection.__init__
    http_wire._Connection._connect = held_http  # type: ignore[method-assign]
    grpc_wire.Connection.__init__ = held_grpc  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        http_wire._Connection._connect = connect  # type: ignore[method-assign]
        grpc_wire.Connection.__init__ = init  # type: ignore[method-assign]


# ---------------------------------------------------------------------------------------- trials


@dataclass
class Bench:
    """A server with the models, and a worker for each way to them; a context manager."""

    folder: Path
    delay_ms: float = DELAY_MS
    window_s: float = 0.3
    rate: float = RATE
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _workers: dict[tuple[str, str, float], Worker] = field(default_factory=dict)
    _proxies: dict[tuple[str, float], tuple[str, Callable[[], float]]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        ns = int(self.delay_ms * 1e6)
        for name, held in (("plain", 0), ("model", ns), ("queue", 0)):
            version = self.folder / "repository" / name / "1"
            version.mkdir(parents=True)
            (version / "model.py").write_text(MODEL % (held, held - SPUN_NS))
            batcher = BATCHER % (ns // 1000) if name == "queue" else ""
            (version.parent / "config.pbtxt").write_text(CONFIG % (SIZE, SIZE) + batcher)
        self.server = self._stack.enter_context(TritonServer.start(
            find(), self.folder / "repository", log=self.folder / "log", timeout=60, prepared=True,
            traced=True,
        ))  # fmt: skip
        for name in ("plain", "model", "queue"):
            self.server.load(name)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.handle(messages.UnloadBackend())
        self._stack.close()

    def trial(self, place: str, protocol: str) -> Parts:
        """What each part grew by, in ms, and as `injected` how much was put in."""
        through = 0.0 if place == "wire" else -1.0
        first = self.parts("plain", protocol, through)
        after = self.delayed(place, protocol)
        second = self.parts("plain", protocol, through)
        grown = {
            name: value - (first.get(name, 0.0) + second.get(name, 0.0)) / 2
            for name, value in after.items()
        }
        hop = self._proxies[protocol, 0.0][1]() if place == "wire" else 0.0
        return {**grown, "injected": after["injected"] - hop}

    def delayed(self, place: str, protocol: str) -> Parts:
        """The parts of a window with the delay, in ms, and as `injected` how long that was.

        What the proxy and the client held requests by is measured where it is done.
        """
        if place == "wire":
            parts = self.parts("plain", protocol, self.delay_ms)
            return {**parts, "injected": self._proxies[protocol, self.delay_ms][1]()}
        if place == "client":
            with held_client(self.delay_ms) as held:
                parts = self.parts("plain", protocol)
            return {**parts, "injected": statistics.fmean(held) / 1e6}
        return {**self.parts(place, protocol), "injected": self.delay_ms}

    def parts(self, model: str, protocol: str, through_ms: float = -1.0) -> Parts:
        """One window's parts in ms; through a proxy unless `through_ms` is below zero."""
        worker = self._worker(model, protocol, through_ms)
        path = self.folder / "samples.npz"
        settings = WindowSettings(0.1, 1, self.window_s, 1, self.window_s, 10.0)
        plan = LoadPlan(segments=(Segment(self.rate, self.rate, settings.longest),))
        answer = worker.handle(messages.MeasurePoint(plan, settings, 1, 3, path))
        assert isinstance(answer, messages.PointMeasured)
        point, samples = Point("t", "default", 1, None, self.rate), Samples.load(path)
        conditions = Conditions(True, traces=answer.traces)
        row = measurement_row(point, 0, "", answer.window, samples, {}, "", conditions)
        traced = "traced" in row.details.get("path", {})  # not where a starved server was too late
        return {
            **round_parts(row, 0.0, traced=traced), "end_to_end": row.latency_mean_ms or 0.0,
        }  # fmt: skip

    def _worker(self, model: str, protocol: str, through_ms: float) -> Worker:
        key = (model, protocol, through_ms)
        if key not in self._workers:
            address = self._address(protocol, through_ms)
            tensors = (
                TensorSpec("x", "float32", ("batch", SIZE)),
                TensorSpec("y", "float32", ("batch", SIZE)),
            )
            settings = TritonSettings.model_validate(
                {"kind": "triton", "protocol": protocol, "serve": "onnxruntime", "name": "t"}
            )
            worker = self._workers[key] = Worker(lambda _: None)
            http, grpc = (
                address if protocol == p else own
                for p, own in (("http", self.server.http), ("grpc", self.server.grpc))
            )
            worker.handle(messages.LoadBackend(
                settings, PreparedModel(model, {}, "key", tensors[:1], tensors[1:]), 1, (1,), 10.0,
                None, ServerAddress(http, grpc, model, None, self.server.trace),
            ))  # fmt: skip
        return self._workers[key]

    def _address(self, protocol: str, through_ms: float) -> str:
        own = self.server.http if protocol == "http" else self.server.grpc
        if through_ms < 0:
            return own
        key = (protocol, through_ms)
        if key not in self._proxies:
            self._proxies[key] = self._stack.enter_context(proxied(own, through_ms))
        return self._proxies[key][0]


def booked(place: str, grown: Parts) -> bool:
    """Whether a delay is on its part, within the tolerance."""
    missed = abs(grown.get(PLACES[place], 0.0) - grown["injected"])
    return missed <= TOLERANCE * grown["injected"]


def page(found: Mapping[str, list[tuple[str, Parts]]], load: tuple[float, float], seconds: float
         ) -> str:  # fmt: skip
    """The page of a whole benchmark: `found` is by place, each trial with its protocol."""
    shown = [n for n in PARTS if n != "outside"]
    lines = [
        "# Is a delay booked where it is?", "",
        f"{DELAY_MS:g} ms put into the model, the queue, the wire (a proxy process) and the client "
        f"(its write), {RATE:g} requests a second, HTTP and gRPC in turn, on an embedded Triton "
        "with a Python model. "
        "A trial is a window with the delay between two without; a part's growth is the "
        "difference to the mean of these. "
        f"Booked: within {TOLERANCE:.0%} of what was put in, on the right part; the proxy and the "
        "client measure how long they held requests, which is 2 ms and what their waking up took. "
        "Median over the trials, with the smallest and the largest in brackets, in ms.", "",
        "| delay in | put in | booked | " + " | ".join(PARTS[n].lower() for n in shown) + " |",
        "|---|---|---|" + "---|" * len(shown),
    ]  # fmt: skip
    for place, trials in found.items():
        right = sum(booked(place, grown) for _, grown in trials)
        cells = [
            _spread([grown.get(name, 0.0) for _, grown in trials]) for name in ("injected", *shown)
        ]
        cells.insert(1, f"{right} of {len(trials)}")
        at = 2 + shown.index(PLACES[place])
        cells[at] = f"**{cells[at]}**"
        lines.append(f"| {place} | " + " | ".join(cells) + " |")
    lines += [
        "", f"{os.cpu_count()} cores; load average {load[0]:.1f} before and {load[1]:.1f} after: "
        f"{_scheduled()}. {seconds:.0f} s.", "",
        f"Reproduce: `{'chrt -r 5 ' if _real_time() else ''}{Path(sys.executable).name} "
        f"benchmarks/gap_parts.py --trials {len(next(iter(found.values())))} "
        "--output docs/benchmarks`", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _real_time() -> bool:
    return os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _scheduled() -> str:
    if _real_time():
        return (
            "the machine was busy with other work, and everything here was in a real-time class "
            "(`chrt -r 5`), which comes before that"
        )
    return "everything here was in the usual scheduling class"


def main() -> None:
    """Run the trials, places and protocols in turn, and write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--window", type=float, default=0.5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    began, load = time.monotonic(), os.getloadavg()[0]
    found: dict[str, list[tuple[str, Parts]]] = {place: [] for place in PLACES}
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), window_s=arguments.window) as bench,
    ):
        for trial in range(arguments.trials):
            for place, trials in found.items():
                protocol = ("http", "grpc")[trial % 2]
                grown = bench.trial(place, protocol)
                trials.append((protocol, grown))
                print(trial, place, protocol, "booked" if booked(place, grown) else "NOT BOOKED",
                      {n: round(v, 3) for n, v in grown.items()}, flush=True)  # fmt: skip
    text = page(found, (load, os.getloadavg()[0]), time.monotonic() - began)
    print(text)
    if arguments.output:
        (arguments.output / "gap-parts.md").write_text(text)
        (arguments.output / "gap-parts.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
