import pytest
from pydantic import ValidationError

from harness.scenario.spec.load import PROFILES, FindCapacity, Load, Measurement


def test_a_closed_loop_of_one_is_asked_where_nothing_is_written():
    assert Load.model_validate({}).concurrency == (1,)
    assert Load.model_validate({"request_rate": 5}).concurrency is None


def test_rates_are_shown_as_they_are_written():
    with pytest.raises(ValidationError, match=r"request_rate\.1: 100 is there twice"):
        Load.model_validate({"request_rate": [100, 100]})


def test_one_shape_of_an_open_loop():
    ramp = {"begin": 1, "end": 2, "duration": "1s"}
    with pytest.raises(ValidationError, match=r"trace: give one of .*; ramp is there already"):
        Load.model_validate({"ramp": ramp, "trace": "a.txt"})


def test_one_target():
    assert FindCapacity.model_validate({"latency_p95_ms": 20}).target == ("p95", 20.0)
    with pytest.raises(ValidationError, match="found latency_p50_ms and latency_p99_ms"):
        FindCapacity.model_validate({"latency_p99_ms": 1, "latency_p50_ms": 1})
    with pytest.raises(ValidationError, match="found none"):
        FindCapacity.model_validate({})


def test_rounds_stand_for_their_most_too():
    measurement = Measurement.model_validate({"rounds": 40})
    assert (measurement.rounds, measurement.rounds_max) == (40, 40)
    assert Measurement.model_validate({}).rounds_max == PROFILES["standard"]["rounds_max"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"rounds_max": 2}, r"rounds_max: rounds_max \(2\) is less than rounds \(5\)"),
        ({"window": "100s"}, r"window: window_max \(1m\) is shorter than window \(100s\)"),
        ({"window": "10s", "window_max": "1s"}, "window_max: window_max"),
    ],
)
def test_the_mistake_is_what_was_written(written, message):
    with pytest.raises(ValidationError, match=message):
        Measurement.model_validate(written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"request_rate": 5, "cv": 2}, "cv: .*goes with `arrivals: gamma`, and these are poisson"),
        ({"request_rate": 5, "arrivals": "constant", "cv": 2}, "cv: .*these are constant"),
        ({"trace": "a.txt", "cv": 2}, "cv: .*the trace says when requests arrive"),
        ({"concurrency": 4, "cv": 2}, "cv: .*goes with an open loop"),
        ({"concurrency": 4, "overload": "shed"}, "overload: .*goes with an open loop"),
        ({"max_outstanding": 4}, "max_outstanding: .*goes with an open loop"),
    ],
)
def test_a_setting_that_cannot_apply_is_refused(written, message):
    with pytest.raises(ValidationError, match=message):
        Load.model_validate(written)


def test_a_setting_that_applies_is_taken():
    assert Load.model_validate({"request_rate": 5, "arrivals": "gamma", "cv": 2}).cv == 2
    assert Load.model_validate({"request_rate": 5, "overload": "shed"}).overload == "shed"
