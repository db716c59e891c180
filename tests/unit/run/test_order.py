"""Over as many rounds as there are things, each has had every place, whatever the seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from harness.run.order import balanced

SEEDS = ("0", "1", "2/torch")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", range(1, 9))
def test_each_stands_equally_often_in_every_place(count: int, seed: str) -> None:
    things = "abcdefgh"[:count]
    for cycle in range(3):
        rounds = range(cycle * count, (cycle + 1) * count)
        orders = [balanced(things, r, seed) for r in rounds]
        assert all(sorted(order) == list(things) for order in orders)
        counts = Counter((place, thing) for order in orders for place, thing in enumerate(order))
        assert len(counts) == count**2
        assert set(counts.values()) == {1}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [2, 4, 6, 8])
def test_each_follows_every_other_equally_often(count: int, seed: str) -> None:
    things = "abcdefgh"[:count]
    orders = [balanced(things, r, seed) for r in range(count)]
    follows = Counter(pair for order in orders for pair in pairwise(order))
    assert len(follows) == count * (count - 1)
    assert set(follows.values()) == {1}


@pytest.mark.parametrize("seed", [str(n) for n in range(20)])
def test_two_take_turns(seed: str) -> None:
    """Shuffled anew, seed 0 gave AB three times."""
    orders = ["".join(balanced("AB", r, seed)) for r in range(6)]
    assert [set(orders[i : i + 2]) for i in (0, 2, 4)] == [{"AB", "BA"}] * 3


def test_the_seed_draws_the_order_and_nothing_else_does() -> None:
    orders = {tuple(balanced("abcde", 0, str(seed))) for seed in range(200)}
    assert len(orders) > 60  # of 120
    assert {order[0] for order in orders} == set("abcde")
    assert balanced("abcde", 3, "7") == balanced("abcde", 3, "7")


def test_of_nothing_there_is_no_order() -> None:
    assert balanced("", 0, "0") == []
