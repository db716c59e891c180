import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rows import measurement

from harness.results.details import PHASES
from harness.results.events import read_event
from harness.results.rows import ArtifactRow, FailureRow, LoadedRow, MeasurementRow, ParityRow
from harness.system.files import jsonable

MEASUREMENT = measurement(
    point="ort/b4/c2", round=1, backend="ort", config="default", batch_size=4, concurrency=2,
    request_rate=None, started="2026-01-02T03:04:05+00:00", window_begin_ns=5, window_end_ns=10**18,
    requests=700, errors=9, throughput=123.25, latency_mean_ms=8.5,
    latency_ms={"p50": 8.0, "p95": 9.5, "p99": math.inf, "p999": None},
    latency_order_ms={"p50": (7.5, 8.5), "p99": (9.0, math.inf), "p999": None},
    server_us=dict.fromkeys(PHASES, 12.5), flags=("errors", "few_requests"),
    details={"inputs": [1, 2]},
)  # fmt: skip
PARITY = ParityRow("ort", 4, "disagrees", "eager fp32", 3, math.inf, math.nan, tolerance="a ≤ b")
OTHERS = [
    ArtifactRow("onnx", "cache/model.onnx", 10**9, 3.5, True, {"opset": 20}),
    LoadedRow("ort", 0, 1.25, None, 10**8, 300.5, None, {"providers": ["CPU"]}),
    FailureRow("ort/b4/c2", 2, "ort", "hung", "no answer within 30 s", "raise the timeout"),
]


def through_json(row):
    line = json.dumps(row.to_event(), allow_nan=False)
    event = json.loads(line)
    return read_event(event)


@pytest.mark.parametrize("row", [MEASUREMENT, *OTHERS], ids=lambda r: r.EVENT)
def test_a_row_survives_the_journal(row):
    assert through_json(row) == row


def test_nan_and_infinity_survive_in_any_float_field():
    read = through_json(PARITY)
    assert read.max_abs_error == math.inf
    assert math.isnan(read.mean_abs_error)
    assert (
        through_json(dataclasses.replace(MEASUREMENT, throughput=-math.inf)).throughput == -math.inf
    )


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e300])
@pytest.mark.parametrize("name", ["host_memory_mib", "gpu_memory_mib"])
def test_memory_is_a_number_that_a_machine_can_have(name, value):
    with pytest.raises(TypeError, match=name):
        through_json(dataclasses.replace(MEASUREMENT, **{name: value}))


def test_a_word_in_a_text_field_stays_a_word():
    row = FailureRow("inf/b1/c1", 0, "inf", "nan", "inf")
    assert through_json(row) == row


@given(st.floats(), st.floats())
def test_any_float_survives(value, other):
    times = dict.fromkeys(PHASES, other)
    row = dataclasses.replace(MEASUREMENT, latency_ms={"p50": value}, server_us=times)
    read = through_json(row)
    same = [(read.latency_ms["p50"], value), (read.server_us["queue"], other)]
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in same)


def test_numpy_values_become_numbers_not_strings():
    row = dataclasses.replace(
        MEASUREMENT,
        requests=np.int64(3),
        throughput=np.float32(0.5),
        server_us=dict.fromkeys(PHASES, np.float64(2)),
    )
    read = through_json(row)
    assert (read.requests, read.throughput, read.server_us) == (
        3, 0.5, dict.fromkeys(PHASES, 2.0),
    )  # fmt: skip
    assert type(read.requests) is int


def test_unknown_keys_of_a_newer_version_are_left_out():
    event = {**MEASUREMENT.to_event(), "colour": "blue"}
    assert MeasurementRow.from_event(event) == MEASUREMENT


def test_optional_keys_of_an_older_version_get_their_default():
    event = MEASUREMENT.to_event()
    del event["flags"], event["server_count"]
    assert MeasurementRow.from_event(event) == dataclasses.replace(MEASUREMENT, flags=())


def test_a_missing_required_key_is_a_type_error():
    event = MEASUREMENT.to_event()
    del event["throughput"]
    with pytest.raises(TypeError, match="throughput"):
        MeasurementRow.from_event(event)


def test_jsonable_takes_whatever_the_manifest_holds():
    value = {Path("/tmp/x"): [Path("a"), np.array([1.0, math.inf]), (True, None)], 3: {1}}
    assert jsonable(value) == {"/tmp/x": ["a", [1.0, "inf"], [True, None]], "3": "{1}"}


def test_readings_of_the_gpu_come_from_the_details():
    details = {"joules_per_inference": 0.25, "gpu_sm_clock_mhz": [1965.0, 1980.0],
               "gpu_temperature_c": [41.0, 46.0]}  # fmt: skip
    found = through_json(dataclasses.replace(MEASUREMENT, details=details))
    assert found.joules_per_inference == 0.25
    assert found.gpu_sm_clock_mhz == (1965.0, 1980.0)
    assert found.gpu_temperature_c == (41.0, 46.0)
    bare = through_json(MEASUREMENT)
    assert (bare.joules_per_inference, bare.gpu_sm_clock_mhz, bare.gpu_temperature_c) == (
        None, None, None,
    )  # fmt: skip
