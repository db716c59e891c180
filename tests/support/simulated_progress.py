"""Whole runs without a measurement: the real rounds, search and estimate, on a clock of their own.

Each backend, config and load has a true speed; windows take what was planned or longer, loads what
the backend takes. What `TimeLeft` says is kept at every event, and judged when the run has ended.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from support.rows import capacity, measurement

from harness.analysis.metrics import CONFIRMATION
from harness.results.events import Discarded, Event, PointStarted, SessionStarted
from harness.results.rows import PERCENTILES
from harness.run.rounds import Rounds
from harness.run.selection import Selection
from harness.run.state import RunState
from harness.run.time_left import FACTOR, TimeLeft
from harness.run.to_come import to_come
from harness.scenario.points import Point, expand
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs

PREPARING_S = 45.0
SECOND_MINUTE_S = 60.0


class Said(NamedTuple):
    """What was said, so many seconds after the begin, and what was true."""

    after: float
    low: float
    high: float
    truth: float
    grown: float = 1.0
    """The upper end ÷ what the one before and the time since make of it."""

    @property
    def ranged(self) -> bool:
        """Whether a range is said, and no one number."""
        return self.high > self.low

    @property
    def right(self) -> bool:
        """Whether the truth is in the range, or within a factor of the one number."""
        slack = 1.0 if self.ranged else FACTOR
        return self.low / slack <= self.truth <= self.high * slack


class Nothing:
    """A store and an observer that keep nothing."""

    def append(self, line: object) -> None:
        """Nothing is written."""


@dataclass
class Simulated:
    """One run. `load_s` by backend; `long_s` are windows that some points need, by their name."""

    written: Mapping[str, Any]
    seed: int
    load_s: Mapping[str, float] = field(default_factory=dict)
    long_s: float = 0.0
    noise: float = 0.01
    step: float = 0.1
    """How much slower a search's config is for each step that it is away from the best."""
    now: float = 1000.0

    def clock(self) -> float:
        return self.now

    def run(self) -> list[Said]:
        """What was said at each event, from the second minute on, while some measuring was left."""
        self._rng = np.random.default_rng(self.seed)
        self._left = TimeLeft(self.clock)
        self._said: list[tuple[float, tuple[float, float] | None]] = []
        self._began = self.now
        with patch.object(time, "monotonic", self.clock):
            scenario = Scenario.model_validate(self.written)
            self._measure(scenario)
        m = scenario.measurement
        last = 2 * (m.warmup + m.window)
        told = [
            Said(t - self._began, low, high, self.now - t)
            for t, left in self._said for low, high in [left or (0.0, 0.0)]
        ]  # fmt: skip
        told[1:] = [
            two._replace(grown=two.high / max(1.0, one.high - two.after + one.after))
            for one, two in pairwise(told)
        ]
        return [s for s in told if s.after >= SECOND_MINUTE_S and s.truth > last]

    def __call__(self, event: Event) -> None:
        self._left.take(event)
        self._said.append((self.now, self._left.seconds()))

    def _measure(self, scenario: Scenario) -> None:
        points, specs = expand(scenario), configs(scenario)
        chosen, state = Selection(scenario), RunState(Nothing(), self)  # type: ignore[arg-type]
        rounds = Rounds(scenario, points, specs, chosen, state)
        self._scenario = scenario
        self._speeds = self._draw(points)
        self.now += PREPARING_S
        for number in range(rounds.most):
            wanted = rounds.wanted(number)
            state.stages = rounds.added(number, wanted)
            self._round(number, wanted, rounds, state, chosen)
        for number, wanted in rounds.confirmation():
            state.stages = {point.id: CONFIRMATION for point in wanted}
            self._round(number, wanted, rounds, state, chosen)

    def _draw(self, points: Sequence[Point]) -> dict[str, float]:
        """Inferences a second: a peak on each axis of a search, more load more of them."""
        found = {}
        for name, space in Selection(self._scenario).spaces.items():
            base = self._rng.lognormal(5, 0.7)
            peaks = [int(self._rng.integers(len(axis.values))) for axis in space.axes]
            for config, place in space.places:
                away = sum(abs(a - b) for a, b in zip(place or peaks, peaks, strict=True))
                for p in points:
                    if (p.backend, p.config) == (name, config):
                        found[p.id] = base * np.exp(-self.step * away) * (1 + 0.1 * p.load_value)
        return found

    def _round(
        self, number: int, wanted: list[Point], rounds: Rounds, state: RunState, chosen: Selection
    ) -> None:
        for backend in rounds.backends(number) if wanted else ():
            fresh = True
            for config, mine in rounds.in_order(backend, number, wanted):
                began, both = self.now, list(dict.fromkeys([*wanted, *mine]))
                self(to_come(self._scenario, both, number, rounds, chosen, state))
                self(SessionStarted(backend, config, number))
                m = self._scenario.measurement
                self.now += self.load_s.get(backend, 3.0)
                self(PointStarted(mine[0].id, number))
                if fresh:
                    self.now += m.warmup + m.window
                    self(Discarded(mine[0].id, number, 1, 1.0, {}, 0, 1))
                fresh = not chosen.varied(backend)
                for point in mine:
                    if state.missing(point, number):
                        self._point(point, number, state)
                chosen.add_duration(self.now - began)

    def _point(self, point: Point, number: int, state: RunState) -> None:
        m = self._scenario.measurement
        if point.shape == "find_capacity":
            climbing = 2 + len(point.backend) % 4 + int(self._rng.integers(2))
            for step in range(1 + climbing + 4):
                self.now += (m.warmup + m.window) * (1 + (self._rng.random() < 0.1)) + 0.3
                tried = point.id.replace("find_capacity", f"r{step + 1}")
                state.add_result(measurement(
                    point=tried, round=number, backend=point.backend, config=point.config,
                    details={"search": point.id},
                ))  # fmt: skip
            rate = 80.0 * self._rng.lognormal(0, self.noise)
            state.add_result(capacity(
                point=point.id, round=number, backend=point.backend, config=point.config,
                rate=rate, low=rate, high=1.05 * rate, details={"precision": 0.05},
            ))  # fmt: skip
            return
        slow = self.long_s * (hash_of(point.id) % 3 == 0)
        self.now += m.warmup + m.window + slow + 0.3
        speed = self._speeds[point.id] * self._rng.lognormal(0, self.noise)
        state.add_result(measurement(
            point=point.id, round=number, backend=point.backend, config=point.config,
            batch_size=point.batch_size, concurrency=point.concurrency, throughput=speed,
            latency_ms={k: 1e3 / speed * (1 + 0.1 * i) for i, k in enumerate(PERCENTILES)},
        ))  # fmt: skip


def hash_of(text: str) -> int:
    """The same in every process."""
    return sum(text.encode())


PLAIN = [{"kind": kind, "name": name, "device": "cpu"} for kind, name in (
    ("torch", "torch"), ("onnxruntime", "ort"), ("torch", "compiled"))]  # fmt: skip
TRITON = {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime"}
SEARCHED = {**TRITON, "max_batch_size": [4, 8, 16, 32], "instances": [1, 2, 3, 4],
            "dynamic_batching": [False, True]}  # fmt: skip
HALVED = {"backends": [{**SEARCHED, "instances": [1, 2]}], "search": "halving",
          "load": {"batch_sizes": [1, 8]}}  # fmt: skip
QUICK = {"profile": "standard", "rounds": 5}
KINDS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "sweep": ({"backends": PLAIN}, {}),
    "sweep, one backend slow to load": ({"backends": PLAIN}, {"load_s": {"compiled": 90.0}}),
    "sweep, windows that go on": ({"backends": PLAIN}, {"long_s": 40.0}),
    "sweep, rounds added until narrow": (
        {"backends": PLAIN, "measurement": {"profile": "standard"}}, {"noise": 0.01}),
    "grid": ({"backends": [SEARCHED]}, {}),
    "halving": (HALVED, {}),
    "halving, many alike": (HALVED, {"step": 0.02}),
    "grid, 10 % noise": ({"backends": [{**SEARCHED, "instances": [1, 2]}]}, {"noise": 0.1}),
    "halving, 5 % noise": (HALVED, {"noise": 0.05}),
    "halving, 20 % noise": (HALVED, {"noise": 0.2, "step": 0.02}),
    "quick, 5 % noise": ({"backends": [SEARCHED], "search": "quick"}, {"noise": 0.05}),
    "quick": ({"backends": [SEARCHED], "search": "quick"}, {}),
    "quick, two backends": (
        {"backends": [SEARCHED, {**SEARCHED, "name": "u", "protocol": "http"}], "search": "quick"},
        {}),
    "quick within a budget": (
        {"backends": [SEARCHED], "search": {"method": "quick", "budget": "10m"}}, {}),
    "capacity": ({"backends": PLAIN, "load": {"find_capacity": {"latency_p99_ms": 50}}}, {}),
    "capacity, one backend": (
        {"backends": PLAIN[:1], "load": {"find_capacity": {"latency_p99_ms": 50}}}, {}),
    "capacity of two configs": (
        {"backends": [{**TRITON, "dynamic_batching": [False, True]}],
         "load": {"batch_sizes": [1, 8], "find_capacity": {"latency_p99_ms": 50}},
         "measurement": {"profile": "quick", "rounds": 2}}, {}),
    "capacity, rounds added until narrow": (
        {"backends": PLAIN, "load": {"find_capacity": {"latency_p99_ms": 50}},
         "measurement": {"profile": "standard"}}, {"noise": 0.07}),
    "capacity, narrow at once": (
        {"backends": PLAIN, "load": {"find_capacity": {"latency_p99_ms": 50}},
         "measurement": {"profile": "standard"}}, {}),
}  # fmt: skip
"""Scenarios, and how the machine is."""


def simulated(kind: str, seed: int) -> list[Said]:
    """What was said in a run of a kind."""
    scenario, machine = KINDS[kind]
    written = {
        "scenario": "s",
        "model": {"name": "m", "source": {"torch": "m:n"},
                  "inputs": [{"name": "x", "shape": ["batch", 3]}]},
        "load": {"batch_sizes": [1, 8], "concurrency": [1, 4]},
        "measurement": QUICK, **scenario,
    }  # fmt: skip
    return Simulated(written, seed, **machine).run()
