"""From samples and counters to a row, of a measured model and of a co-located one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.rows import measurement

from harness.measure.readings import MIB
from harness.measure.transient import window_leak
from harness.measure.validity import FLAGS, INVALIDATES
from harness.measure.window import Window
from harness.results.rows import MeasurementRow
from harness.results.samples import ERROR, OK, Samples
from harness.results.series import Quantity, SeriesKey, TelemetrySeries
from harness.run.point_row import Conditions, _server_count, measurement_row, with_colocated
from harness.scenario.points import Point
from harness.scenario.spec.colocated import ColocatedLoad
from harness.triton.counters.statistics import Split

MS = 1_000_000
WINDOW = Window(500 * MS, 1500 * MS, False, cpu_seconds=0.1)
CLOSED = ColocatedLoad.model_validate({"batch_size": 2, "concurrency": 1})


def steady(count: int = 400, service_ms: int = 5, status: int = OK) -> Samples:
    """One caller, back to back from t = 0."""
    sent = np.arange(count, dtype=np.int64) * service_ms * MS
    return Samples(
        sent, sent, sent + service_ms * MS, np.full(count, status, np.uint8),
        np.zeros(count, np.uint16),
    )  # fmt: skip


def late(by_ms: int = 50) -> Samples:
    """Requests that each left that much after they were due, on a slot that was free."""
    on_time = steady()
    return Samples(
        on_time.scheduled, on_time.sent + by_ms * MS, on_time.done + by_ms * MS, on_time.status,
        np.arange(len(on_time), dtype=np.uint16),
    )  # fmt: skip


def row_of(
    samples: Samples, load: ColocatedLoad = CLOSED, window: Window = WINDOW, **conditions: Any
) -> MeasurementRow:
    point = Point("t", "default", load.batch_size, load.concurrency, load.request_rate)
    found = Conditions(True, **conditions)
    return measurement_row(point, 0, "", window, samples, {}, "samples/x.parquet", found)


def joined(other: MeasurementRow, load: ColocatedLoad = CLOSED) -> MeasurementRow:
    flags, details = ("few_requests",), {"findings": {"few_requests": "10"}}
    return with_colocated(measurement(flags=flags, details=details), {"det": (other, load)})


def test_a_request_s_way_is_in_the_details_where_it_is_known() -> None:
    samples = steady()
    assert "path" not in row_of(samples).details
    stamped = replace(samples, written=samples.sent + MS, woke=samples.done - 2 * MS)
    path = row_of(stamped).details["path"]
    assert path == {"late": 0.0, "sending": 1000.0, "receiving": 2000.0}
    first = int(samples.sent[150])
    stages = [first + MS + i * 100_000 for i in range(9)]
    traced = row_of(stamped, traces=[stages]).details["path"]
    assert traced["traced"] == 1 and traced["latency"] == 5000.0
    assert traced["wire_in"] == pytest.approx(1200.0)


def test_only_the_window_counts() -> None:
    row = row_of(steady())
    assert row.requests == 200  # one each 5 ms of the second between 0.5 and 1.5 s
    assert row.throughput == pytest.approx(400.0)
    assert row.latency_ms["p50"] == 5.0
    assert row.client_cpu_percent == pytest.approx(10.0)
    assert row.warmup_requests == 100
    assert row.flags == ("few_requests",)


def test_the_host_of_the_window_is_in_the_row_and_what_others_used_is_judged() -> None:
    ends = np.array([500 * MS, 1500 * MS], np.int64)

    def grown(by: float) -> TelemetrySeries:
        return TelemetrySeries(ends, np.array([0.0, by]))

    telemetry = {
        SeriesKey(Quantity.HOST_BYTES): TelemetrySeries(ends, np.full(2, 3.0 * MIB)),
        SeriesKey(Quantity.TREE_CPU_S): grown(0.8), SeriesKey(Quantity.RUN_CPU_S): grown(0.9),
        SeriesKey(Quantity.MACHINE_CPU_S): grown(1.3),
        SeriesKey(Quantity.MACHINE_CPUS): TelemetrySeries(ends, np.full(2, 2.0)),
    }  # fmt: skip
    point, place = Point("t", "default", 2, 1), "samples/x.parquet"
    row = measurement_row(point, 0, "", WINDOW, steady(), telemetry, place, Conditions(True))
    assert row.cpu_cores == pytest.approx(0.8)
    assert (row.cpu_percent, row.host_memory_mib) == (pytest.approx(80.0), 3.0)
    assert row.flags == ("few_requests", "foreign_load")  # 0.4 of 2 cores are a fifth
    assert row.details["cpu_percent_lost"] == {"foreign": pytest.approx(20.0)}
    telemetry[SeriesKey(Quantity.MACHINE_CPUS)] = TelemetrySeries(ends, np.full(2, 8.0))
    many = measurement_row(point, 0, "", WINDOW, steady(), telemetry, place, Conditions(True))
    assert many.flags == ("few_requests",)


@pytest.mark.parametrize("prefix", ["", "composing/part/"])
def test_a_point_that_a_response_cache_answered_is_invalid_unless_it_is_wanted(prefix: str) -> None:
    keys = ("count", "success_ns", "failures", "inferences", "executions", "queue_ns",
            "compute_input_ns", "compute_infer_ns", "compute_output_ns", "cache_hits",
            "cache_misses")  # fmt: skip
    before = {f"{p}{key}": 0.0 for p in {"", prefix} for key in keys}
    after = {**before, "count": 200.0, f"{prefix}count": 200.0, f"{prefix}cache_hits": 150.0}
    window = replace(WINDOW, before=before, after=after)
    row = row_of(steady(), window=window)
    assert "from_cache" in row.flags and INVALIDATES.intersection(row.flags)
    assert "75% of the requests" in row.details["findings"]["from_cache"]
    assert ("cache" in row.details) == (not prefix)
    wanted = row_of(steady(), window=window, rank_cached=True)
    assert "cache_hits" in wanted.flags and not INVALIDATES.intersection(wanted.flags)


@pytest.mark.parametrize(
    ("samples", "load", "conditions", "flag"),
    [
        (steady(status=ERROR), {"concurrency": 1}, {}, "all_failed"),
        (steady(), {"concurrency": 4}, {}, "littles_law"),
        (steady(), {"concurrency": 1}, {"ceiling": 300.0}, "client_near_ceiling"),
        (steady(), {"concurrency": 1}, {"flags": ("parity",)}, "parity"),
        (steady(), {"concurrency": 1}, {"outputs_wrong": ["y: 3 of 4"]}, "wrong_outputs"),
        (steady(), {"concurrency": 1}, {"counted": Window(0, 10**9, False, cpu_seconds=0.95)},
         "client_busy"),
        (late(), {"request_rate": 200}, {}, "client_late"),
    ],
)  # fmt: skip
def test_what_is_not_believable_of_a_co_located_model_makes_the_point_so(
    samples: Samples, load: dict[str, Any], conditions: dict[str, Any], flag: str
) -> None:
    """Every rule that judges a measured model: both rows are made by the same function."""
    asked = ColocatedLoad.model_validate(load)
    other = row_of(samples, asked, **conditions)
    assert flag in other.flags
    assert flag in INVALIDATES & set(FLAGS)
    row = joined(other, asked)
    assert row.flags == ("few_requests", "colocated_invalid")
    assert f"det: {flag}" in row.details["findings"]["colocated_invalid"]
    assert row.details["findings"]["few_requests"] == "10"
    assert flag in row.details["colocated"]["det"]["flags"]


def test_counters_are_judged_over_the_stretch_at_whose_ends_they_were_read() -> None:
    """A co-located model's load begins before the window: 400 answers, of which 200 are in it."""
    keys = ("failures", "inferences", "executions", "queue_ns", "compute_input_ns",
            "compute_infer_ns", "compute_output_ns", "success_ns")  # fmt: skip
    before = dict.fromkeys(("count", *keys), 0.0)
    ends = (-1, 2001 * MS)
    for count, flagged in ((400.0, False), (390.0, True), (410.0, True)):
        after = {**before, "count": count, "inferences": 2 * count, "executions": count}
        stretch = Window(*ends, False, before, after, reads_ns=tuple((e, e) for e in ends))
        row = row_of(steady(), counted=stretch)
        assert ("count_mismatch" in row.flags) is flagged
        assert row.requests == 200


def test_a_load_that_moves_on_purpose_is_not_asked_to_be_steady() -> None:
    before = steady(1000, 1)
    after = steady(500, 2)
    both = Samples(*(
        np.concatenate([getattr(before, name), getattr(after, name) + 1000 * MS * moved])
        for name, moved in (("scheduled", 1), ("sent", 1), ("done", 1), ("status", 0),
                            ("caller", 0))
    ))  # fmt: skip
    assert "no_steady_state" in row_of(both).flags
    assert "no_steady_state" not in row_of(both, level=False).flags


@pytest.mark.parametrize("load", [{"concurrency": 1}, {"request_rate": 100}])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_warm_up_that_reaches_into_the_window_is_flagged(
    load: dict[str, Any], factor: float
) -> None:
    """What is sent in its first 5 % is slower by the factor."""
    service = np.random.default_rng(7).gamma(400, MS / 400, 2000)  # 1 ms, cv 5 %
    sent = np.arange(2000) * 10 * MS if "request_rate" in load else np.zeros(2000, np.int64)
    window = replace(WINDOW, end_ns=8500 * MS) if "request_rate" in load else WINDOW
    clock = 0
    for i in range(len(service)):
        sent[i] = max(clock, sent[i])
        place = (sent[i] - window.begin_ns) / (window.end_ns - window.begin_ns)
        service[i] *= factor if 0 <= place < 0.05 else 1.0
        clock = sent[i] + int(service[i])
    samples = Samples(
        sent, sent, sent + service.astype(np.int64), np.full(2000, OK, np.uint8),
        np.zeros(2000, np.uint16),
    )  # fmt: skip
    asked = ColocatedLoad.model_validate({"batch_size": 2, **load})
    row = row_of(samples, asked, window)
    assert ("warm_up_leak" in row.flags) is (factor > 1)
    rank, slower = row.details["window_start"]
    assert (rank > 0.95 and slower > 0.4) is (factor > 1)
    changing = row_of(samples, asked, window, level=False)
    assert "warm_up_leak" not in changing.flags and "window_start" not in changing.details
    if factor > 1:
        seen = row.details["findings"]["warm_up_leak"]
        assert re.match(r"the first 5 % of the window were (4\d|50|5[1-5]) % slower", seen)


@pytest.mark.parametrize("warm", [True, False])
def test_what_reading_the_counters_slows_is_no_warm_up(warm: bool) -> None:
    """Eight callers, 2 ms; nothing is answered in the 4 ms before the window, in which the counters
    are read. Of a warm-up what is sent in its first 10 ms takes twice as long besides.
    """
    service = np.random.default_rng(8).gamma(25, 2 * MS / 25, (8, 500)).astype(np.int64)
    sent = np.zeros_like(service)
    for caller, mine in enumerate(service):
        clock = 0
        for i in range(len(mine)):
            mine[i] *= 2 if not warm and 100 * MS <= clock < 110 * MS else 1
            read = max(96 * MS, clock), 100 * MS
            mine[i] += read[1] - read[0] if clock < 100 * MS and clock + mine[i] > 96 * MS else 0
            sent[caller, i] = clock
            clock += mine[i]
    order = np.argsort(sent + service, axis=None, kind="stable")
    begun, done = sent.ravel()[order], (sent + service).ravel()[order]
    caller_of = np.repeat(np.arange(8, dtype=np.uint16), 500)[order]
    samples = Samples(begun, begun, done, np.full(4000, OK, np.uint8), caller_of)
    window = Window(100 * MS, 400 * MS, False)
    assert window_leak(samples, window.begin_ns, window.end_ns) is not None
    asked = ColocatedLoad.model_validate({"batch_size": 2, "concurrency": 8})
    row = row_of(samples, asked, window)
    assert ("warm_up_leak" in row.flags) is not warm
    assert (row.details["window_start"][0] > 0.9) is not warm


def test_what_a_co_located_model_did_is_in_the_points_row() -> None:
    samples = steady()
    samples.status[120] = ERROR
    row = joined(row_of(samples, ceiling=9000.0, outputs_checked=1))
    facts = MeasurementRow.from_event(row.to_event()).details["colocated"]["det"]
    assert (facts["requests"], facts["errors"]) == (200, 1)
    assert facts["load"]["concurrency"] == 1
    assert facts["samples"] == "samples/x.parquet"
    assert facts["ceiling"] == 9000.0
    assert facts["outputs_checked"] == 1
    assert facts["findings"]["errors"] == "1 of 200 requests failed"
    assert row.flags == ("few_requests",)  # some errors inform only


def test_a_point_without_others_stays_as_it_is() -> None:
    row = measurement()
    assert with_colocated(row, {}) is row


@pytest.mark.parametrize(
    ("counted", "agrees"),
    [(100, True), (112, True), (113, True), (114, False), (87, True), (86, False)],
)
def test_counts_may_differ_by_what_was_answered_while_they_were_read(
    counted: int, agrees: bool
) -> None:
    """An answer a millisecond; the window's ends are in the middle of reads of 24 ms and 0."""
    done = np.arange(1, 200, dtype=np.int64) * 1_000_000
    zeros = np.zeros(len(done))
    samples = Samples(
        done, done - 500_000, done, zeros.astype(np.uint8), zeros.astype(np.uint16)
    )  # fmt: skip
    begin, end = 20_250_000, 120_250_000
    window = Window(begin, end, False, {"count": 0.0}, {}, reads_ns=(
        (begin - 12_000_000, begin + 12_000_000), (end, end),
    ))  # fmt: skip
    assert (not list(_server_count(window, Split(counted), samples))) is agrees
