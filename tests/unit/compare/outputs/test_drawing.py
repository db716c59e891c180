"""The comparison's charts as data, of comparisons whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.compared import write_blocks

from harness.compare.comparing import within
from harness.compare.outputs import drawing
from harness.compare.result import Comparison
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, write_samples
from harness.results.store import RunStore, read_run


def test_the_forest_has_each_metric_of_each_point_with_its_tolerance(slower: Comparison) -> None:
    chart = drawing.forest(slower, 0)
    assert chart is not None
    assert len(chart.ticks) == 9  # two points and the pooled one, three metrics
    tolerance, regressions = chart.series
    assert set(tolerance.x_range) == {(-2.0, 2.0), (-5.0, 5.0)}
    assert regressions.name == "regression"
    assert all(8 < x < 13 for x in regressions.x)  # also throughput: worse is right of 0
    for x, ends in zip(regressions.x, regressions.x_range, strict=True):
        assert ends is not None
        assert ends[0] < x < ends[1]


def test_where_nothing_was_measured_there_is_no_forest(broken: Comparison) -> None:
    assert drawing.forest(broken, 0) is None
    assert drawing.of_point(broken, broken.points[0], "0") == []


def test_without_samples_the_blocks_alone_are_drawn(slower: Comparison) -> None:
    (chart,) = drawing.of_point(slower, slower.points[0], "0-0")
    base, candidate = chart.series
    assert (base.name, candidate.name) == ("a", "slow")
    assert chart.ticks == ("1", "2", "3", "4", "5", "6")
    assert base.x == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert min(candidate.y) > max(base.y)


def sampled(folder: Path) -> Comparison:
    """Samples for the first round: 4 ms and 8 ms a request."""
    run = write_blocks(folder / "r", {"a": 0.0, "b": 1.0}, rounds=1)
    found: list[MeasurementRow] = []
    (run / "samples").mkdir(exist_ok=True)
    for row, ms in zip(read_run(run).measurements, (4, 8), strict=True):
        name = f"samples/{row.backend}.parquet"
        begin = row.window_begin_ns
        at = begin + np.arange(1, 101, dtype=np.int64) * 1000
        done = at + ms * 1_000_000
        status = np.zeros(100, np.uint8)
        write_samples(run / name, Samples(at, at, done, status, status.astype(np.uint16)), {})
        found.append(replace(row, round=1, samples=name, window_end_ns=int(done.max()) + 1))
    with RunStore.resume(run)[0] as store:
        for row in found:
            store.append(row)
    return within(read_run(run), "a", "b")


def test_the_latencies_of_both_lie_over_each_other(tmp_path: Path) -> None:
    found = sampled(tmp_path)
    distribution = drawing.of_point(found, found.points[0], "0-0")[0]
    base, candidate = distribution.series
    assert sum(base.y) == pytest.approx(100)
    assert base.x == candidate.x
    peaks = [s.x[int(np.argmax(s.y))] for s in (base, candidate)]
    assert peaks == [pytest.approx(4, rel=0.05), pytest.approx(8, rel=0.05)]


def test_layers_are_ranked_and_the_rest_is_last(layered: Comparison) -> None:
    assert layered.layers is not None
    chart = drawing.layers(layered.layers, 0)
    assert chart.ticks == ("con|v", "relu", "outside of all layers")
    (bar,) = [s for s in chart.series if 0.0 in s.y]
    assert bar.name == "significant"
    assert bar.x[bar.y.index(0.0)] == pytest.approx(90)
    assert drawing._short("a" * 60) == f"{'a' * 12}…{'a' * 11}"
