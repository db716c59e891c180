"""What rows hold is what their types say."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import DATA
from support.synthetic_run import write_run

from harness.results.details import (
    CapacityDetails,
    ColocatedDetails,
    MeasurementDetails,
    TrialDetails,
)
from harness.results.store import read_run
from harness.run.capacity import HOLDS, Trial


@pytest.mark.parametrize("gpu", [False, True])
def test_every_key_of_a_measurement_is_declared(tmp_path: Path, gpu: bool) -> None:
    data = read_run(write_run(tmp_path / "r", gpu=gpu, batch_sizes=(1,), concurrency=(1,)))
    written = {key for row in data.measurements for key in row.details}
    assert written <= set(MeasurementDetails.__annotations__)
    assert ("joules_per_inference" in written) is gpu


def test_of_a_co_located_model_too() -> None:
    (first, *_) = read_run(DATA / "runs" / "version-1").measurements
    assert set(first.details["colocated"]["det"]) <= set(ColocatedDetails.__annotations__)


def test_a_trial_is_written_whole() -> None:
    written = Trial(80.0, 0.99, 80.5, 79.0, None, HOLDS).to_json()
    assert set(written) == set(TrialDetails.__annotations__)
    assert set(CapacityDetails.__annotations__) == {"precision", "trials"}
