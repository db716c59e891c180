"""Master and workers as real processes: who may join, and what becomes of one that dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from support.stress import loaded, plan_of, unpatched

from harness.swarm.generator import Generator, Where
from harness.swarm.progress import read_records


def test_a_worker_of_another_version_or_scenario_is_refused(tmp_path: Path) -> None:
    plan, refusal = plan_of(loaded(tmp_path)), unpatched("harness.swarm.joining").refusal
    assert refusal(plan, plan.version, plan.scenario_hash) == ""
    assert "runs harness 0" in refusal(plan, "0", plan.scenario_hash)
    assert "another one" in refusal(replace(plan, scenario_hash="x"), plan.version, "y")


Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Events]]:
    """Three workers, of which one is killed once load is made."""
    home = tmp_path_factory.mktemp("crew")
    plan, events = plan_of(loaded(home, "7s"), workers=3), []
    with Generator(plan, [], Where(3), folder=home / "out", logs=home, base=home) as generator:
        for event in generator.events():
            if not event:
                continue
            events.append(event)
            if event["event"] == "progress" and event["requests"] and not (home / "x").exists():
                (victim,) = [e for e in events if e.get("worker") == 1]
                guards = generator.pids().values()
                ours = {c.pid for g in guards for c in psutil.Process(g).children(recursive=True)}
                assert victim["pid"] in ours
                os.kill(victim["pid"], signal.SIGKILL)
                (home / "x").touch()
        yield home, events


@pytest.mark.slow
def test_all_join_on_one_clock(crew: tuple[Path, Events]) -> None:
    joined = [e for e in crew[1] if e["event"] == "joined"]
    assert sorted(e["worker"] for e in joined) == [0, 1, 2]
    assert all(0 <= e["clock_error_ns"] < 1e9 for e in joined)


@pytest.mark.slow
def test_the_one_that_died_is_noticed_and_what_it_reported_is_kept(
    crew: tuple[Path, Events],
) -> None:
    home, events = crew
    lost = [e for e in events if e["event"] == "worker_lost"]
    assert [e["worker"] for e in lost] == [1]
    records = read_records(home / "out")
    assert sorted(records) == [0, 1, 2]
    assert all(len(data) for data, _ in records.values())


@pytest.mark.slow
def test_the_others_go_on_to_the_end(crew: tuple[Path, Events]) -> None:
    home, events = crew
    assert events[-1]["event"] == "done"
    from harness.swarm.recorder import merge

    samples = merge(read_records(home / "out")).samples
    lost_ns = next(e["at_ns"] for e in events if e["event"] == "worker_lost")
    after = samples.caller[samples.sent > lost_ns]
    assert set(after.tolist()) == {0, 2}


class Wires:
    """A runner that keeps what is sent."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}
        self.sent: list[tuple[str, dict[str, Any], str]] = []
        listeners = SimpleNamespace(add_listener=lambda _: None)
        self.environment = SimpleNamespace(events=SimpleNamespace(worker_report=listeners))

    def register_message(self, name: str, listener: Any) -> None:
        self.heard[name] = listener

    def send_message(self, name: str, data: dict[str, Any], node: str) -> None:
        self.sent.append((name, data, node))


def test_a_worker_that_comes_for_one_that_failed_has_its_number_and_its_arrivals(
    tmp_path: Path,
) -> None:
    plan, wires, said = plan_of(loaded(tmp_path), workers=2), Wires(), []
    joining = unpatched("harness.swarm.joining")
    crew = joining.Crew(wires, plan, b"", None, lambda kind, **_: said.append(kind))

    def hear(name: str, node: str, **data: object) -> None:
        facts = {"version": plan.version, "hash": plan.scenario_hash, "host": node, "pid": 1,
                 "clock_error_ns": 0, **data}  # fmt: skip
        wires.heard[f"harness_{name}"](SimpleNamespace(node_id=node, data=facts))

    for node in ("a", "b"):
        hear("join", node)
    hear("ready", "a", error="no such package")
    hear("join", "c")
    crew.go(5, np.arange(6))
    sent = {node: data for name, data, node in wires.sent if name == "harness_go"}
    assert {n: np.frombuffer(d["due"], np.int64).tolist() for n, d in sent.items()} == {
        "b": [1, 3, 5], "c": [0, 2, 4],
    }  # fmt: skip
