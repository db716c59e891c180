import json
import math
from dataclasses import replace

import numpy as np
import pytest
from support import simulated_queue

from harness.analysis.calibrate import calibrate, false_alarm_text
from harness.analysis.summary import summarize
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
