"""The climb, one config at a time, over a landscape whose top is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from harness.scenario.variants import Axis
from harness.search.quick import next_configs
from harness.search.score import Score
from harness.search.space import Space


def space(*sizes: int, start: tuple[int, ...], ordered: bool = True) -> Space:
    """Axes with so many values; `default` is at `start`, other places are named by their digits."""
    axes = tuple(
        Axis(str(i), tuple(range(n)), tuple(map(str, range(n))), ordered)
        for i, n in enumerate(sizes)
    )
    places = list(product(*(range(n) for n in sizes)))
    names = {place: "".join(map(str, place)) for place in places} | {start: "default"}
    ordered_places = sorted(places, key=lambda place: place != start)
    return Space("t", axes, tuple((names[place], place) for place in ordered_places))


def climb(over: Space, value: Callable[[tuple[int, ...]], float]) -> list[str]:
    places = dict(over.places)
    known: dict[str, Score] = {}
    while names := next_configs(over, known):
        for name in names:
            place = places[name]
            assert place is not None
            known[name] = Score(0.0, value(place))
    return list(known)


def test_the_default_is_measured_first() -> None:
    assert next_configs(space(3, start=(1,)), {}) == ["default"]


@pytest.mark.parametrize("top", range(5))
def test_every_place_of_an_axis_is_reached_its_ends_too(top: int) -> None:
    tried = climb(space(5, start=(2,)), lambda place: -abs(place[0] - top))
    assert ("default" if top == 2 else str(top)) in tried


def test_a_step_that_is_worse_ends_the_direction() -> None:
    assert climb(space(5, start=(2,)), lambda place: -abs(place[0] - 2)) == ["default", "3", "1"]
    up = climb(space(5, start=(1,)), lambda place: place[0])
    assert up == ["default", "2", "3", "4"]  # what lies behind was not tried


def test_an_equal_neighbour_is_no_reason_to_move() -> None:
    assert climb(space(3, 3, start=(1, 1)), lambda _: 1.0) == ["default", "21", "01", "12", "10"]


def test_without_an_order_every_value_is_a_neighbour() -> None:
    values = (1.0, 5.0, 0.0, 9.0)
    tried = climb(space(4, start=(1,), ordered=False), lambda place: values[place[0]])
    assert set(tried) == {"default", "0", "2", "3"}


def test_the_other_axis_is_climbed_from_the_best_so_far() -> None:
    tried = climb(space(3, 3, start=(0, 0)), lambda place: 10 * place[0] + place[1])
    assert tried == ["default", "10", "20", "21", "22", "12"]  # and back, from where it came to
