"""What a machine that is compared with itself shows: known effects, a drift, and none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support import simulated_queue
from support.rows import measurement

from harness.analysis.summary import summarize
from harness.compare.effects import (
    Calibration,
    Design,
    PointTest,
    calibrate,
    compare,
    effects_of,
    values_of,
)
from harness.compare.verdicts import Verdict, judge
from harness.scenario.metrics import PRIMARY
from harness.scenario.points import Point

RUNS, ROUNDS = 4, 10


def logs(generator, run=0.0, spread=0.01, drift=0.0, shape=(RUNS, ROUNDS)):
    """Logs of rounds with the standard deviations `run` and `spread`, and a drift a round."""
    runs, rounds = shape
    noise = generator.normal(0, spread, shape) + generator.normal(0, run, (runs, 1))
    return noise + drift * np.arange(rounds)


def effects_alone(point, values):
    none = Design(0, 0, {})
    return PointTest(point, {m: effects_of(v) for m, v in values.items()}, none, none)


def machine(generator, of=compare, **effects):
    """A calibration of two points; latencies are the reciprocal of the throughput, nearly."""
    tests = []
    for name in ("fake/b1/c1", "fake/b1/c4"):
        slow = logs(generator, **effects)
        tests.append(of(name, {
            "throughput": 5 - slow, "p50": slow + generator.normal(0, 0.002, slow.shape),
            "p99": slow + generator.normal(0, 0.02, slow.shape),
        }))  # fmt: skip
    return Calibration(RUNS, ROUNDS, tuple(tests), ())


def rows(backend, rounds=ROUNDS, spread=0.01, seed=3, **changes):
    """Rounds of one point whose values vary from round to round by `spread`."""
    row, _ = simulated_queue.measure(
        Point(backend, "default", 1, concurrency=1), 0, 4.0, 5.0, seed=0
    )
    factors = np.exp(np.random.default_rng(seed).normal(0, spread, rounds))
    latency = {p: v for p, v in row.latency_ms.items() if v is not None}
    return [
        replace(
            row, round=i, throughput=row.throughput / f,
            latency_ms={p: v * f for p, v in latency.items()}, **changes,
        )
        for i, f in enumerate(factors)
    ]  # fmt: skip


# ------------------------------------------------------------------------- effects and drift


@pytest.mark.parametrize("run", [0.0, 0.01, 0.03])
def test_variances_are_those_that_were_put_in(run):
    generator = np.random.default_rng(1)
    found = [effects_of(logs(generator, run=run)) for _ in range(4000)]
    assert np.mean([e.round_variance for e in found]) == pytest.approx(1e-4, rel=0.02)
    assert np.mean([e.run_variance for e in found]) == pytest.approx(run**2, rel=0.08, abs=2e-6)


@pytest.mark.parametrize("run", [0.0, 0.03])
@pytest.mark.parametrize("spread", [0.005, 0.01, 0.03])
def test_a_drift_of_one_percent_a_round_is_found_and_none_is_not_called_one(run, spread):
    generator = np.random.default_rng(2)
    for drift, lowest, highest in ((0.01, 0.95, 1), (-0.01, 0.95, 1), (0.0, 0, 0.03)):
        effects = {"run": run, "spread": spread, "drift": drift}
        found = [bool(machine(generator, effects_alone, **effects).drifts) for _ in range(250)]
        assert lowest <= np.mean(found) <= highest


def test_a_drift_is_named_with_its_size():
    found = machine(np.random.default_rng(3), drift=0.01).drifts
    assert set(found) >= {"p50 of fake/b1/c1", "throughput of fake/b1/c4"}
    assert found["p50 of fake/b1/c1"] == pytest.approx(0.01, abs=0.002)
    assert found["throughput of fake/b1/c4"] == pytest.approx(-0.01, abs=0.002)


# ------------------------------------------------------------------------------ the two designs


def rates(**effects):
    generator = np.random.default_rng(4)
    found = [machine(generator, **effects) for _ in range(60)]
    halves = sum(t.halves.false_alarms for c in found for t in c.tests) / (60 * 2 * RUNS)
    return halves, sum(t.runs.false_alarms for c in found for t in c.tests) / (60 * 2 * 6)


def test_false_alarms_are_few_without_an_effect_and_show_what_there_is():
    assert max(rates()) <= 0.05
    halves, runs = rates(drift=0.01)  # 5 % from half to half, the same in every run
    assert halves > 0.5 and runs <= 0.05
    halves, runs = rates(run=0.05)
    assert halves <= 0.05 and runs > 0.5


def test_runs_that_differ_hide_what_their_rounds_would_show():
    generator = np.random.default_rng(5)
    found = compare("x", {"p50": logs(generator, run=0.05)})
    assert found.runs.detectable["p50"] > 2 * found.halves.detectable["p50"] > 0.04
    assert (found.halves.comparisons, found.runs.comparisons) == (RUNS, 6)


def test_a_slowdown_of_the_detectable_size_is_found_four_times_in_five():
    """Of the machine, by blocks of a spread that is known: the median of the sizes."""
    generator, size, hits = np.random.default_rng(6), [], 0
    for _ in range(400):
        values = logs(generator, spread=0.02)
        size.append(compare("x", {"p50": values}).halves.detectable["p50"])
    for _ in range(2000):
        one, other = np.exp(logs(generator, spread=0.02, shape=(2, ROUNDS // 2)))
        slower = other * (1 + np.median(size))
        said = judge({"p50": list(zip(one, slower, strict=True))}, [PRIMARY["p50"]])
        hits += said[0].verdict is Verdict.REGRESSION
    assert hits / 2000 == pytest.approx(0.8, abs=0.06)


# --------------------------------------------------------------------------------------- points


def test_points_that_can_not_be_compared_are_left_out_and_named():
    run = summarize([
        *rows("good"), *rows("few", 3), *rows("invalid", flags=("client_late",)),
        *rows("searched", details={"search": "searched/b1/find_capacity"}),
    ])  # fmt: skip
    found = calibrate([run, run, [*run, *summarize(rows("once"))]], ROUNDS)
    assert [t.point for t in found.tests] == ["good/b1/c1"]
    assert found.left_out == ("few/b1/c1", "invalid/b1/c1", "once/b1/c1")
    assert (found.runs, found.rounds) == (3, ROUNDS)


def test_what_is_stored_is_that_of_all_points():
    run = [summarize([*rows("calm", seed=s), *rows("wild", spread=0.05, seed=9 - s)])
           for s in range(4)]  # fmt: skip
    found = calibrate(run, ROUNDS)
    stored = found.to_json()
    assert stored["halves"]["comparisons"] == 8 and stored["between"]["comparisons"] == 12
    worst = max(t.halves.detectable["p50"] for t in found.tests)
    assert stored["halves"]["detectable"]["p50"] == worst
    squares = [t.effects["p50"].round_variance for t in found.tests]
    assert found.spread["p50"]["round"] == pytest.approx(math.sqrt(np.mean(squares)))


def test_values_are_those_that_every_round_has_and_runs_are_cut_to_the_shortest():
    row = measurement(round=1, throughput=200.0, latency_ms={"p50": 2.0, "p99": None})
    other = replace(row, round=0, latency_ms={"p50": 1.0, "p99": 3.0}, throughput=100.0)
    found = values_of([[row, other], [replace(row, round=5), other, replace(row, round=7)]])
    assert {m: np.exp(v).round(9).tolist() for m, v in found.items()} == {
        "throughput": [[100, 200], [100, 200]], "p50": [[1, 2], [1, 2]],
    }  # fmt: skip
    unanswered = replace(other, latency_ms={"p50": math.inf, "p99": 3.0})
    assert list(values_of([[row, unanswered], [row, other]])) == ["throughput"]
