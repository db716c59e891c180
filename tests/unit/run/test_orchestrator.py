"""The orchestrator where nothing is left to measure: it says its plan, and concludes once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rows import measurement

from harness.results.events import Event, Note, Plan, Reached, Spent, Status, Undecided
from harness.results.store import RunStore, read_run
from harness.run.orchestrator import Orchestrator, Paths
from harness.scenario.points import expand
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario

TEXT = """\
scenario: s
model: {name: m, source: {fake: {}}}
backends: [{kind: fake, name: a, service_time_ms: 1}]
load: {batch_sizes: [1], concurrency: [1, 2]}
measurement: {rounds: 2, rounds_max: 2}
"""


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)


@pytest.fixture
def scenario() -> Scenario:
    return load_text(TEXT)


@pytest.fixture
def store(tmp_path: Path, scenario: Scenario) -> Iterator[RunStore]:
    manifest = {"scenario": scenario.model_dump(mode="json")}
    with RunStore.create(tmp_path / "run", manifest) as made:
        yield made


def resumed(scenario: Scenario, store: RunStore, tmp_path: Path) -> list[Event]:
    """What is told when the run is gone on with; nothing may be started for it."""
    watcher = Watcher()
    paths = Paths(tmp_path, tmp_path / "cache")
    Orchestrator(scenario, store, paths, watcher, read_run(store.path)).run()
    assert not any(isinstance(e, Status) for e in watcher.events)
    return watcher.events


def test_a_run_that_was_cut_short_after_its_last_point_is_concluded_once(
    scenario: Scenario, store: RunStore, tmp_path: Path
) -> None:
    points = expand(scenario)
    for round_ in range(2):
        for point in points:
            store.append(measurement(
                point=point.id, round=round_, concurrency=point.concurrency,
                throughput=100.0 + round_,
            ))  # fmt: skip
    plan, *rest = resumed(scenario, store, tmp_path)
    assert plan == Plan(("a/b1/c1", "a/b1/c2"), 2, measured=4)
    reached = [e for e in rest if isinstance(e, Reached)]
    assert [e.point for e in reached] == ["a/b1/c1", "a/b1/c2"]
    assert rest[-1] == Undecided("")
    assert resumed(scenario, store, tmp_path) == [plan]


def two_wide_rounds(scenario: Scenario, store: RunStore) -> None:
    """Of every point, far apart, and 40 s of the budget spent in each."""
    for round_ in range(2):
        for point in expand(scenario):
            store.append(measurement(
                point=point.id, round=round_, concurrency=point.concurrency,
                throughput=100.0 + 50 * round_,
            ))  # fmt: skip
        store.append(Spent(40.0 * (round_ + 1)))


def test_what_was_spent_of_a_budget_before_an_interruption_stays_spent(
    store: RunStore, tmp_path: Path
) -> None:
    """Ten rounds are allowed and intervals are wide, but the first part used up the budget."""
    text = TEXT.replace("rounds_max: 2", "rounds_max: 10, budget: 60s")
    scenario = load_text(text)
    two_wide_rounds(scenario, store)
    *_, reached, _ = resumed(scenario, store, tmp_path)
    assert isinstance(reached, Reached)
    assert reached.why == "budget spent"


def test_windows_that_begin_slow_in_every_round_are_noted(
    scenario: Scenario, store: RunStore, tmp_path: Path
) -> None:
    scenario = load_text(TEXT.replace("rounds_max: 2", "rounds_max: 3"))
    for round_ in range(3):
        for point in expand(scenario):
            slower = 0.04 if point.concurrency == 1 else 0.01
            store.append(measurement(
                point=point.id, round=round_, concurrency=point.concurrency,
                throughput=100.0 + round_, details={"window_start": (0.975, slower)},
            ))  # fmt: skip
    resumed(scenario, store, tmp_path)
    (note,) = [n.text for n in read_run(store.path).rows(Note) if "begin" in n.text]
    assert note.startswith("a/b1/c1: its windows begin 4 % slower in the mean of the rounds")


def test_a_budget_that_kept_nothing_back_is_not_the_reason(store: RunStore, tmp_path: Path) -> None:
    """It is over, but every round that may be had been measured."""
    scenario = load_text(TEXT.replace("rounds_max: 2", "rounds_max: 2, budget: 60s"))
    two_wide_rounds(scenario, store)
    *_, reached, _ = resumed(scenario, store, tmp_path)
    assert isinstance(reached, Reached)
    assert reached.why == "rounds_max (2) reached"
