import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from support import simulated_queue
from support.rows import measurement

from harness.analysis.calibrate import (
    calibrate,
    false_alarm_text,
    primary_values,
    self_test,
    splits,
)
from harness.analysis.comparison import Verdict, judge
from harness.analysis.summary import summarize
from harness.scenario.metrics import PRIMARY
from harness.scenario.points import Point
from harness.system.files import jsonable


def rows(backend, rounds, spread=0.01, **changes):
    """Rounds of one point whose values vary from round to round by `spread`."""
    row, _ = simulated_queue.measure(
        Point(backend, "default", 1, concurrency=1), 0, 4.0, 5.0, seed=0
    )
    factors = np.exp(np.random.default_rng(3).normal(0, spread, rounds))
    latency = {p: v for p, v in row.latency_ms.items() if v is not None}
    return [
        replace(
            row, round=i, throughput=row.throughput / f,
            latency_ms={p: v * f for p, v in latency.items()}, **changes,
        )
        for i, f in enumerate(factors)
    ]  # fmt: skip


def test_points_that_can_not_be_compared_are_left_out_and_named():
    found = calibrate(summarize([
        *rows("good", 12), *rows("few", 3), *rows("invalid", 12, flags=("client_late",)),
        *rows("searched", 12, details={"search": "searched/b1/find_capacity"}),
    ]))  # fmt: skip
    assert [t.point for t in found.tests] == ["good/b1/c1"]
    assert found.left_out == ("few/b1/c1", "invalid/b1/c1")
    assert found.rounds == 6
    assert found.comparisons == 500
    assert 0 <= found.false_alarms <= 25


def test_detectable_is_what_every_point_can_show():
    found = calibrate(summarize([*rows("calm", 20, 0.003), *rows("noisy", 20, 0.05)]))
    calm, noisy = found.tests
    assert calm.detectable["p50"] < noisy.detectable["p50"] == found.detectable["p50"]
    assert calm.detectable["p99"] > 0.05  # the margin of p99


def test_text_is_made_from_what_is_stored():
    stored = json.loads(json.dumps(jsonable({
        "scenario": "fake", "created": "2026-03-04T10:11:12+00:00", "rounds": 10,
        "false_alarms": 12, "comparisons": 4000,
        "detectable": {"throughput": 0.0292, "p50": 0.0261, "p99": math.inf},
    })))  # fmt: skip
    assert false_alarm_text(stored) == (
        "On this machine an A/A test of fake (10 against 10 rounds, 2026-03-04) raised a false "
        "alarm in 12 of 4,000 comparisons; smallest detectable effect: throughput 2.9 %, "
        "p50 2.6 %, p99 none."
    )
    with pytest.raises(KeyError):
        false_alarm_text({})


rng = np.random.default_rng(5)


def noisy(count, scale=1.0, spread=0.01, generator=rng):
    return list(scale * np.exp(generator.normal(0, spread, count)))


def test_splits_take_one_of_each_pair_of_neighbours():
    found = list(splits(8, 50, seed=3))
    for blocks in found:
        assert [set(block) for block in blocks] == [{2 * i, 2 * i + 1} for i in range(4)]
    assert len({tuple(blocks) for blocks in found}) > 8
    assert found == list(splits(8, 50, seed=3))


def test_self_test_raises_hardly_any_false_alarm_and_knows_what_it_can_detect():
    generator = np.random.default_rng(2)
    values = {
        "throughput": noisy(20, 100, 0.01, generator), "p50": noisy(20, 4, 0.01, generator),
        "p99": noisy(20, 9, 0.03, generator),
    }  # fmt: skip
    found = self_test("fake/b1/c1", values, count=300)
    assert (found.rounds, found.comparisons) == (10, 300)
    assert found.any_false_alarm <= 0.05 * 300
    # with sd 1 % and ten blocks t at Holm's strictest level asks for 1.6 %, the margin for 2 %
    assert 0.02 < found.detectable["p50"] < 0.04
    assert found.detectable["p99"] > found.detectable["p50"]
    assert found.equivalent["p50"] > 0


def test_a_shift_of_the_detectable_size_is_found_four_times_in_five():
    generator = np.random.default_rng(4)
    values = {"p50": noisy(20, 4, 0.01, generator), "throughput": noisy(20, 9, 0.01, generator)}
    found = self_test("x", values, count=300, seed=8)
    hits = {1.001: 0, 0.9: 0}
    for blocks, (factor, _) in itertools.product(splits(20, 300, 8), hits.items()):
        slower = (1 + found.detectable["p50"]) ** factor
        pairs = {m: [(v[a], v[b]) for a, b in blocks] for m, v in values.items()}
        pairs["p50"] = [(a, b * slower) for a, b in pairs["p50"]]
        said = {j.metric: j.verdict for j in judge(pairs, PRIMARY.values())}
        hits[factor] += said["p50"] is Verdict.REGRESSION
    # Holm's level is the strictest only where the other metric is no more significant
    assert hits[0.9] < 240 <= hits[1.001] <= 270


def test_self_test_of_few_rounds():
    with pytest.raises(ValueError, match="needs 8 rounds at least, found 6"):
        self_test("x", {"p50": noisy(7)})
    with pytest.raises(ValueError, match="found 0"):
        self_test("x", {})


def test_primary_values_are_those_that_every_round_has():
    row = measurement(round=1, throughput=200.0, latency_ms={"p50": 2.0, "p99": None})
    other = replace(row, round=0, latency_ms={"p50": 1.0, "p99": 3.0}, throughput=100.0)
    assert primary_values([row, other]) == {"throughput": [100.0, 200.0], "p50": [1.0, 2.0]}
    unanswered = replace(other, latency_ms={"p50": math.inf, "p99": 3.0})
    assert list(primary_values([row, unanswered])) == ["throughput"]
