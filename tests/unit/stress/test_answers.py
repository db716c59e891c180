"""The answers and their sentences, on requests that are made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.stress import records, run_of, stress

from harness.results.rows import ParityRow
from harness.stress.answers import answer, sentences
from harness.swarm.shapes import part, schedule

SPIKE = {"spike": {"base": 20, "peak": 200, "at": "10s", "for": "5s", "duration": "40s"}}


def test_a_spike_and_a_kill_have_their_recoveries() -> None:
    section = stress(shape=SPIKE, arrivals="constant")
    due = schedule(section, 0) / 1e9
    latency = np.where((due > 12) & (due < 18), 400.0, 5.0)
    merged = records(due, latency, ~((due > 25) & (due < 27)))
    run = run_of(section, merged, 40.0, faults=[{"kind": "kill", "begin": 25.0, "end": 27.0}])
    found = answer(run)
    spike, kill = found.recoveries
    assert (spike.after, kill.after) == ("spike", "kill")
    assert spike.seconds is not None
    assert abs(spike.seconds - 3.0) < 0.2
    assert kill.seconds is not None
    assert abs(kill.seconds - 2.0) < 0.2
    text = " ".join(sentences(run, found))
    assert "After the end of the spike (15.0 s) it took 3.0 s" in text
    assert "“broken”, between 25.1 s" in text
    assert found.flags == []
    (kind,) = found.errors
    once = replace(found, errors=[replace(kind, last=kind.first)])
    assert "“broken”, at 25.1 s." in " ".join(sentences(run, once))


def test_a_ramp_says_where_it_saturates() -> None:
    section = stress(shape={"ramp": {"end": 100, "duration": "100s"}}, arrivals="constant")
    due = schedule(section, 0) / 1e9
    served = np.maximum.accumulate(np.maximum(due, np.arange(len(due)) / 60 + due[0]))
    for i in range(1, len(due)):  # a server of 50 a second
        served[i] = max(due[i], served[i - 1] + 0.02)
    found = answer(run_of(section, records(due, (served - due) * 1e3), 100.0))
    assert found.saturation is not None
    assert found.saturation.level is not None
    assert 47 < found.saturation.level < 60
    assert abs(found.saturation.goodput - 50) < 3
    assert "saturates at about" in " ".join(sentences(run_of(
        section, records(due, (served - due) * 1e3), 100.0), found))  # fmt: skip


def test_the_part_of_a_lost_worker_is_lost_load_and_no_error() -> None:
    section = stress(arrivals="constant")
    due = schedule(section, 0) / 1e9
    kept = np.sort(np.concatenate([part(due, 0, 2), part(due, 1, 2)[:10]]))
    merged = records(kept, 5.0)
    callers = np.isin(kept, part(due, 1, 2)).astype(np.uint16)
    merged.samples.caller[:] = callers
    run = run_of(section, merged, 10.0, workers=2, lost=[{"worker": 1, "at": 2.0}])
    found = answer(run)
    assert found.lost == len(part(due, 1, 2)) - 10
    assert found.error_rate == 0.0
    assert "worker 1 was lost" in found.flags[0]


def test_a_late_client_is_said_to_be_late() -> None:
    section = stress(arrivals="constant")
    merged = records(schedule(section, 0) / 1e9, 30.0)
    merged.samples.sent[:] += 20_000_000
    assert "the client was late" in answer(run_of(section, merged, 10.0)).flags[0]


def test_a_run_without_an_answer_says_so() -> None:
    section = stress()
    found = answer(run_of(section, records([1, 2], 5.0, False), 10.0))
    assert "not one request was answered" in found.flags
    assert found.error_rate == 1.0
    empty = run_of(section, records([], 5.0), 0.0)
    assert sentences(empty, answer(empty))


def test_outputs_that_disagree_are_said_first() -> None:
    bad = ParityRow("a", 1, "disagrees", "torch", message="batch 1: output: 7 of 10 values")
    run = run_of(stress(), records(np.arange(0, 10, 0.1), 5.0), 10.0, parity=[bad])
    assert "7 of 10 values" in answer(run).flags[0]
