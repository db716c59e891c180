"""Turns between processes' files: beside one another, and alone."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.results.events import Event, PointStarted
from harness.results.rows import MeasurementRow
from harness.run import execute
from harness.run.turns import VARIABLE, Turns
from harness.scenario.reading.loader import LoadedScenario, load_text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "turns.json").write_text(json.dumps({"alone": ["a/b1/c8"], "said": []}))
    return tmp_path / "turns.json"


class Other(threading.Thread):
    """Another run's turn, held until it is told to end."""

    def __init__(self, file: Path, point: str) -> None:
        super().__init__(daemon=True)
        self.turns, self.point = Turns(file), point
        self.has, self.end = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.turns.of(self.point):
            self.has.set()
            self.end.wait(20)


def test_without_neighbours_nothing_waits_and_no_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with Turns.here().of("a/b1/c8"), Turns.here().of("a/b1/c8"):
        assert not list(tmp_path.iterdir())


def test_the_environment_names_the_list(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(file))
    assert Turns.here().alone == {"a/b1/c8"}


def test_others_run_side_by_side(file: Path) -> None:
    one = Other(file, "a/b1/c1")
    assert one.has.wait(10)
    with Turns(file).of("a/b1/c2"), Turns(file).of():
        assert one.is_alive()
    one.end.set()
    one.join(10)


def wait_until_somebody_queues(file: Path) -> None:
    end = time.monotonic() + 10
    with file.with_suffix(".queue").open("a") as queue:
        while time.monotonic() < end:
            try:
                fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(queue, fcntl.LOCK_UN)
            time.sleep(0.005)
    raise AssertionError("nobody queues")


def test_who_must_be_alone_waits_for_the_others_and_who_comes_later_for_it(file: Path) -> None:
    beside = Other(file, "a/b1/c1")
    assert beside.has.wait(10)
    alone = Other(file, "a/b1/c8")
    wait_until_somebody_queues(file)
    late = Other(file, "a/b1/c2")
    time.sleep(0.1)
    assert not alone.has.is_set() and not late.has.is_set()
    beside.end.set()
    assert alone.has.wait(10)
    time.sleep(0.1)
    assert not late.has.is_set()
    alone.end.set()
    assert late.has.wait(10)
    late.end.set()
    for thread in (beside, alone, late):
        thread.join(10)


def test_a_turn_ends_with_what_is_raised_in_it(file: Path) -> None:
    with pytest.raises(RuntimeError), Turns(file).of("a/b1/c8"):
        raise RuntimeError
    with Turns(file).of("a/b1/c1"):
        pass


TEXT = """
scenario: turns
model: {name: nothing, source: {fake: {}}}
backends: [{name: a, kind: fake, service_time_ms: 1}]
load: {concurrency: [4, 8]}
measurement: {profile: quick, rounds: 1, warmup: 10ms, window: 50ms, window_max: 100ms}
"""


def test_a_run_measures_a_point_alone_once_the_others_have_ended_their_turns(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    beside = Other(file, "")
    assert beside.has.wait(10)
    held: dict[str, bool] = {}

    def tell(event: Event) -> None:
        if isinstance(event, PointStarted) and event.point == "a/b1/c8":
            held["begun"] = beside.end.is_set()
        if isinstance(event, MeasurementRow):
            held[event.point] = beside.end.is_set()
            threading.Timer(0.7, beside.end.set).start()  # long enough for a point, else

    loaded = LoadedScenario(load_text(TEXT, "s.yaml", tmp_path), TEXT, tmp_path / "s.yaml", ())
    assert not execute.start(loaded, tmp_path / "out", nullcontext(tell)).interrupted
    assert held == {"a/b1/c4": False, "begun": True, "a/b1/c8": True}
