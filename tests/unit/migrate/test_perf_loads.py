"""What loads, thresholds and windows become, in the scenario as it is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.migrate.perf_analyzer import translate
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario


def made(directory: Path, *argv: str) -> Scenario:
    draft = translate(["-m", "net", *argv], directory)
    assert draft.problems == []
    for name, text in draft.files.items():
        (directory / name).write_text(text)
    return load_text(draft.text(), "made.yaml", directory)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "callers"),
    [
        (["--concurrency-range", "4"], (4,)),
        (["--concurrency-range", "1:7:3"], (1, 4, 7)),
        (["--concurrency-range", "4:0", "-l", "9"], (4, 8, 16, 32, 64, 128, 256)),
        (["--concurrency-range", "3:20:1", "--binary-search", "-l", "9"], (3, 4, 8, 16, 20)),
        (["-t", "3"], (3,)),
        (["-d", "-t", "2", "-c", "4", "-l", "9"], (2, 3, 4)),
    ],
)
def test_closed_loops(here: Path, argv: list[str], callers: tuple[int, ...]) -> None:
    assert made(here, *argv).load.concurrency == callers


def test_rates_are_constant_unless_said(here: Path) -> None:
    load = made(here, "--request-rate-range", "10:30:10").load
    assert (load.request_rate, load.arrivals, load.concurrency) == ((10, 20, 30), "constant", None)
    poisson = made(here, "--request-rate-range=2.5", "--request-distribution", "poisson").load
    assert (poisson.request_rate, poisson.arrivals) == ((2.5,), "poisson")


def test_a_binary_search_over_rates_is_a_capacity_search(here: Path) -> None:
    scenario = made(
        here, "--request-rate-range", "10:90:1", "--binary-search", "-l", "5", "--percentile", "99"
    )
    capacity = scenario.load.find_capacity
    assert capacity is not None
    assert (capacity.target, capacity.max_rate) == (("p99", 5), 90)
    assert scenario.constraints.items() == []


@pytest.mark.parametrize(
    ("percentile", "metric"),
    [("-1", "latency_p50_ms"), ("85", "latency_p90_ms"), ("95", "latency_p95_ms")],
)
def test_a_threshold_is_a_constraint(here: Path, percentile: str, metric: str) -> None:
    scenario = made(here, "--percentile", percentile, "--latency-threshold=20")
    ((name, bound),) = scenario.constraints.items()
    assert (name, bound.max) == (metric, 20)


def test_intervals_become_a_trace(here: Path) -> None:
    (here / "gaps").write_text("1000\n500\n")
    load = made(here, "--request-intervals", "gaps").load
    assert load.concurrency is None
    assert load.trace is not None
    lines = Path(load.trace).read_text().splitlines()
    assert lines[1:] == ["0.001000", "0.001500"]


def test_a_pipe_of_intervals_is_not_waited_for(here: Path) -> None:
    os.mkfifo(here / "gaps")
    draft = translate(["-m", "net", "--request-intervals", "gaps"], here)
    assert "gaps is a named pipe, not a regular file" in draft.problems[0].message


def test_windows_and_rounds(here: Path) -> None:
    found = made(
        here, "-p", "90000", "-s", "5", "-r", "3", "--warmup-request-count", "7"
    ).measurement
    assert (found.window, found.window_max, found.rounds, found.rounds_max) == (90, 90, 3, 3)
    assert (found.targets.throughput, found.warmup_requests) == (0.05, 7)
    counted = ("--measurement-mode", "count_windows", "--measurement-request-count", "99")
    assert made(here, *counted, "-p", "1").measurement.window_requests == 99
    assert made(here, *counted, "-p", "1").measurement.window == 10
    assert made(here, "--request-count=8").measurement.window_requests == 8
