"""Intervals that know on which card each round was measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.rows import measurement

from harness.analysis.cards import over_cards
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.metrics import over_rounds


def coverage(cards: int, rounds: int, spread: float, runs: int = 400) -> tuple[float, float]:
    """Of the kind's value, with and without knowing the cards; rounds differ by 1 %."""
    rng = np.random.default_rng([cards, rounds])
    names = [f"c{n}" for n in range(cards) for _ in range(rounds)]
    held = np.zeros(2)
    for _ in range(runs):
        effects = np.repeat(rng.normal(0, spread, cards), rounds)
        values = np.exp(effects + rng.normal(0, 0.01, cards * rounds)).tolist()
        plain = log_t_interval(values)
        for k, found in enumerate((over_cards(plain, values, names), plain)):
            held[k] += found.low <= 1 <= found.high
    return tuple(held / runs)


def test_the_kinds_value_is_held_where_cards_differ() -> None:
    known, plain = coverage(4, 3, 0.02)
    assert known >= 0.92
    assert plain < 0.88  # so many rounds of a card are not so many readings of its kind
    known, plain = coverage(4, 3, 0.0)
    assert known >= plain >= 0.92


def test_one_round_a_card_is_as_before() -> None:
    values = [1.0, 1.02, 0.99, 1.01]
    plain = log_t_interval(values)
    found = over_cards(plain, values, list("abcd"))
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), rel=1e-12)


def test_two_cards_and_one_say_nothing_of_their_kind() -> None:
    values = [1.0, 1.01, 1.2, 1.21]
    plain = log_t_interval(values)
    assert over_cards(plain, values, ["a", "a", "b", "b"]) == plain
    assert over_cards(plain, values, [None] * 4) == plain
    nothing = Interval(1.0)
    assert over_cards(nothing, values, list("abcd")) == nothing
    below = Interval(1.0, 0.9, None, 4, at_least=True)
    wider = over_cards(below, [1.0, 1.5, 1.0, 1.5, 1.0, 1.5], list("ababcc"))
    assert wider.high is None and wider.low is not None and wider.low < 0.9


def test_a_points_interval_knows_its_rows_cards() -> None:
    def rows(named: bool) -> list:
        return [
            measurement(
                round=n, throughput=250 * (1 + 0.05 * (n // 3)) * (1 + 0.001 * (n % 3)),
                details={"block": f"GPU {n // 3}"} if named else {},
            )
            for n in range(9)
        ]  # fmt: skip

    plain, known = over_rounds(rows(False), "throughput"), over_rounds(rows(True), "throughput")
    assert plain is not None and known is not None
    assert known.value == plain.value and known.rounds == 9
    half = math.log(known.high / known.low) / 2
    assert half > 2 * plain.half_width
