"""The sampler's schedule and its commands, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.results.series import Quantity, SeriesKey, read
from harness.telemetry.sampler import Sampler, _answer

HOST = {
    SeriesKey(q)
    for q in (
        Quantity.HOST_BYTES, Quantity.TREE_CPU_S, Quantity.RUN_CPU_S, Quantity.MACHINE_CPU_S,
        Quantity.SAMPLER_CPU_S,
    )
}  # fmt: skip


def test_a_tick_reads_what_is_due_and_says_when_the_next_is(tmp_path: Path) -> None:
    with (tmp_path / "raw").open("wb") as file:
        sampler = Sampler(file, os.getpid())
        sampler.watch([os.getpid()], itself=True)
        assert 0 <= sampler.tick() <= 0.05
        names = sampler.flush()
        series = read(tmp_path / "raw", names)
        assert set(series) == HOST
        assert series[SeriesKey(Quantity.HOST_BYTES)].value[0] > 2**20
        assert sampler.flush() == names  # an index stays that of its name
        assert (tmp_path / "raw").stat().st_size == 18 * len(names)


def test_without_a_tree_only_the_machine_is_read(tmp_path: Path) -> None:
    with (tmp_path / "raw").open("wb") as file:
        sampler = Sampler(file, os.getpid())
        sampler.tick()
        assert set(map(SeriesKey.parse, sampler.flush())) == HOST - {
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
        assert before == 3
        assert len(times) == (2 if keep else 1)
