"""The parent's end of the generators."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.ports import free_port
from support.stress import loaded, plan_of

from harness.errors import DeadlineError, ServerError, UsageError
from harness.swarm.generator import Generator, Where, error_of, work_for


def test_errors_keep_their_class() -> None:
    error = error_of({"reason": "usage", "message": "no", "fix": "do"})
    assert (type(error), error.message, error.fix) == (UsageError, "no", "do")
    assert type(error_of({"reason": DeadlineError.reason, "message": "late"})) is DeadlineError


def test_a_worker_of_another_scenario_is_told_so(tmp_path: Path) -> None:
    scenario = loaded(tmp_path)
    address, refused = f"127.0.0.1:{free_port()}", []

    def join() -> None:
        with pytest.raises(UsageError, match="another one than the master's") as info:
            work_for(address, "other", "", tmp_path, tmp_path / "worker.log")
        refused.append(info.value.fix)

    where = Where(1, master=address)
    worker = threading.Thread(target=join)
    with Generator(
        plan_of(scenario), [], where, folder=tmp_path / "out", logs=tmp_path, base=tmp_path
    ) as generator:
        for event in generator.events():
            if event.get("event") == "listening":
                worker.start()
            if event.get("event") == "refused":
                assert "another one" in event["why"]
                break
        worker.join(60)
    assert refused == ["use the same harness and the same scenario file"]


def test_a_master_whose_workers_stay_away_says_how_many_there_are(tmp_path: Path) -> None:
    where = Where(2, master=f"127.0.0.1:{free_port()}", join_s=0.1)
    with (
        Generator(
            plan_of(loaded(tmp_path), 2), [], where,
            folder=tmp_path / "out", logs=tmp_path, base=tmp_path,
        ) as generator,
        pytest.raises(ServerError, match="0 of 2 workers joined"),
    ):  # fmt: skip
        list(generator.events())
