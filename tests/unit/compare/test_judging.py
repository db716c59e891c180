"""Verdicts on runs whose truth is known: within a run, and between two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.compared import CALIBRATION, write_blocks

from harness.compare.judging import (
    RunEffect,
    between_runs,
    in_cycles,
    judge_blocks,
    judge_stored,
    of_metrics,
    pool,
)
from harness.compare.result import Verdict
from harness.compare.side import CLOCK, Side, SidePoint, side_of
from harness.compare.verdicts import Verdict as MetricVerdict
from harness.results.store import read_run
from harness.scenario.metrics import PRIMARY

EFFECT = RunEffect.of(CALIBRATION)


def sides(path: Path, slower: float, **more: object) -> tuple[Side, Side]:
    data = read_run(write_blocks(path, {"a": 0.0, "b": slower}, **more))  # type: ignore[arg-type]
    return side_of(data, "a"), side_of(data, "b")


@pytest.mark.parametrize(
    ("slower", "verdict"),
    [(0.1, Verdict.REGRESSION), (-0.1, Verdict.IMPROVEMENT), (0.0, Verdict.EQUIVALENT)],
)
def test_a_planted_change_is_found(slower: float, verdict: Verdict, tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", slower))
    assert point.verdict is verdict
    assert point.blocks == 6
    assert [r.metric.key for r in point.rows] == ["throughput", "p50", "p99"]
    p50 = point.rows[1]
    low, high = p50.interval
    assert low < slower < high
    assert p50.change == pytest.approx(slower, abs=0.01)
    throughput = point.rows[0]  # more is better: a slow-down is a loss
    assert throughput.change == pytest.approx(1 / (1 + slower) - 1, abs=0.01)
    assert throughput.interval[0] < throughput.change < throughput.interval[1]


def test_the_means_are_those_of_the_rounds_that_both_have(tmp_path: Path) -> None:
    """A run that was cut off has a round of one side alone: its change is no ratio of the means."""
    base, candidate = sides(tmp_path / "r", 0.0)
    point = base.points["b1/c1"]
    longer = replace(point, values={k: {**v, 6: 50.0} for k, v in point.values.items()})
    (whole,) = judge_blocks(base, candidate)
    (found,) = judge_blocks(replace(base, points={"b1/c1": longer}), candidate)
    assert [r.base for r in found.rows] == [r.base for r in whole.rows]


def test_few_blocks_decide_nothing_and_say_how_many_would(tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.1, rounds=3))
    assert point.verdict is Verdict.INCONCLUSIVE
    assert point.needed == 4


def test_scatter_that_no_look_would_overcome_is_said(tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.0, noise=0.3))
    assert point.verdict is Verdict.INCONCLUSIVE
    assert point.needed is None
    assert "no planned number of blocks would decide" in point.reason


def test_in_an_open_loop_throughput_is_the_schedules(tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.1, places=("b1/r10",)))
    assert [r.metric.key for r in point.rows] == ["p50", "p99"]


def test_many_points_share_the_level_and_have_one_pooled_verdict(tmp_path: Path) -> None:
    places = tuple(f"b1/c{n}" for n in range(1, 9))
    one, other = sides(tmp_path / "r", 0.04, places=places, noise=0.015)
    alone = judge_blocks(one, other)
    assert any(p.verdict is Verdict.INCONCLUSIVE for p in alone)  # none is sure of itself …
    pooled = {r.metric.key: r.judged.verdict for r in pool(one, other, alone)}
    assert pooled["p50"] is MetricVerdict.REGRESSION  # … together they are
    assert pool(one, other, alone[:1]) == ()


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [("raised", Verdict.REGRESSION), ("parity", Verdict.REGRESSION),
     ("environment", Verdict.INVALID), ("died", Verdict.INVALID)],
)  # fmt: skip
def test_a_candidate_that_cant_run_is_a_verdict(
    reason: str, verdict: Verdict, tmp_path: Path
) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.0, failed={"b": reason}))
    assert point.verdict is verdict
    assert "it refuses the engine" in point.reason


def test_a_base_that_cant_run_decides_nothing(tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.0, failed={"a": "raised"}))
    assert point.verdict is Verdict.INVALID
    assert point.reason.startswith("base: ")


def test_an_invalid_point_is_invalid(tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.5, changes={"flags": ("littles_law",)}))
    assert point.verdict is Verdict.INVALID
    assert "figures contradict each other" in point.reason


@pytest.mark.parametrize(("each_round", "verdict"), [(True, "regression"), (False, "inconclusive")])
def test_one_engine_a_side_decides_nothing(each_round: bool, verdict: str, tmp_path: Path) -> None:
    (point,) = judge_blocks(*sides(tmp_path / "r", 0.1, builds=each_round))
    assert point.verdict == verdict
    assert each_round or "1 engine was built on a side" in point.reason


def clocked(slower: float, clock: float) -> SidePoint:
    rng = np.random.default_rng(3)
    values = {n: 4 * (1 + slower) * float(np.exp(rng.normal(0, 1e-3))) for n in range(6)}
    rates = {n: 1000 / v for n, v in values.items()}
    clocks = dict.fromkeys(range(6), clock)
    return SidePoint({"throughput": rates, "p50": values, "p99": values, CLOCK: clocks})


def side(point: SidePoint) -> Side:
    return Side("s", "", "", {}, "", {}, {}, {}, {"b1/c1": point})


def test_where_clocks_differ_the_verdict_is_confirmed_in_cycles() -> None:
    slow_clock = side(clocked(0.1, 1000.0))
    (point,) = judge_blocks(side(clocked(0.0, 1100.0)), slow_clock)
    assert point.verdict is Verdict.INCONCLUSIVE
    assert "the GPU's clock differed by −9.1 %" in point.reason
    (point,) = judge_blocks(side(clocked(0.0, 1100.0)), side(clocked(0.3, 1000.0)))
    assert point.verdict is Verdict.REGRESSION
    assert "in clock cycles the verdict is the same" in point.reason
    assert in_cycles(clocked(0.0, 1000.0)).values["p50"][0] == pytest.approx(4000, rel=0.01)


@pytest.mark.parametrize(
    ("builds", "clock", "verdict"),
    [(0, 1000.0, "regression"), (5, 1000.0, "regression"), (1, 1000.0, "inconclusive"),
     (0, 1100.0, "inconclusive")],
)  # fmt: skip
def test_the_pooled_verdict_keeps_to_the_same_guards(
    builds: int, clock: float, verdict: str
) -> None:
    base, slow = (
        replace(
            side(clocked(0.0, hz)), builds=builds,
            points={place: clocked(by, hz) for place in ("b1/c1", "b1/c2")},
        )
        for by, hz in ((0.0, clock), (0.1, 1000.0))
    )  # fmt: skip
    rows = {r.metric.key: r for r in pool(base, slow, judge_blocks(base, slow))}
    assert rows["p50"].judged.verdict == verdict


def test_of_metrics() -> None:
    m = MetricVerdict
    assert of_metrics([m.EQUIVALENT, m.REGRESSION, m.IMPROVEMENT]) is Verdict.REGRESSION
    assert of_metrics([m.INCONCLUSIVE, m.IMPROVEMENT]) is Verdict.IMPROVEMENT
    assert of_metrics([m.INCONCLUSIVE, m.EQUIVALENT]) is Verdict.INCONCLUSIVE
    assert of_metrics([m.EQUIVALENT]) is Verdict.EQUIVALENT


# ------------------------------------------------------------------------------------- stored runs


def two_runs(path: Path, slower: float) -> tuple[Side, Side]:
    runs = [
        read_run(write_blocks(path / n, {"a": s}, seed=seed))
        for n, s, seed in (("one", 0.0, 1), ("two", slower, 2))
    ]
    return side_of(runs[0], "a"), side_of(runs[1], "a")


def test_without_a_known_run_effect_there_is_no_verdict(tmp_path: Path) -> None:
    (point,) = judge_stored(*two_runs(tmp_path, 0.5), None)
    assert point.verdict is Verdict.INCONCLUSIVE
    assert "harness calibrate learns it" in point.reason
    assert not point.rows[0].known


@pytest.mark.parametrize(("slower", "verdict"), [(0.1, "regression"), (0.0, "equivalent")])
def test_with_one_there_is(slower: float, verdict: str, tmp_path: Path) -> None:
    (point,) = judge_stored(*two_runs(tmp_path, slower), EFFECT)
    assert point.verdict == verdict


def test_a_calibration_of_an_earlier_version_is_none() -> None:
    assert RunEffect.of(None) is None
    assert RunEffect.of({"schema_version": 1, "spread": {}}) is None
    assert RunEffect.of({"schema_version": 2, "spread": {}}) is None


@pytest.mark.parametrize("run", [0.0, 0.01, 0.02])
def test_false_alarms_between_runs_whose_run_effect_is_learned_from_few(run: float) -> None:
    """5 % is the aim; the calibration of four runs is drawn anew each time."""
    rng, metrics, alarms, trials = np.random.default_rng(int(1e3 * run)), [PRIMARY["p50"]], 0, 500
    for _ in range(trials):
        learned = rng.normal(0, run, 4)[:, None] + rng.normal(0, 0.01, (4, 10))
        within = float(learned.var(axis=1, ddof=1).mean())
        between = max(0.0, float(learned.mean(axis=1).var(ddof=1)) - within / 10)
        effect = RunEffect({"p50": between}, {"p50": within}, 4)
        values = [
            {"p50": dict(enumerate(np.exp(rng.normal(0, run) + rng.normal(0, 0.01, 5))))}
            for _ in range(2)
        ]
        (judged,) = between_runs(values[0], values[1], metrics, effect, 0.05)
        alarms += judged.verdict in (MetricVerdict.REGRESSION, MetricVerdict.IMPROVEMENT)
    assert alarms / trials <= 0.06
