"""What a run says of one of its backends."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.compared import write_blocks

from harness.compare.side import both, builds_of, choose, conditions_of, side_of
from harness.errors import UsageError
from harness.results.store import read_run

SPECS = [
    {"name": "a", "environment": "old"}, {"name": "b", "environment": "new"},
    {"name": "c", "environment": "new"},
]  # fmt: skip
LOCK = {"version": "3.11.9", "python": "/x", "packages": {"onnxruntime": {"version": "1.22.1"}}}


def test_values_are_by_round_and_place(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.0}, rounds=3))
    side = side_of(data, "a")
    assert side.name == "a"
    assert list(side.points) == ["b1/c1"]
    values = side.points["b1/c1"].values
    assert {"throughput", "p50", "p99", "load_seconds", "first_call_ms", "bytes_on_disk"} <= set(
        values
    )
    assert list(values["p50"]) == [0, 1, 2]
    assert values["p50"][0] == pytest.approx(4, rel=0.02)
    assert side.minutes_per_round == pytest.approx(1)
    assert side_of(data, None).points.keys() == {"a/b1/c1", "b/b1/c1"}


def test_rounds_that_were_disturbed_are_no_replicates_unless_all_were(tmp_path: Path) -> None:
    busy = {"flags": ("foreign_load",)}
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0}, rounds=3, changes=busy))
    assert side_of(data, "a").points["b1/c1"].disturbed == 3


def test_memory_of_the_session_that_compared_outputs_is_left_out(tmp_path: Path) -> None:
    taken = {"gpu_memory_mib": 800.0, "host_memory_mib": 500.0}
    for rounds, counted in ((3, [1, 2]), (1, [0])):
        path = write_blocks(tmp_path / f"r{rounds}", {"a": 0.0}, rounds=rounds, changes=taken)
        values = side_of(read_run(path), "a").points["b1/c1"].values
        assert all(list(values[key]) == counted for key in taken)
        assert list(values["p50"]) == list(range(rounds))


def test_versions_are_those_of_its_environment(tmp_path: Path) -> None:
    path = write_blocks(
        tmp_path / "r", {"a": 0.0, "b": 0.0}, settings={"a": {"environment": "old"}},
        manifest={"environments": {"old": LOCK}},
    )  # fmt: skip
    data = read_run(path)
    assert side_of(data, "a").versions == {"onnxruntime": "1.22.1", "python": "3.11.9"}
    assert side_of(data, "b").versions == {"numpy": "2.0", "python": "3.11.7"}


@pytest.mark.parametrize(("turn", "there"), [(None, False), ("100ms", True)])
def test_turns_are_a_condition_where_they_were_taken(turn: str | None, there: bool) -> None:
    """A run of an earlier version has no word of them, and is comparable with one without."""
    found = conditions_of({"measurement": {"window": "1s", "interleave": turn}})
    assert found["measurement"] == {"window": "1s", **({"interleave": turn} if there else {})}


def test_conditions_leave_out_how_often_is_measured() -> None:
    found = conditions_of({"model": 1, "measurement": {"window": "1s", "rounds": 3, "seed": 0}})
    assert found == {"model": 1, "load": None, "measurement": {"window": "1s"}}


@pytest.mark.parametrize(("built", "builds"), [(True, 4), (False, 1), (None, 0)])
def test_builds(built: bool | None, builds: int, tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0}, rounds=4, builds=built))
    assert builds_of(data.loads) == builds


def test_a_backend_is_chosen_by_its_name_or_its_environments() -> None:
    assert choose(SPECS, "b", "--base") == "b"
    assert choose(SPECS, "old", "--base") == "a"
    with pytest.raises(UsageError, match="--base new is the environment of several") as caught:
        choose(SPECS, "new", "--base")
    assert caught.value.fix == "give one of their names: b, c"
    with pytest.raises(UsageError, match="no backend and no environment here"):
        choose(SPECS, "x", "--base")


def test_of_two_backends_the_first_is_the_base() -> None:
    assert both(SPECS[:2], None, None) == ("a", "b")
    assert both(SPECS, "c", "old") == ("c", "a")
    for names in ((None, None), ("a", None)):
        with pytest.raises(UsageError, match="--base and --candidate say which"):
            both(SPECS, *names)
    with pytest.raises(UsageError, match="are both a"):
        both(SPECS, "a", "old")
