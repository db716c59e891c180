"""What is searched, and what for."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.best import INDIFFERENCE
from harness.analysis.constraints import Bounds, bounds_of
from harness.analysis.objective import Objective, objective_of
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.scenario.variants import DEFAULT_CONFIG, Axis, axes, grid

TRIALS, TOP = 20, 3
"""Defaults of `search.trials` and `search.top`."""
Place = tuple[int, ...]
"""An index into the values of each axis."""


@dataclass(frozen=True, slots=True)
class Space:
    """The configs of one backend."""

    backend: str
    axes: tuple[Axis, ...]
    places: tuple[tuple[str, Place | None], ...]
    """Config name and its place, in the order written, `default` first; its place is None where it
    is none of the combinations."""

    @property
    def configs(self) -> list[str]:
        """The names."""
        return [name for name, _ in self.places]

    @property
    def by_place(self) -> dict[Place, str]:
        """The name at each place."""
        return {place: name for name, place in self.places if place is not None}

    @property
    def start(self) -> Place:
        """Where a climb begins: at `default`, or where all values are the first."""
        place = dict(self.places)[DEFAULT_CONFIG]
        return place if place is not None else (0,) * len(self.axes)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a config must hold, what it is to be good at, and the search's settings."""

    objective: Objective
    bounds: Bounds
    method: str = "grid"
    trials: int = TRIALS
    top: int = TOP
    seed: int = 0
    indifference: float = INDIFFERENCE
    """Share of the objective by which points may differ before it matters which is taken."""


def spaces(scenario: Scenario) -> dict[str, Space]:
    """By backend name, the space of each; backends without lists have one of a single config."""
    largest = max(scenario.load.batch_sizes)
    found = {}
    for backend in scenario.backends:
        if isinstance(backend, ServedSettings):
            places = tuple((c.name, c.place) for c in grid(backend, largest))
            found[backend.name] = Space(backend.name, axes(backend), places)
        else:
            found[backend.name] = Space(backend.name, (), ((DEFAULT_CONFIG, ()),))
    return found


def goal(scenario: Scenario) -> Goal:
    """The scenario's goal."""
    search = scenario.search
    resolved = scenario.model_dump(mode="json")
    return Goal(
        objective_of(resolved), bounds_of(resolved), search.method,
        search.trials or TRIALS, search.top or TOP, scenario.measurement.seed, search.indifference,
    )  # fmt: skip
