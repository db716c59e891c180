"""The sampler's schedule and its commands, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.watched import start_hog

from harness.results.series import Quantity, SeriesKey, read
from harness.telemetry.sampler import Sampler, _answer

HOST = {
    SeriesKey(q)
    for q in (
        Quantity.HOST_BYTES, Quantity.TREE_CPU_S, Quantity.RUN_CPU_S, Quantity.MACHINE_CPU_S,
        Quantity.SAMPLER_CPU_S, Quantity.MACHINE_STEAL_S, Quantity.MACHINE_CPUS,
    )
}  # fmt: skip
"""What is read on every machine; the clock of the CPUs and control groups are not everywhere."""
SOMETIMES = {
    SeriesKey(q)
    for q in (
        Quantity.CPU_MHZ, Quantity.GROUP_CPU_S, Quantity.GROUP_CPUS, Quantity.GROUP_PERIODS,
        Quantity.GROUP_THROTTLED,
    )
}  # fmt: skip


def test_a_tick_reads_what_is_due_and_says_when_the_next_is(tmp_path: Path) -> None:
    with (tmp_path / "raw").open("wb") as file:
        sampler = Sampler(file, os.getpid())
        sampler.watch([os.getpid()], itself=True)
        assert 0 <= sampler.tick() <= 0.05
        names = sampler.flush()
        series = read(tmp_path / "raw", names)
        assert set(series) - SOMETIMES == HOST
        assert series[SeriesKey(Quantity.HOST_BYTES)].value[0] > 2**20
        assert sampler.flush() == names  # an index stays that of its name
        assert (tmp_path / "raw").stat().st_size == 18 * len(names)


def test_without_a_tree_only_the_machine_is_read(tmp_path: Path) -> None:
    with (tmp_path / "raw").open("wb") as file:
        sampler = Sampler(file, os.getpid())
        sampler.tick()
        assert set(map(SeriesKey.parse, sampler.flush())) - SOMETIMES == HOST - {
            SeriesKey(Quantity.HOST_BYTES), SeriesKey(Quantity.TREE_CPU_S),
        }  # fmt: skip


@pytest.mark.parametrize("keep", [False, True])
def test_watching_drops_what_was_not_written_unless_it_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: bool
) -> None:
    with (tmp_path / "raw").open("wb") as file:
        sampler = Sampler(file, os.getpid())
        sampler.tick()
        before = len(sampler._records)
        _answer(sampler, {"watch": [os.getpid()], "gpu": None, "itself": True, "keep": keep})
        names = json.loads(capsys.readouterr().out)["series"]
        times = read(tmp_path / "raw", names)[SeriesKey(Quantity.MACHINE_CPU_S)].t_ns
        assert before >= 5
        assert len(times) == (2 if keep else 1)


def test_hours_of_readings_are_on_disk_and_not_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.telemetry.sampler.MOST_KEPT", 20)
    with (tmp_path / "raw").open("ab") as file:
        sampler = Sampler(file, os.getpid())
        for _ in range(30):
            sampler._next = dict.fromkeys(sampler._next, 0.0)
            sampler.tick()
            assert len(sampler._records) < 40
        found = read(tmp_path / "raw", sampler.flush())[SeriesKey(Quantity.MACHINE_CPU_S)]
        assert len(found.t_ns) == 30
        assert sorted(found.t_ns) == found.t_ns.tolist()
        sampler.forget()  # also what is on disk
        sampler.tick()
        found = read(tmp_path / "raw", sampler.flush())[SeriesKey(Quantity.MACHINE_CPU_S)]
        assert len(found.t_ns) == 1


def test_a_watched_server_that_is_not_ours_is_no_foreign_load(tmp_path: Path) -> None:
    """Its processor time counts to the run, once: also where it is below the owner."""
    hog = start_hog()
    with (tmp_path / "raw").open("wb") as file:
        sampler = Sampler(file, 2**22 + 1)  # an owner without processes
        sampler.watch([hog.pid], itself=True)
        sampler.tick()
        series = read(tmp_path / "raw", sampler.flush())
        run, tree = (series[SeriesKey(q)].value for q in (Quantity.RUN_CPU_S, Quantity.TREE_CPU_S))
        assert run[-1] == tree[-1] > 0
        own = Sampler(file, hog.pid)
        own.watch([hog.pid], itself=True)
        own._records.clear()
        readings = dict(own._host())
        ours = readings[SeriesKey(Quantity.RUN_CPU_S)]
        assert ours < 1.5 * readings[SeriesKey(Quantity.TREE_CPU_S)]
    hog.kill()
