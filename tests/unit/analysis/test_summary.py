"""Intervals and summaries against numbers worked out by hand or by simulation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rows import measurement

from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import SummaryRow, summarize
from harness.measure.validity import OUTSIDE
from harness.results.rows import FailureRow, MeasurementRow

ROW = measurement(
    point="fake/b2/c1", backend="fake", batch_size=2, requests=100, throughput=200.0,
    latency_mean_ms=10.0,
    latency_ms={"p50": 10.0, "p90": 12.0, "p95": None, "p99": None, "p999": None},
)  # fmt: skip


def test_summary_of_two_rounds() -> None:
    second = replace(
        ROW, round=1, throughput=800.0, errors=4, host_memory_mib=50.0, flags=("errors",),
        latency_ms={**ROW.latency_ms, "p90": None}, server_us={"queue": 3.0},
    )  # fmt: skip
    (row,) = summarize([second, replace(ROW, host_memory_mib=70.0, server_us={"queue": 1.0})])
    assert row.throughput is not None
    assert row.throughput.value == pytest.approx(400.0)  # geometric mean
    assert [m.round for m in row.measurements] == [0, 1]
    assert row.value("latency_p50_ms") is not None
    assert row.value("latency_p90_ms") is None  # one round lacks it
    assert (row.rounds, row.requests, row.errors) == (2, 200, 4)
    assert row.host_memory_mib == 70.0
    assert row.server_us == {"queue": 2.0}
    assert row.flags == ("errors",)
    assert row.valid


def test_failures_of_a_point_that_was_never_measured() -> None:
    failures = [FailureRow("fake/b2/c1", n, "fake", "died", "signal 9") for n in (0, 1)]
    (row,) = summarize([], failures)
    assert (row.backend, row.batch_size, row.concurrency) == ("fake", 2, 1)
    assert row.throughput is None
    assert not row.valid
    assert row.flags == ("failed_died",)  # once, though two rounds failed
    assert len(row.failures) == 2


def test_failure_that_a_resumed_run_made_good_is_forgotten() -> None:
    (row,) = summarize([ROW], [FailureRow(ROW.point, 0, "fake", "hung", "no answer")])
    assert row.failures == ()
    assert row.flags == ()
    assert row.valid


def test_partly_failed_point_keeps_its_failure() -> None:
    (row,) = summarize([ROW], [FailureRow(ROW.point, 1, "fake", "hung", "no answer")])
    assert row.flags == ("failed_hung",)
    assert len(row.failures) == 1


@pytest.mark.parametrize("flag", ["all_failed", "parity"])
def test_invalidating_flags(flag: str) -> None:
    (row,) = summarize([replace(ROW, flags=(flag,))])
    assert not row.valid


def rounds(*throughputs: float, disturbed: int, flag: str = "foreign_load") -> SummaryRow:
    (row,) = summarize(
        replace(ROW, round=n, throughput=t, flags=(flag,) if n == disturbed else ())
        for n, t in enumerate(throughputs)
    )
    return row


@pytest.mark.parametrize("flag", sorted(OUTSIDE))
def test_a_round_with_a_cause_from_outside_is_left_out_and_stays_there(flag: str) -> None:
    """23.6, 5.3 (flagged) and 23.8 became 14.4 [1.7, 124]."""
    row = rounds(23.6, 5.3, 23.8, disturbed=1, flag=flag)
    assert row.throughput is not None
    assert row.throughput.value == pytest.approx(23.7, abs=0.01)
    assert (row.rounds, row.rounds_disturbed, row.valid) == (2, 1, True)
    assert [m.throughput for m in row.every] == [23.6, 5.3, 23.8]
    assert (row.flags, row.every_flag) == ((), [flag])


def test_no_round_is_left_out_for_its_value() -> None:
    quick = rounds(23.6, 99.0, 23.8, disturbed=1)
    assert quick.rounds == 2  # a lucky one neither stays
    slow = rounds(23.6, 5.3, 23.8, disturbed=-1)
    assert slow.rounds == 3
    odd = rounds(23.6, 5.3, 23.8, disturbed=1, flag="no_steady_state")
    assert odd.rounds == 3


def test_where_every_round_was_disturbed_all_count_and_say_so() -> None:
    (row,) = summarize([replace(ROW, round=n, flags=("cpu_steal",)) for n in range(3)])
    assert (row.rounds, row.rounds_disturbed, row.disturbed) == (3, 3, ())
    assert row.flags == ("cpu_steal",)
    assert row.throughput is not None


def test_failure_with_an_unreadable_point_is_kept() -> None:
    (row,) = summarize([], [FailureRow("what?", 0, "fake", "died", "signal 9")])
    assert (row.point, row.backend, row.valid) == ("what?", "fake", False)


def energy(*joules: float | None) -> list[MeasurementRow]:
    return [
        replace(ROW, round=n, gpu_power_w=300.0 + n, gpu_memory_mib=500.0 - n, host_memory_mib=9.0,
                details={} if j is None else {"joules_per_inference": j})
        for n, j in enumerate(joules)
    ]  # fmt: skip


def test_energy_over_rounds_and_its_reciprocal() -> None:
    (row,) = summarize(energy(0.1, 0.2, 0.15))
    assert row.joules_per_inference == log_t_interval([0.1, 0.2, 0.15])
    assert row.metrics["gpu_power_w"] == log_t_interval([300.0, 301.0, 302.0])
    rate = log_t_interval([10.0, 5.0, 1 / 0.15])
    found = row.inferences_per_joule
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((rate.value, rate.low, rate.high))
    assert found.rounds == 3


def test_a_round_without_energy_leaves_the_point_without() -> None:
    (row,) = summarize(energy(0.1, None))
    assert (row.joules_per_inference, row.inferences_per_joule) == (None, None)
    (idle,) = summarize(energy(0.0, 0.1))
    assert idle.joules_per_inference == Interval(0.05, None, None, 2)
    assert log_t_interval([0.0, 0.0]).reciprocal is None


def test_memory_over_rounds_is_a_range() -> None:
    (row,) = summarize(energy(0.1, 0.1, 0.1))
    assert (row.least("gpu_memory_mib"), row.gpu_memory_mib) == (498.0, 499.0)
    assert (row.least("host_memory_mib"), row.host_memory_mib) == (9.0, 9.0)
    (bare,) = summarize([ROW])
    assert (bare.least("gpu_memory_mib"), bare.gpu_memory_mib) == (None, None)


def test_memory_is_of_sessions_that_compared_no_outputs_where_there_are_any() -> None:
    """A backend's first session holds what the comparison took: of all batch sizes."""

    def measured(config: str, *mib: float, block: str = "", first: int = 0) -> list[MeasurementRow]:
        return [
            replace(ROW, point=f"fake/{config}/b2/c1", config=config, round=first + n,
                    gpu_memory_mib=peak, details={"block": block} if block else {})
            for n, peak in enumerate(mib)
        ]  # fmt: skip

    first, other = summarize([*measured("x", 1134.0, 782.0, 781.0), *measured("y", 900.0, 800.0)])
    assert (first.least("gpu_memory_mib"), first.gpu_memory_mib) == (781.0, 782.0)
    assert (other.least("gpu_memory_mib"), other.gpu_memory_mib) == (800.0, 900.0)
    assert not (first.memory_compared or other.memory_compared)
    (alone,) = summarize(measured("x", 1134.0))
    assert (alone.gpu_memory_mib, alone.memory_compared) == (1134.0, True)
    cards = [*measured("x", 1134.0, 782.0, block="A"),
             *measured("x", 1134.0, 783.0, block="B", first=2)]  # fmt: skip
    (merged,) = summarize(cards)
    assert (merged.gpu_memory_mib, merged.compared) == (783.0, {0, 2})


def test_a_backend_with_wrong_outputs_anywhere_is_a_candidate_nowhere() -> None:
    """tensorrt-tf32 was wrong at batch 1 and ranked at batch 8; one round of one point is enough,
    also one that other work disturbed. Other configs and backends are not touched.
    """

    def point(name: str, *flags: tuple[str, ...], config: str = "default") -> list[MeasurementRow]:
        backend = name.partition("/")[0]
        return [
            replace(ROW, point=f"{name}/c1", backend=backend, config=config, round=n, flags=f)
            for n, f in enumerate(flags)
        ]

    rows = [
        *point("tf32/b1", (), ("wrong_outputs", "foreign_load"), ()), *point("tf32/b8", (), (), ()),
        *point("tf32/i2/b8", (), (), (), config="i2"), *point("fp32/b8", (), (), ()),
    ]  # fmt: skip
    found = {row.point: row for row in summarize(rows)}
    assert {p: r.valid for p, r in found.items()} == {
        "tf32/b1/c1": False, "tf32/b8/c1": False, "tf32/i2/b8/c1": True, "fp32/b8/c1": True,
    }  # fmt: skip
    assert found["tf32/b8/c1"].flags == ("outputs_differ",)
    assert found["tf32/b1/c1"].every_flag == ["wrong_outputs", "foreign_load"]
