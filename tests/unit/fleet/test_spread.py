"""How cards differ: known spreads are found, a slower card is named and an equal one is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.rows import measurement

from harness.fleet.spread import between, readings, spread_of

POINTS = ("a/b1/c1", "a/b1/c2", "a/b4/c1")


def rows(speeds: dict[str, list[float]], points: tuple[str, ...] = POINTS, **more: object) -> list:
    """Rounds of each card at these speeds; each point has a level of its own."""
    found, round_ = [], 0
    for card, of in speeds.items():
        for speed in of:
            found += [
                measurement(point=p, round=round_, throughput=speed * 100 * (n + 1),
                            **{"details": {"block": card}, **more})
                for n, p in enumerate(points)
            ]  # fmt: skip
            round_ += 1
    return found


def test_a_reading_is_what_a_rounds_points_have_in_common() -> None:
    found = readings(rows({"x": [1.0, 1.02], "y": [0.97, 0.99]}))
    flat = [v for of in found.values() for v in of]
    wanted = np.log([1.0, 1.02, 0.97, 0.99])
    assert flat == pytest.approx(list(wanted - wanted.mean()), abs=1e-9)
    every = rows({"x": [1.0, 1.02], "y": [0.97, 0.99]})
    del every[1]  # a point that failed in a round
    assert readings(every)["x"][0] == pytest.approx(found["x"][0], abs=1e-9)


def test_open_loops_are_read_by_their_latency() -> None:
    def at(card: str, round_: int, p50: float) -> object:
        return measurement(
            point="a/b1/r10", round=round_, concurrency=None, request_rate=10.0,
            latency_ms={"p50": p50}, details={"block": card},
        )  # fmt: skip

    found = readings([at("x", 0, 2.0), at("y", 1, 4.0)])  # type: ignore[list-item]
    assert found["x"][0] - found["y"][0] == pytest.approx(math.log(2))


def test_a_slower_card_is_named_with_by_how_much() -> None:
    found = spread_of(rows({
        "GPU 0": [1.0, 1.003], "GPU 1": [0.968, 0.97], "GPU 2": [1.002, 0.999], "GPU 3": [1.0, 1.0],
    }))  # fmt: skip
    assert found is not None
    assert [card.name for card in found.cards if card.slower] == ["GPU 1"]
    general, named = found.sentences()
    assert general.startswith("between 4 GPUs or machines: speeds differ by 1.6 % (")
    assert named.startswith("GPU 1 is slower than its peers by 3.2 % (")


def test_one_round_a_card_judges_none() -> None:
    found = spread_of(rows({"x": [1.0], "y": [0.9], "z": [1.01]}))
    assert found is not None and not any(card.slower for card in found.cards)
    (said,) = found.sentences()
    assert "none has two rounds: no card is judged" in said
    assert spread_of(rows({"x": [1.0, 1.1]})) is None
    assert spread_of([measurement()]) is None


def test_a_spread_of_which_little_is_known_is_said_in_plain_numbers() -> None:
    (said, *_) = between({"x": [0.0, 0.1], "y": [0.3, 0.5]}).sentences()
    assert "e+" not in said and " % (0 % to " in said


def test_error_rates_where_the_truth_is_known() -> None:
    """Two cards with four rounds each, which differ by 0.5 %: the second is 3 % slower, or not."""
    rng = np.random.default_rng(1)
    runs, slow, alarms, held = 150, 0, 0, 0
    for _ in range(runs):
        noise = rng.normal(0, 0.005, (2, 4))
        equal = between({"x": noise[0].tolist(), "y": noise[1].tolist()})
        alarms += any(card.slower for card in equal.cards)
        held += equal.deviation.low == 0
        other = between({"x": noise[0].tolist(), "y": (noise[1] - 0.0305).tolist()})
        slow += other.cards[1].slower and not other.cards[0].slower
    assert slow >= 0.95 * runs
    assert alarms <= 0.05 * runs
    assert held >= 0.9 * runs
