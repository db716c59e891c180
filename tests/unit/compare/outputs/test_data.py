"""JSON and Bencher's metric format."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.compare.comparing import stored
from harness.compare.outputs.data import bencher, json_text
from harness.compare.result import Comparison


def test_json_has_a_version_and_every_number(slower: Comparison) -> None:
    data = json.loads(json_text([slower]))
    assert (data["schema"], data["verdict"], data["exit_code"]) == (
        "harness-compare/1",
        "regression",
        1,
    )
    (found,) = data["comparisons"]
    metric = found["points"][0]["metrics"][1]
    assert metric["metric"] == "p50"
    assert metric["low"] < metric["change"] < metric["high"]
    assert metric["p_adjusted"] < 0.0125
    assert found["points"][0]["beside"][0]["verdict"] is None
    assert found["base"]["conditions"] == found["candidate"]["conditions"]
    assert len(found["pooled"]) == 3


def test_benchers_format_has_intervals(slower: Comparison) -> None:
    """https://bencher.dev/docs/reference/bencher-metric-format/: value, and bounds that hold it."""
    data = json.loads(bencher([slower]))
    assert set(data) == {"slow/b1/c1", "slow/b1/c2"}
    for measures in data.values():
        assert {"throughput", "latency-p50-ms", "latency-p99-ms"} <= set(measures)
        for metric in measures.values():
            assert set(metric) == {"value", "lower_value", "upper_value"}
            assert metric["lower_value"] <= metric["value"] <= metric["upper_value"]
    assert data["slow/b1/c1"]["latency-p50-ms"]["value"] == pytest.approx(4.4, rel=0.02)


def test_without_an_interval_there_are_no_bounds(slower: Comparison, broken: Comparison) -> None:
    found = stored(slower.base, replace(slower.candidate, name="later"), None, force=True)
    data = json.loads(bencher([found]))
    assert set(data["later/b1/c1"]["latency-p50-ms"]) == {"value"}
    metric = json.loads(json_text([found]))["comparisons"][0]["points"][0]["metrics"][0]
    assert metric["high"] == "inf"
    assert json.loads(bencher([broken])) == {}


def test_layers_are_in_the_json(layered: Comparison, slower: Comparison) -> None:
    layers = json.loads(json_text([layered]))["comparisons"][0]["layers"]
    assert layers["changes"][0]["change_us"] == 90.0
    assert layers["blocks"] == 4
    assert json.loads(json_text([slower]))["comparisons"][0]["layers"] is None
