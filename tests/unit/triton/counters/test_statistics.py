import json

import pytest
from support.paths import DATA

from harness.errors import BackendError
from harness.results.details import PHASES
from harness.triton.counters.statistics import composing, counters, difference

READINGS = json.loads((DATA / "triton" / "statistics.json").read_text())["readings"]


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
    assert split.inferences == after["inferences"] - before["inferences"]
    assert split.executions == after["executions"] - before["executions"]


def test_no_requests_no_means():
    reading = counters(READINGS[1]["http"], "ident")
    split = difference(reading, reading)
    assert split is not None
    assert (split.count, split.server_us, split.executions) == (0, {}, 0)


def test_counters_that_went_back_say_nothing():
    before, after = (counters(READINGS[i]["http"], "ident") for i in (2, 1))
    assert difference(after, before) is None


def test_composing_models_are_read_colocated_the_measured_one():
    stats = [
        *READINGS[1]["http"]["model_stats"],
        {**READINGS[2]["http"]["model_stats"][0], "name": "a/part"},
    ]
    found = counters({"model_stats": stats}, "ident", ("a/part", "absent"))
    part = counters({"model_stats": stats}, "a/part")
    assert {k: found[f"composing/a/part/{k}"] for k in part} == part
    assert found["count"] == counters({"model_stats": stats}, "ident")["count"]
    zero = dict.fromkeys(found, 0.0)
    parts = composing(found, zero)
    assert parts["a/part"]["count"] == part["count"] == 5
    assert parts["a/part"]["queue"] == pytest.approx(part["queue_ns"] / 5 / 1e3)
    assert parts["absent"]["count"] == 0
    assert "queue" not in parts["absent"]
    split = difference(found, zero)
    assert split is not None
    assert split.count == found["count"]


def test_a_composing_model_that_was_loaded_again_is_left_out():
    names = ("count", "failures", "inferences", "executions", "queue_ns", "compute_input_ns",
             "compute_infer_ns", "compute_output_ns", "cache_hits", "cache_misses")  # fmt: skip
    before = {f"composing/{m}/{k}": 3.0 for m in ("one", "two") for k in names}
    after = {key: 5.0 if "/one/" in key else 1.0 for key in before}
    assert list(composing(after, before)) == ["one"]
    assert composing({"count": 1.0}, {"count": 0.0}) == {}


def test_an_ensembles_queue_holds_the_waiting_for_its_parts():
    """As measured: 24.76 ms in the server, of which 8.77 ms computing; 3 µs in its own queue."""
    before = {"count": 0, "failures": 0, "executions": 0, "inferences": 0, "success_ns": 0,
              "queue_ns": 0, "compute_input_ns": 0, "compute_infer_ns": 0,
              "compute_output_ns": 0}  # fmt: skip
    after = {"count": 1, "failures": 0, "executions": 1, "inferences": 1, "success_ns": 24_764_867,
             "queue_ns": 3_354, "compute_input_ns": 82_554, "compute_infer_ns": 8_086_705,
             "compute_output_ns": 597_833}  # fmt: skip
    assert difference(after, before).server_us["queue"] == pytest.approx(3.354)
    part = {f"composing/two/{key}": value for key, value in after.items()}
    split = difference(after | part, before | dict.fromkeys(part, 0))
    assert split.server_us["queue"] == pytest.approx(24_764.867 - 8_767.092)
    assert sum(split.server_us.values()) == pytest.approx(24_764.867)


@pytest.mark.parametrize("number", [float("nan"), "inf", "many", [], None])
def test_what_is_no_number_is_said(number):
    reading = json.loads(json.dumps(READINGS[1]["http"]))
    (model,) = (m for m in reading["model_stats"] if m["name"] == "ident")
    model["inference_stats"]["queue"]["ns"] = number
    with pytest.raises(BackendError, match="the server's statistics make no sense: 'ns' is"):
        counters(reading, "ident")
