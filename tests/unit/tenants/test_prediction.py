from __future__ import annotations

from dataclasses import replace

import pytest
from support.shared import slow_down

from harness.results.rows import MeasurementRow
from harness.tenants.prediction import IGNITER, STRESSORS, UTILISATION, prediction, predictions
from harness.tenants.results import Results


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
    missing = predicted.design.probes["time_slicing", "a", "stress-copies"].id
    events = tuple(
        event for event in predicted.data.events
        if not (isinstance(event, MeasurementRow) and event.point.startswith(missing))
    )  # fmt: skip
    less = Results(replace(predicted.data, events=events))
    assert prediction(less, less.modes[0]) is None


def test_utilisation_is_left_out_where_it_was_not_read(predicted: Results) -> None:
    events = tuple(
        replace(event, gpu_utilization_percent=None) if isinstance(event, MeasurementRow) else event
        for event in predicted.data.events
    )
    (found,) = predictions(Results(replace(predicted.data, events=events)))
    assert set(found.by) == {STRESSORS, IGNITER}
