from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.shared import scenario, slow_down, write_shared

from harness.results.rows import MeasurementRow
from harness.tenants.predicted_tables import mixtures_table
from harness.tenants.prediction import IGNITER, STRESSORS, UTILISATION, prediction, predictions
from harness.tenants.results import Results
from harness.tenants.stressors import names, stressors_of


def test_a_run_with_stressors_predicts_its_pairs(predicted: Results) -> None:
    (found,) = predictions(predicted)
    for pair, value in found.by[STRESSORS].items():
        assert value == pytest.approx(slow_down(*pair), rel=0.02)
    assert set(found.measured) == {("a", "b"), ("b", "a")}
    assert found.by[UTILISATION]["a", "b"] == pytest.approx(1.6)
    ours, others = found.error[STRESSORS], [found.error[IGNITER], found.error[UTILISATION]]
    assert ours is not None
    assert all(other is not None and ours < other for other in others)


def test_without_stressors_or_with_a_run_missing_nothing_is_predicted(
    plain: Results, predicted: Results
) -> None:
    assert predictions(plain) == []
    missing = predicted.design.probes["time_slicing", "a", "stress-copies-out"].id
    events = tuple(
        event for event in predicted.data.events
        if not (isinstance(event, MeasurementRow) and event.point.startswith(missing))
    )  # fmt: skip
    less = Results(replace(predicted.data, events=events))
    assert prediction(less, less.modes[0]) is None


def test_a_run_that_had_one_stressor_for_copies_is_predicted_from_it(tmp_path: Path) -> None:
    asked = scenario(gpu=True, predict=True)
    before = stressors_of(asked, ["time_slicing/stress-copies@c1"])
    read = write_shared(tmp_path / "run", asked, spread=0.001, rounds=1, beside=before)
    assert read.stressors == names(before)
    (found,) = predictions(read)
    assert "stress-copies" in found.mixtures["a"]
    assert found.by[STRESSORS]["a", "b"] == pytest.approx(slow_down("a", "b"), rel=0.1)
    assert {STRESSORS, IGNITER, UTILISATION} == set(found.by)
    assert "copies both ways" in str(mixtures_table(found))


def test_utilisation_is_left_out_where_it_was_not_read(predicted: Results) -> None:
    events = tuple(
        replace(event, gpu_utilization_percent=None) if isinstance(event, MeasurementRow) else event
        for event in predicted.data.events
    )
    (found,) = predictions(Results(replace(predicted.data, events=events)))
    assert set(found.by) == {STRESSORS, IGNITER}
