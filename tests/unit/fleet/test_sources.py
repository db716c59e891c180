"""What is merged: where it was measured, and how it differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shards import H100, manifest, write_shard

from harness.errors import RunDirectoryError
from harness.fleet.sources import mixed, place_of, read_sources, spans


@given(st.sets(st.integers(0, 40)))
def test_spans_are_how_the_kernel_writes_processors(numbers: set[int]) -> None:
    read = set()
    for part in filter(None, spans(sorted(numbers)).split(",")):
        first, _, last = part.partition("-")
        read |= set(range(int(first), int(last or first) + 1))
    assert read == numbers


def test_a_place_is_a_gpu_or_else_processors() -> None:
    card = place_of(manifest(gpu=1))
    assert (card.key, card.name) == (("GPU-bench-1-1",), "GPU 1 of bench-1")
    assert card.kind == f"{H100}, driver 570.86"
    assert place_of(manifest(gpu=2)).key != card.key
    assert place_of(manifest(0, 2)).name == "bench-1"
    some = place_of(manifest(1, 2, cpus=(2, 3)))
    assert (some.name, some.kind) == ("CPU 2-3 of bench-1", "EPYC, 2 threads")


@pytest.mark.parametrize(("spec", "name"), [
    ({"device": None, "provider": "CPUExecutionProvider"}, "bench-1"), ({}, "bench-1"),
    ({"device": None, "provider": "CUDAExecutionProvider"}, "GPU 2 of bench-1"),
    ({"device": "cpu"}, "bench-1"), ({"device": "cuda"}, "GPU 2 of bench-1"),
])  # fmt: skip
def test_a_backend_on_the_cpu_of_a_machine_with_a_gpu(spec: dict[str, str], name: str) -> None:
    written = manifest(gpu=2)
    written["scenario"]["backends"] = [{"kind": "onnxruntime", "name": "a", **spec}]
    assert place_of(written).name == name


def test_the_gpu_is_the_one_that_the_backend_names() -> None:
    written = manifest(gpu=0)
    other = {**written["machine"]["gpus"][0], "index": 5, "ordinal": 1, "uuid": "GPU-x"}
    written["machine"]["gpus"].append(other)
    written["scenario"]["backends"][0]["device"] = "cuda:1"
    assert place_of(written).name == "GPU 5 of bench-1"


def test_lanes_stand_for_their_run_and_nothing_counts_twice(tmp_path: Path) -> None:
    for k in (1, 0):
        write_shard(tmp_path / "run/lanes" / str(k), [k], manifest(k, 2, gpu=k))
    found = read_sources([tmp_path / "run"])
    assert [s.shard.index for s in found] == [0, 1]
    with pytest.raises(RunDirectoryError, match="named twice"):
        read_sources([tmp_path / "run", tmp_path / "run/lanes/0"])
    write_shard(tmp_path / "merged", [0], {**manifest(), "shards": []})
    with pytest.raises(RunDirectoryError, match="made of several run directories already"):
        read_sources([tmp_path / "merged"])
    write_shard(tmp_path / "stress", [0], {**manifest(), "kind": "stress"})
    with pytest.raises(RunDirectoryError, match="no run of `harness run`, but of stress"):
        read_sources([tmp_path / "stress"])


def test_a_lane_was_measured_by_the_command_that_was_typed(tmp_path: Path) -> None:
    own = ["harness", "run", "s.yaml", "--shard", "0/2", "--output", "run/lanes/0"]
    lane = write_shard(tmp_path / "run/lanes/0", [0], manifest(0, 2, gpu=0, command=own))
    assert read_sources([tmp_path / "run"])[0].command == tuple(own)  # the lane's folder alone
    whole = ["harness", "run", "s.yaml", "--devices", "all"]
    write_shard(tmp_path / "whole", [0], manifest(gpu=0, command=whole))
    lane.parent.rename(tmp_path / "whole" / "lanes")
    assert [s.command for s in read_sources([tmp_path / "whole"])] == [tuple(whole)]


def test_a_gpu_has_one_name_and_two_that_are_called_alike_are_two(tmp_path: Path) -> None:
    """Each container has a hostname of its own, and hosts may be called alike."""
    for k, (host, uuid) in enumerate((("pod-a", "U1"), ("pod-b", "U1"), ("pod-a", "U2"))):
        written = manifest(k, 3, gpu=0, host=host)
        written["machine"]["gpus"][0]["uuid"] = uuid
        write_shard(tmp_path / str(k), [k], written)
    found = read_sources([tmp_path / str(k) for k in range(3)])
    assert [s.place.name for s in found] == ["GPU 0 of pod-a"] * 2 + ["GPU 0 of pod-a (U2)"]


@pytest.mark.parametrize(("change", "words"), [
    ({"harness_version": "0.2.0"}, "harness_version was '0.1.0', is '0.2.0'"),
    ({"packages": {"torch": "2.14.0"}}, "packages.torch was '2.13.0', is '2.14.0'"),
    ({"kind": "NVIDIA A100"}, f"kind was '{H100}, driver 570.86', is 'NVIDIA A100, driver"),
    ({"index": 1, "count": 3}, "shards was 2, is 3"),
])  # fmt: skip
def test_what_differs_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    write_shard(tmp_path / "a", [0], manifest(0, 2, gpu=0))
    write_shard(tmp_path / "b", [2], manifest(**{"index": 1, "count": 2, "gpu": 1, **change}))
    (said,) = mixed(read_sources([tmp_path / "a", tmp_path / "b"]))
    assert words in said
    assert str(tmp_path) not in said


def test_other_rounds_are_another_scenario(tmp_path: Path) -> None:
    other = manifest(1, 2, gpu=1)
    other["scenario"]["measurement"]["rounds"] = 6
    write_shard(tmp_path / "a", [0], manifest(0, 2, gpu=0))
    write_shard(tmp_path / "b", [2], other)
    (said,) = mixed(read_sources([tmp_path / "a", tmp_path / "b"]))
    assert "scenario.measurement.rounds was 4, is 6" in said


def test_a_mig_device_is_a_place_of_its_own() -> None:
    written = manifest(0, 2, gpu=0)
    written["shard"]["visible"] = "MIG-1"
    place = place_of(written)
    assert (place.key, place.name) == (("MIG-1",), "MIG device MIG-1 of bench-1")
    assert place.kind == "MIG device, driver 570.86"
