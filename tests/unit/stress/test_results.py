"""Answers, thresholds and growth of memory together, in JSON and JUnit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from support.stress import records, run_of, stress

from harness.results.series import Quantity, SeriesKey, TelemetrySeries
from harness.stress.answers import answer
from harness.stress.memory import HARNESS, ProcessMemory
from harness.stress.results import Results, growth, write_results
from harness.stress.store import StressRun
from harness.stress.thresholds import judge

SECTION = stress(
    shape={"soak": {"rate": 1, "duration": "1h"}},
    thresholds={"host_memory_growth_mib_per_hour": {"max": 100}, "error_rate": {"max": 0}},
)


def soak() -> StressRun:
    seconds = np.arange(0, 3600.0)
    t_ns = (5e9 + seconds * 1e9).astype(np.int64)
    rng = np.random.default_rng(0)
    leaking = 500 + seconds / 12 + rng.normal(0, 0.2, len(seconds))
    host = TelemetrySeries(t_ns, leaking * 2**20)
    process = ProcessMemory("tritonserver 7", t_ns, (leaking * 2**20).astype(np.int64))
    short = ProcessMemory("stub 8", t_ns[:90], np.full(90, 2**20))
    calm = rng.normal(100, 0.2, len(seconds)) * 2**20
    ours = ProcessMemory(HARNESS, t_ns, calm.astype(np.int64))
    run = run_of(SECTION, records(seconds, 5.0), 3600.0)
    return replace(run, memory=[process, short, ours],
                   telemetry={SeriesKey(Quantity.HOST_BYTES): host})  # fmt: skip


def test_memory_is_judged_by_process_and_breaks_its_threshold(tmp_path: Path) -> None:
    run = replace(soak(), directory=tmp_path)
    grown = growth(run)
    assert list(grown) == ["host", "tritonserver 7", HARNESS]  # not what ended before
    assert (grown["host"].kind, grown[HARNESS].kind) == ("growing", "steady")
    found = answer(run)
    judged = judge(SECTION.thresholds, found, {"host": grown["host"]})
    results = Results(run, found, grown, judged)
    assert [j.verdict for j in judged] == ["holds", "broken"]
    assert results.exit_code == 1
    assert any(s.startswith("The server's memory leaks") for s in results.sentences())
    as_json, xml = write_results(results)
    told = json.loads(as_json.read_text(encoding="utf-8"))
    assert told["exit_code"] == 1
    assert told["growth"]["host"]["kind"] == "growing"
    assert told["answers"]["requests"] == 3600
    assert ET.parse(xml).getroot().get("failures") == "1"


def test_a_run_that_lost_a_worker_ends_with_4_though_its_users_had_no_schedule() -> None:
    section = stress(shape={"constant": {"users": 4, "duration": "10s"}})
    run = run_of(section, records(np.arange(0, 10, 0.1), 5.0), 10.0, workers=2)
    found = answer(run)
    assert Results(run, found, {}, []).exit_code == 0
    run.outcome.lost.append({"worker": 1, "at": 3.0})
    assert answer(run).lost == 0
    assert Results(run, found, {}, []).exit_code == 4


def test_a_server_that_was_killed_is_judged_from_its_next_life() -> None:
    run = soak()
    run.outcome.faults.append({"kind": "kill", "begin": 10.0, "end": 300.0, "how": "SIGKILL"})
    assert growth(run)["host"].hours * 3600 < 3300


def test_what_decides_is_said_first() -> None:
    run = soak()
    found = answer(run)
    grown = growth(run)
    judged = judge(SECTION.thresholds, found, {"host": grown["host"]})
    results = Results(run, found, grown, judged)
    assert results.sentences()[0] == results.verdict
    assert results.verdict == "Not held: host_memory_growth_mib_per_hour (broken)."
    assert not Results(run, found, grown, []).sentences()[0].startswith(("Not", "Every"))
