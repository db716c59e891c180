"""What a scenario would measure, said before it does: for `validate` and `run --dry-run`."""

from __future__ import annotations

from dataclasses import dataclass

from harness.scenario.points import estimate, expand, left_out
from harness.scenario.spec.scenario import Scenario
from harness.scenario.wording import counted


@dataclass(frozen=True, slots=True)
class Overview:
    """The points and about how long they take."""

    scenario: str
    points: tuple[str, ...]
    backends: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    concurrency: tuple[int, ...]
    rounds: int
    seconds: float
    left_out: tuple[str, ...]
    """What the scenario asks for and is not measured, with the reason."""
    search: str

    def lines(self) -> list[str]:
        """Every point, what is left out, and the time."""
        minutes, seconds = divmod(round(self.seconds), 60)
        found = [*self.points, *(f"note: {text}" for text in self.left_out)]
        if self.search in ("quick", "bayesian"):
            found.append(f"search: {self.search} measures only some of these configs")
        return [
            *found,
            f"{counted(len(self.points), 'point')} × {counted(self.rounds, 'round')}, about "
            f"{minutes}:{seconds:02d} (slow points extend their window, at most to window_max)",
        ]

    def to_json(self) -> dict[str, object]:
        """What `run --dry-run --json` prints."""
        return {
            "points": self.points, "rounds": self.rounds, "estimate_s": self.seconds,
            "left_out": self.left_out, "search": self.search,
        }  # fmt: skip


def overview(scenario: Scenario) -> Overview:
    """Count what a scenario asks for."""
    load = scenario.load
    return Overview(
        scenario=scenario.scenario,
        points=tuple(point.id for point in expand(scenario)),
        backends=tuple(backend.name for backend in scenario.backends),
        batch_sizes=tuple(load.batch_sizes),
        concurrency=tuple(load.concurrency or ()),
        rounds=scenario.measurement.rounds,
        seconds=estimate(scenario),
        left_out=tuple(left_out(scenario)),
        search=scenario.search.method,
    )
