import json
from pathlib import Path

import pytest

from harness.triton.statistics import PHASES, counters, difference

READINGS = json.loads(
    (Path(__file__).parents[2] / "data" / "triton" / "statistics.json").read_text()
)["readings"]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_counts_of_a_real_server(protocol):
    found = [counters(reading[protocol], "ident") for reading in READINGS]
    # the third of five was answered with an error by model.py: to Triton that is a success
    assert [c["count"] for c in found] == [0, 2, 5]
    assert [c["inferences"] for c in found] == [0, 5, 14]
    assert [c["failures"] for c in found] == [0, 0, 0]
    assert found[1]["success_ns"] >= sum(found[1][f"{phase}_ns"] for phase in PHASES) > 0


def test_both_protocols_say_the_same():
    for reading in READINGS:
        assert counters(reading["http"], "ident") == counters(reading["grpc"], "ident")


def test_other_models_are_left_out():
    assert counters(READINGS[1]["http"], "another")["count"] == 0


def test_versions_are_summed():
    stats = READINGS[1]["http"]["model_stats"]
    one, two = (
        counters({"model_stats": stats}, "ident"),
        counters({"model_stats": stats * 2}, "ident"),
    )
    assert two == {key: 2 * value for key, value in one.items()}


def test_difference_is_the_mean_of_a_request_in_microseconds():
    before, after = (counters(READINGS[i]["http"], "ident") for i in (1, 2))
    split = difference(after, before)
    assert split is not None
    assert (split.count, split.failures) == (3, 0)
    assert set(split.server_us) == set(PHASES)
    assert split.server_us["queue"] == pytest.approx(
        (after["queue_ns"] - before["queue_ns"]) / 3 / 1000
    )
    assert split.mean_batch == (after["inferences"] - before["inferences"]) / split.executions


def test_no_requests_no_means():
    reading = counters(READINGS[1]["http"], "ident")
    split = difference(reading, reading)
    assert split is not None
    assert (split.count, split.server_us, split.mean_batch) == (0, {}, None)


def test_counters_that_went_back_say_nothing():
    before, after = (counters(READINGS[i]["http"], "ident") for i in (2, 1))
    assert difference(after, before) is None
