"""What rows hold is what their types say."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest
from pydantic import ValidationError
from support import simulated_queue
from support.paths import DATA
from support.synthetic_run import write_run

from harness.results.details import (
    CLIENT,
    PHASES,
    TRACED,
    CapacityDetails,
    ColocatedDetails,
    MeasurementDetails,
    ServerTimes,
    TrialDetails,
    unpacked,
)
from harness.results.line import adapter
from harness.results.store import read_run
from harness.run.capacity import LatencyTarget
from harness.scenario.points import Point


@pytest.mark.parametrize("gpu", [False, True])
def test_every_key_of_a_measurement_is_declared(tmp_path: Path, gpu: bool) -> None:
    data = read_run(write_run(tmp_path / "r", gpu=gpu, batch_sizes=(1,), concurrency=(1,)))
    written = {key for row in data.measurements for key in row.details}
    assert written <= set(MeasurementDetails.__annotations__)
    assert ("joules_per_inference" in written) is gpu


def test_of_a_co_located_model_too() -> None:
    (first, *_) = read_run(DATA / "runs" / "colocated").measurements
    assert set(first.details["colocated"]["det"]) <= set(ColocatedDetails.__annotations__)


def test_a_trial_is_written_whole() -> None:
    queue = simulated_queue.measure(
        Point("fake", "default", 2, request_rate=100.0), 0, 4.0, 2.0, seed=1
    )
    written = LatencyTarget("p99", 50.0, 0.05).judge(*queue)
    assert set(written) == set(TrialDetails.__annotations__)
    assert set(CapacityDetails.__annotations__) == {"max_rate", "precision", "trials"}


def _packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw)).decode()


@pytest.mark.parametrize(("counts", "words"), [
    ("!", "base64"), (base64.b64encode(b"x").decode(), "not all of them"),
    (_packed(bytes(12))[:-8], "not all|base64|padding"), (_packed(bytes(3)), "multiple"),
    (_packed(bytes(12)), "reshape"), (_packed(b""), "whole numbers"),
    (_packed(b"\xff" * 8), "whole numbers"), (_packed(bytes(2**28)), "more counts than bins"),
])  # fmt: skip
def test_counts_of_a_damaged_line_are_a_mistake_in_it(counts: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unpacked(counts, 2)
    found = {"first": 1, "counts": counts, "failed": [0, 0], "episodes": {}}
    with pytest.raises(ValidationError, match="latency_counts"):
        adapter(MeasurementDetails).validate_python({"latency_counts": found})


def test_counts_are_unpacked_by_stretch_and_bin() -> None:
    assert unpacked(_packed(bytes([1, 0, 0, 0, 2, 0, 0, 0])), 2).tolist() == [[1], [2]]


def test_gpu_times_are_whole_or_a_mistake() -> None:
    times = {"h2d_us": 1.0, "compute_us": 2.0, "d2h_us": 1.0, "enqueue_us": 1.0, "count": 5}
    adapter(MeasurementDetails).validate_python({"gpu_time": times})
    for lacking in times:
        rest = {name: value for name, value in times.items() if name != lacking}
        with pytest.raises(ValidationError, match=f"gpu_time.{lacking}"):
            adapter(MeasurementDetails).validate_python({"gpu_time": rest})


def test_parts_of_a_path_come_together_or_are_a_mistake() -> None:
    whole = dict.fromkeys((*CLIENT, *TRACED, "traced", "latency"), 1.0)
    check = adapter(MeasurementDetails).validate_python
    for good in ({}, whole, dict.fromkeys(CLIENT, 1.0)):
        check({"path": good})
    for lacking in whole:
        rest = {name: value for name, value in whole.items() if name != lacking}
        with pytest.raises(ValidationError, match=f"{lacking} missing beside the others"):
            check({"path": rest})


def test_a_row_has_all_of_the_servers_times_or_none() -> None:
    times = dict.fromkeys(PHASES, 1.0)
    for lacking in PHASES:
        rest = {name: value for name, value in times.items() if name != lacking}
        with pytest.raises(ValidationError, match=f"{lacking} missing"):
            adapter(ServerTimes).validate_python(rest)
    assert adapter(ServerTimes).validate_python(times) == times
