"""How long should a search's windows be, and how many its rounds? Searches replayed over the noise
of a real machine, with a known best.

    python benchmarks/search_time.py            writes docs/benchmarks/search-time.md
    python benchmarks/search_time.py --record   records the noise again (eight minutes, quiet)

A real Triton server answers one load for two minutes; when each request finished is kept, in
steps of 10 ms (docs/benchmarks/search-noise.json). A simulated measurement is a window of that
record, begun at a random moment and as long as the scenario asks: so short windows have the
scatter that short windows have there. It is multiplied by the point's true rate. What is measured
next, what is chosen and what is called better is decided by the harness's own `Selection` and
`choose`.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from model_analyzer import IDENTITY, RESNET, identity_repository, resnet_repository, scenario
from numpy.typing import NDArray
from simulated import PAGES

from harness import run as measure
from harness.analysis.best import choose
from harness.analysis.metrics import CONFIRMATION
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import summarize
from harness.results.rows import MeasurementRow
from harness.results.samples import read_samples
from harness.results.store import read_run
from harness.run.selection import Selection
from harness.scenario.points import expand
from harness.scenario.reading.loader import load
from harness.scenario.spec.scenario import Scenario

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.rows import measurement

NOISE = PAGES / "search-noise.json"
STEP_S, RECORD_S = 0.01, 120
RUNS, SEED = 200, 20_261_129
NEAR = 0.05
"""A choice is right when it is no more than this share worse than the best."""
SPACES = {
    "one is 15 % ahead": [1, 0.85, 0.85, 0.8, 0.75, 0.7, 0.65],
    "three within 6 %": [1, 0.95, 0.94, 0.78, 0.73, 0.7, 0.69],
    "all equal": [1] * 7,
}
"""True rates of the configurations, of the best's."""
LOADS = {1: 0.42, 2: 0.68, 4: 0.9, 8: 1.0}
"""Callers, and the rate with so many, of the best's."""
Strategy = tuple[str, int, int, str]
STRATEGIES: list[Strategy] = [
    ("2s", 3, 10, "grid"), ("1s", 3, 10, "grid"), ("1s", 3, 6, "grid"), ("300ms", 3, 10, "grid"),
    ("300ms", 3, 6, "grid"), ("300ms", 2, 6, "grid"), ("100ms", 3, 6, "grid"),
    ("300ms", 3, 6, "halving"),
]  # fmt: skip
"""Window, rounds that every point gets, rounds in all, and the method: halving keeps what is
clearly worse after two rounds out of the third.
"""
PROFILE = ("300ms", 3, 6)
COST_S = {"run": 7.0, "round": 3.2, "session": 0.5, "point": 0.13}
"""Seconds that pass beside warm-ups and windows: to begin and end, for each round's server and
workers, to load a configuration, from one load to the next. As seen on two cores of an AMD EPYC."""


@dataclass(frozen=True)
class Stream:
    """A record, three times in a row: how many requests had finished by each step."""

    total: NDArray[np.int64]

    @classmethod
    def read(cls, counts: Sequence[int]) -> Stream:
        return cls(np.concatenate([[0], np.cumsum([*counts, *counts, *counts])]))

    @property
    def rate(self) -> float:
        return float(self.total[-1]) / ((len(self.total) - 1) * STEP_S)

    def window(
        self, rng: np.random.Generator, seconds: float, requests: int
    ) -> tuple[float, float]:
        """The rate in a window of at least so many seconds and requests, over the record's; and
        how long it was.
        """
        steps = round(seconds / STEP_S)
        begin = int(rng.integers(0, len(self.total) // 3))
        enough = int(np.searchsorted(self.total, self.total[begin] + requests))
        end = max(begin + steps, enough)
        length = (end - begin) * STEP_S
        return float(self.total[end] - self.total[begin]) / length / self.rate, length


@dataclass
class Search:
    """One search under way."""

    written: Scenario
    true: Mapping[str, float]
    stream: Stream
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.selection = Selection(self.written)
        self.points = {p.id: p for p in expand(self.written)}
        self.rows: list[MeasurementRow] = []
        self.seconds = COST_S["run"]

    def visit(self, points: Iterable[str], round_: int, stage: str = "") -> None:
        m, visited = self.written.measurement, [self.points[p] for p in points]
        self.seconds += COST_S["round"] + COST_S["session"] * len({p.config for p in visited})
        for p in visited:
            seen, length = self.stream.window(self.rng, m.window, m.window_requests)
            self.seconds += COST_S["point"] + m.warmup + length
            self.rows.append(measurement(
                point=p.id, backend=p.backend, config=p.config, concurrency=p.concurrency,
                round=round_, throughput=self.true[p.config] * LOADS[p.concurrency or 1] * seen,
                details={"stage": stage} if stage else {},
            ))  # fmt: skip

    def run(self) -> dict[str, float]:
        """Search; what came of it."""
        settings, round_ = self.written.measurement, 0
        while round_ < settings.rounds:
            kept = self.selection.repeated(self.rows, [], round_) if round_ else ()
            every = (p for p in self.points.values())
            self.visit([p.id for p in every if not round_ or (p.backend, p.config) in kept], round_)
            round_ += 1
        while open_ := self.selection.undecided(self.rows, [], round_):
            self.visit(open_, round_)
            round_ += 1
        confirmed = self.selection.to_confirm(self.rows, [])
        for later in range(self.written.search.confirm):
            self.visit(confirmed, 100 + later, CONFIRMATION)
        found = choose(summarize(self.rows), THROUGHPUT, {})
        chosen = found.recommended or found.best
        assert chosen is not None
        best, winner = max(self.true.values()), found.winner
        return {
            "seconds": self.seconds, "rounds": round_, "tied": len({r.config for r in found.tied}),
            "right": self.true[chosen.config] >= (1 - NEAR) * best,
            "lost": 1 - self.true[chosen.config] / best,
            "wrong": winner is not None and self.true[winner.config] < best,
            "alone": winner is not None,
        }  # fmt: skip


def searches(
    strategy: Strategy, space: str, counts: Sequence[int], runs: int
) -> list[dict[str, float]]:
    """So many searches of a space by a strategy."""
    window, rounds, most, method = strategy
    with tempfile.TemporaryDirectory() as folder:
        written = _scenario(Path(folder), {
            "profile": "search", "window": window, "rounds": rounds, "rounds_max": rounds,
            "warmup": "300ms" if window in ("1s", "2s") else "100ms",
        }, {"method": method, "rounds_max": most})  # fmt: skip
    rng = np.random.default_rng([SEED, STRATEGIES.index(strategy), list(SPACES).index(space)])
    configs = list(dict.fromkeys(p.config for p in expand(written)))
    stream, found = Stream.read(counts), []
    for _ in range(runs):
        true = dict(zip(configs, map(float, rng.permutation(np.array(SPACES[space]))), strict=True))
        found.append(Search(written, true, stream, rng).run())
    return found


def _scenario(folder: Path, settings: Mapping[str, Any], search: Mapping[str, Any]) -> Scenario:
    model = replace(IDENTITY, measurement={})
    backend = {
        "kind": "triton", "name": "t", "protocol": "grpc", "instances": model.instances,
        "max_batch_size": model.max_batch_sizes, "server": {"repository": str(folder)},
    }  # fmt: skip
    path = folder / "search.json"
    path.write_text(json.dumps({**scenario(model, [backend], LOADS, settings), "search": search}))
    return load(path).scenario


# ----------------------------------------------------------------------------------------- record


def record(seconds: int) -> dict[str, list[int]]:
    """Requests that finished in each step, of either model under one load."""
    found = {}
    for model, callers, make in (
        (IDENTITY, 4, identity_repository), (RESNET, 2, resnet_repository)
    ):  # fmt: skip
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "models").mkdir()
            make(folder / "models")
            backend = {"kind": "triton", "name": "t", "protocol": "grpc",
                       "server": {"repository": str(folder / "models")}}  # fmt: skip
            once = {"rounds": 1, "rounds_max": 1, "window": f"{seconds}s", "window_max": "1h"}
            path = folder / "one.json"
            path.write_text(json.dumps(scenario(model, [backend], [callers], once)))
            measure(path, output=folder / "run")
            (row,) = read_run(folder / "run").measurements
            done = read_samples(folder / "run" / row.samples).done
            edges = row.window_begin_ns + np.arange(round(seconds / STEP_S) + 1) * 1e9 * STEP_S
            found[model.name] = np.histogram(done, edges)[0].tolist()
    return found


# ------------------------------------------------------------------------------------------- page


def scatter(stream: Stream, seconds: float) -> float:
    """The standard deviation of the log rate in windows of so many seconds."""
    rng = np.random.default_rng(SEED)
    return float(np.std(np.log([stream.window(rng, seconds, 11)[0] for _ in range(2000)])))


def page(runs: int) -> str:
    """The tables."""
    noise: dict[str, list[int]] = json.loads(NOISE.read_text())
    lengths = (0.1, 0.3, 1.0, 2.0, 10.0)
    lines = [
        "", "## What a longer window gains", "",
        "Scatter (standard deviation of the log) of the throughput in windows of a record, by "
        "their length; with 11 requests at least.", "",
        "| record | rate | " + " | ".join(f"{s:g} s" for s in lengths) + " |",
        "|---" * (len(lengths) + 2) + "|",
    ]  # fmt: skip
    for name, counts in noise.items():
        stream = Stream.read(counts)
        lines.append(f"| {name} | {stream.rate:,.0f}/s | " + " | ".join(
            f"{100 * scatter(stream, s):.1f} %" for s in lengths) + " |")  # fmt: skip
    for name, counts in noise.items():
        lines += table(name, counts, runs)
    return "\n".join(lines) + "\n"


def table(name: str, counts: Sequence[int], runs: int) -> list[str]:
    """What the strategies come to over one record."""
    lines = [
        "", f"## Over the record of {name}", "",
        f"{runs} searches a line, of 7 configurations at 4 loads. *Right*: the choice is no more "
        f"than {100 * NEAR:g} % worse than the best. *Wrongly alone*: one is called better than "
        "all others, and is not.", "",
        "| space | window | rounds | at most | method | seconds, median (90 %) | right | "
        "lost, mean | one called best | wrongly alone | tied, median |", "|---" * 11 + "|",
    ]  # fmt: skip
    cells = [(strategy, space) for space in SPACES for strategy in STRATEGIES]
    work = functools.partial(_cell, counts=counts, runs=runs)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        lines += pool.map(work, cells, chunksize=1)
    return lines


def _cell(cell: tuple[Strategy, str], counts: Sequence[int], runs: int) -> str:
    (window, rounds, most, method), space = cell
    found = searches(cell[0], space, counts, runs)
    of = {key: np.array([float(f[key]) for f in found]) for key in found[0]}
    mark = "**" if cell[0][:3] == PROFILE else ""
    seconds, most_s = np.median(of["seconds"]), np.quantile(of["seconds"], 0.9)
    return (
        f"| {space} | {mark}{window}{mark} | {rounds} | {most} | {method} "
        f"| {seconds:.0f} ({most_s:.0f}) | {100 * of['right'].mean():.0f} % | "
        f"{100 * of['lost'].mean():.1f} % | {100 * of['alone'].mean():.0f} % | "
        f"{100 * of['wrong'].mean():.0f} % | {np.median(of['tied']):.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="record the noise again")
    parser.add_argument("--seconds", type=int, default=RECORD_S, help="of each record")
    parser.add_argument("--runs", type=int, default=RUNS, help="searches of each line")
    arguments = parser.parse_args()
    if arguments.record:
        NOISE.write_text(json.dumps(record(arguments.seconds)) + "\n", encoding="utf-8")
    text = page(arguments.runs)
    head = "# How long a search's windows should be\n\n" + (__doc__ or "").partition("\n\n")[2]
    (PAGES / "search-time.md").write_text(f"{head}{text}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
