from __future__ import annotations

from dataclasses import replace

import pytest

from harness.tenants.predicted_tables import parts, words
from harness.tenants.prediction import Prediction, predictions
from harness.tenants.results import Results


@pytest.fixture(scope="module")
def found(predicted: Results) -> Prediction:
    (one,) = predictions(predicted)
    return one


def test_the_heat_map_has_every_pair_and_what_was_measured_on_hovering(found: Prediction) -> None:
    tables = dict(parts(found))
    heat = tables["Predicted interference"]
    assert [row[0].text for row in heat.rows] == ["a", "b"]
    assert heat.rows[0][1].text == "1.41"  # beside a second one of itself: 1 + .36 + .04 + .01
    assert heat.rows[0][1].heat == pytest.approx(0.205, abs=0.01)
    assert heat.rows[0][1].note == ""
    assert heat.rows[0][2].note.startswith("measured: 1.16")


def test_each_method_stands_beside_what_was_measured(found: Prediction) -> None:
    table = dict(parts(found))["Predicted and measured"]
    assert [h.text for h in table.headers][3:] == [
        "stressors", "iGniter's formula", "adding utilisations",
    ]  # fmt: skip
    row = [cell.text for cell in table.rows[0]]
    assert row[:2] == ["a", "b"]
    assert row[-1].startswith("1.60 (+3")
    acts = dict(parts(found))["What each tenant acts like"]
    assert float(acts.rows[0][1].text) > 0.5


def test_the_words_name_the_worst_pair_and_the_errors(found: Prediction) -> None:
    worst, error = words(found)
    assert "most slowed down is a beside a" in worst
    assert "of 2 slow-downs that no prediction had seen the mean error is: stressors 0" in error
    unmeasured = replace(found, measured={})
    assert len(list(words(unmeasured))) == 1
    assert "Predicted and measured" not in dict(parts(unmeasured))
