"""Hill climbing over the axes, as Model Analyzer's quick search does, one config at a time.

From `default` (or the first values), along one axis after another: as long as the next value is
better, go on; then try the other direction. It ends when no neighbour is better. Where an axis has
no order (batching on or off), every other value is a neighbour. It may end on a local optimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.scenario.variants import DEFAULT_CONFIG
from harness.search.score import Score
from harness.search.space import Place, Space


def next_configs(space: Space, known: Mapping[str, Score]) -> list[str]:
    """The config to measure next, given the scores of those that were; empty at the top."""
    if DEFAULT_CONFIG not in known:
        return [DEFAULT_CONFIG]
    climb = _Climb(space, known)
    try:
        climb.run()
    except _UnknownError as unknown:
        return [unknown.config]
    return []


class _UnknownError(Exception):
    """The climb needs a config that was not measured yet."""

    def __init__(self, config: str) -> None:
        super().__init__(config)
        self.config = config


class _Climb:
    """The whole climb, made again each time from what is known: so it needs no memory."""

    def __init__(self, space: Space, known: Mapping[str, Score]) -> None:
        self._space, self._known, self._names = space, known, space.by_place

    def run(self) -> Place:
        """The top. Raises _UnknownError."""
        here = self._space.start
        best = self._score(here)
        moved = True
        while moved:
            moved = False
            for axis in range(len(self._space.axes)):
                there, found = self._along(axis, here, best)
                moved = moved or there != here
                here, best = there, found
        return here

    def _along(self, axis: int, here: Place, best: Score) -> tuple[Place, Score]:
        """The best place that is reached along one axis."""
        if not self._space.axes[axis].ordered:
            for place in self._others(axis, here):
                if (found := self._score(place)) > best:
                    here, best = place, found
            return here, best
        begin = here
        for step in (1, -1):
            while (there := self._moved(axis, here, step)) is not None:
                found = self._score(there)
                if found <= best:
                    break
                here, best = there, found
            if here != begin:
                break  # what lies behind was passed, or was the start
        return here, best

    def _others(self, axis: int, here: Place) -> Iterator[Place]:
        for index in range(len(self._space.axes[axis].values)):
            if index != here[axis]:
                yield (*here[:axis], index, *here[axis + 1 :])

    def _moved(self, axis: int, here: Place, step: int) -> Place | None:
        index = here[axis] + step
        if not 0 <= index < len(self._space.axes[axis].values):
            return None
        return (*here[:axis], index, *here[axis + 1 :])

    def _score(self, place: Place) -> Score:
        name = self._names[place]
        if name not in self._known:
            raise _UnknownError(name)
        return self._known[name]
