"""What a run knows of itself, in memory and in its journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rows import capacity, measurement

from harness.errors import BackendError, OutOfMemoryError
from harness.results.events import Event, Note, Spent, Status
from harness.results.rows import CeilingRow, FailureRow, ParityRow, ServerOnlyRow
from harness.results.store import RunStore, read_run
from harness.run.state import RunState
from harness.scenario.points import Point

POINT = Point("a", "default", 1, concurrency=1)


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore.create(tmp_path / "run", {"scenario": {}}) as made:
        yield made


def test_every_line_says_what_is_gone_of_a_budget(store: RunStore) -> None:
    """A search for a capacity takes minutes a point: killed in it, they are spent."""
    state = RunState(store, Watcher())
    state.add(Note("of a run without a budget"))
    assert not read_run(store.path).rows(Spent)
    state.spent = iter([3.0, 8.0]).__next__
    state.note("prepared")
    state.add_result(measurement(details={"search": "a/b1/find_capacity"}))
    assert [line.seconds for line in read_run(store.path).rows(Spent)] == [3.0, 8.0]


def test_a_line_is_in_the_journal_before_the_observer_hears_of_it(store: RunStore) -> None:
    class Reader:
        def __call__(self, event: Event) -> None:
            assert read_run(store.path).events[-1] == event

    RunState(store, Reader()).note("clipped")
    assert read_run(store.path).events == (Note("clipped"),)


def test_what_goes_on_now_is_told_but_not_written(store: RunStore) -> None:
    watcher = Watcher()
    RunState(store, watcher).notify(Status("preparing"))
    assert watcher.events == [Status("preparing")]
    assert read_run(store.path).events == ()


def test_what_is_measured_is_no_longer_missing_in_its_round(store: RunStore) -> None:
    state = RunState(store, Watcher())
    assert POINT.id == "a/b1/c1"
    assert state.missing(POINT, 0)
    state.add_result(measurement())
    assert not state.missing(POINT, 0)
    assert state.missing(POINT, 1)
    state.add_result(capacity())
    assert [r.point for r in state.rows] == ["a/b1/c1"]
    assert [c.point for c in state.capacities] == ["a/b1/find_capacity"]


@pytest.mark.parametrize(
    ("error", "again"), [(BackendError("it broke"), True), (OutOfMemoryError("full"), False)]
)
def test_what_would_only_fail_again_is_given_up(
    store: RunStore, error: BackendError | OutOfMemoryError, again: bool
) -> None:
    state = RunState(store, Watcher())
    state.fail(POINT, 0, error, "logs/w.log")
    assert state.missing(POINT, 1) is again
    (row,) = read_run(store.path).failures
    assert (row.point, row.reason, row.log) == ("a/b1/c1", error.reason, "logs/w.log")
    assert state.failures == [row]


def test_an_interrupted_run_is_gone_on_with(store: RunStore) -> None:
    ceiling = CeilingRow("grpc", "wire", 1, "host", 1, 4, 100, 5000.0)
    for line in (
        measurement(), capacity(), ParityRow("a", 1, "agrees", "eager"), ceiling,
        ServerOnlyRow("a", 0, 1.0, 30.0, 2.0), FailureRow("a/b1/c2", 0, "a", "hung", "no answer"),
    ):  # fmt: skip
        store.append(line)
    state = RunState(store, Watcher(), read_run(store.path))
    assert not state.fresh
    assert state.measured == {("a/b1/c1", 0), ("a/b1/find_capacity", 0)}
    assert [row.status for row in state.parity["a"]] == ["agrees"]
    assert state.parity["b"] == []
    assert state.empty == {"a"}
    assert state.failures == []
    assert state.missing(Point("a", "default", 1, concurrency=2), 0)  # what failed is tried again


def test_any_exception_is_recorded_with_its_class_and_its_traceback_is_in_the_log(
    store: RunStore,
) -> None:
    state = RunState(store, Watcher())

    def in_a_library() -> None:
        raise ZeroDivisionError("by zero")

    try:
        in_a_library()
    except ZeroDivisionError as error:
        state.fail(POINT, 1, error, "logs/r1-a.log")
    (row,) = read_run(store.path).failures
    assert (row.point, row.round, row.log) == ("a/b1/c1", 1, "logs/r1-a.log")
    assert (row.reason, row.message) == ("unexpected", "ZeroDivisionError: by zero")
    assert "in in_a_library" in (store.path / row.log).read_text()
    assert state.missing(POINT, 2)


def test_a_run_that_is_to_end_writes_and_tells_nothing_more(store: RunStore) -> None:
    def check() -> None:
        raise KeyboardInterrupt

    watcher = Watcher()
    state = RunState(store, watcher, check=check)
    for step in (lambda: state.note("x"), lambda: state.notify(Status("x")),
                 lambda: state.fail(POINT, 0, BackendError("x"), "logs/x.log")):  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            step()
    assert watcher.events == []
    assert read_run(store.path).events == ()
