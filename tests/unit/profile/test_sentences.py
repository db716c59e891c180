from __future__ import annotations

from dataclasses import replace

import pytest
from support.kineto import Machine
from support.profiled import gpu_profile

from harness.profile import sentences
from harness.profile.result import BackendProfile, Tried

PROFILE = gpu_profile(Machine(launch_us=60.0))
(BACKEND,) = PROFILE.backends
(BATCH,) = BACKEND.batches


def test_what_bounds_it_comes_first_then_what_would_save_most() -> None:
    first, last = sentences.of_profile(PROFILE)
    assert first.startswith("torch-cuda-fp32 at batch 1: Launch-bound: launching and dispatch take")
    best = PROFILE.findings[0]
    assert f"at most {best.saving:.0%} of the time, {best.factor:.3g} times" in last


def test_notes_follow_what_they_are_of_and_what_busy_neighbours_mean_is_said_once() -> None:
    took = "other processes took 1.2 of 2 processors meanwhile"
    noted = replace(BACKEND, batches=[replace(BATCH, notes=[took]), replace(BATCH, notes=[took])])
    first, second, what, last = sentences.of_profile(replace(PROFILE, backends=[noted]))
    assert first.endswith(f" O{took[1:]}.") and second == first
    assert what == sentences.DISTURBED and last.startswith("What could save most")
    quiet = replace(BACKEND, batches=[replace(BATCH, notes=["it compiled"])])
    assert sentences.DISTURBED not in sentences.of_profile(replace(PROFILE, backends=[quiet]))


def test_backends_left_out_for_the_same_reason_are_one_sentence() -> None:
    skipped = {"t": "it is served", "u": "it is served", "v": "no GPU"}
    assert list(sentences.left_out(replace(PROFILE, skipped=skipped))) == [
        "t and u are left out: it is served.", "v is left out: no GPU.",
    ]  # fmt: skip


def test_a_failure_is_said_and_so_is_finding_nothing() -> None:
    failed = BackendProfile("t", {}, failure="no GPU")
    nothing = replace(PROFILE, backends=[BACKEND, failed], findings=())
    assert "t could not be profiled: no GPU" in list(sentences.of_profile(nothing))
    assert list(sentences.of_profile(nothing))[-1].startswith("Nothing was found")
    assert len(list(sentences.of_profile(replace(nothing, backends=[failed])))) == 1


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([90.0, 2.0, 1.05, 1.0], "the first call took 90 ms, 90 times the later ones' median of 1 "
         "ms; within 10 % of that from call 3 on."),
        ([90.0, 2.0, 1.5], "not within 10 % of that in the first 3."),
    ],
)  # fmt: skip
def test_the_first_call_against_the_steady_state(calls: list[float], said: str) -> None:
    batch = replace(BATCH, calls_ms=calls, steady_ms=1.0)
    assert said in sentences.starting(replace(BACKEND, batches=[batch]), batch)
    later = replace(batch, batch=8)
    both = replace(BACKEND, batches=[batch, later])
    assert sentences.NOT_COLD in sentences.starting(both, later)
    assert sentences.starting(both, replace(batch, calls_ms=())) == ""


def test_the_profilers_cost_is_said() -> None:
    batch = replace(BATCH, profiled_ms=1.5, steady_ms=1.0)
    assert "1.5 ms against 1 ms without the profiler (+50%)" in sentences.overhead(BACKEND, batch)
    assert sentences.overhead(BACKEND, replace(batch, steady_ms=0.0)) == ""


def test_a_finding_says_how_to_try_it_or_what_came_of_it() -> None:
    found = PROFILE.findings[0]
    assert sentences.tried_text(found) == "--try 1"
    assert "saved 20%" in sentences.tried_text(replace(found, tried=Tried("r", 0.2)))
