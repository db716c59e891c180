"""Findings tried: what is measured, and what is said of it beside the bound."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.compared import write_blocks
from support.kineto import Machine
from support.profiled import gpu_profile

from harness.errors import UsageError
from harness.profile import store, trying
from harness.profile.result import Finding, Tried
from harness.results.store import read_run


def finding(**changes: object) -> Finding:
    known = {"number": 1, "backend": "old", "batch": 1, "change": "compile", "title": "compiled",
             "saving": 0.3, "derivation": "", "line": "", "settings": {"name": "new"}}  # fmt: skip
    return Finding(**{**known, **changes})  # type: ignore[arg-type]


def test_findings_are_chosen_by_number_or_all() -> None:
    profile = gpu_profile(Machine(launch_us=60.0))
    assert [f.number for f in trying.chosen(profile, "2, 1")] == [2, 1]
    assert trying.chosen(profile, "all") == list(profile.findings)
    for wrong in ("99", "x", ","):
        with pytest.raises(UsageError, match=f"--try {wrong}"):
            trying.chosen(profile, wrong)


def test_a_change_of_the_load_is_measured_for_real(profiled: Path, tmp_path: Path) -> None:
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    profile = store.read_profile(here)
    batch = next(f for f in profile.findings if f.change == "batch")
    overrides = [f"measurement.{k}={v}" for k, v in (
        ("rounds", 1), ("rounds_max", 1), ("window", "100ms"), ("warmup", "50ms"),
    )]  # fmt: skip
    found = trying.try_findings(here, [batch], overrides, lambda: nullcontext(id))
    tried = next(f.tried for f in found.findings if f.number == batch.number)
    assert tried is not None
    assert store.read_profile(here).findings[batch.number - 1].tried == tried
    run = read_run(here / tried.run)
    assert {m.point for m in run.measurements} == {
        f"torch-cpu-fp32/b{n}/c1" for n in (batch.batch, batch.to_batch)
    }  # fmt: skip
    assert len(run.measurements) == 2
    assert tried.why or tried.saving is not None


def test_a_changed_backend_stands_beside_the_old_one(profiled: Path) -> None:
    loaded, profile = store.loaded_of(profiled), store.read_profile(profiled)
    settings = {"kind": "torch", "channels_last": True, "name": "new"}
    change = finding(backend="torch-cpu-fp32", batch=64, settings=settings)
    found = trying.scenario_of(loaded, profile, change, ["measurement.window=3s"]).scenario
    assert [b.name for b in found.backends] == ["torch-cpu-fp32", "new"]
    assert (found.load.batch_sizes, found.load.concurrency) == ((64,), (1,))
    assert (found.measurement.window, found.measurement.rounds) == (3.0, 6)
    more = trying.scenario_of(loaded, profile, change, ["measurement.rounds=10"]).scenario
    assert (more.measurement.rounds, more.measurement.rounds_max) == (10, 10)


def test_the_saving_is_the_share_of_the_time_with_its_interval(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "run", {"old": 0.0, "new": -0.2}, noise=0.005))
    tried = trying.judge(data, finding(), "tries/1")
    assert tried.saving == pytest.approx(0.2, abs=0.02)
    assert tried.low is not None
    assert tried.high is not None
    assert tried.low < 0.2 < tried.high
    assert (tried.rounds, tried.run) == (6, "tries/1")


def test_a_side_that_failed_says_why(tmp_path: Path) -> None:
    run = write_blocks(tmp_path / "run", {"old": 0.0, "new": 0.0}, failed={"new": "out_of_memory"})
    tried = trying.judge(read_run(run), finding(), "r")
    assert (tried.saving, tried.why.startswith("after the change")) == (None, True)
    other = trying.judge(read_run(run), finding(backend="nobody"), "r")
    assert other.why == "before the change nothing was measured"


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (None, ""), (Tried("r", None, why="it failed"), "could not be judged: it failed"),
        (Tried("r", 0.2), "saved 20%, without an interval"),
        (Tried("r", 0.2, 0.1, 0.29), "saved 20.0% [10.0%, 29.0%], within the bound"),
        (Tried("r", 0.4, 0.35, 0.45), "more than the bound"),
        (Tried("r", 0.1, -0.1, 0.3), "nothing that can be told from noise"),
        (Tried("r", -0.2, -0.3, -0.1), "it costs time here"),
    ],
)  # fmt: skip
def test_what_was_measured_stands_beside_what_was_predicted(tried: Tried | None, said: str) -> None:
    text = trying.words(finding(tried=tried))
    assert said in text
    assert bool(said) == bool(text)


def test_a_try_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    assert trying._new(tmp_path, "1-x") == tmp_path / "1-x"
    (tmp_path / "1-x").mkdir()
    assert trying._new(tmp_path, "1-x") == tmp_path / "1-x-2"
