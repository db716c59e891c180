"""Two lanes on two processors, for real: ended, interrupted, killed, and gone on with."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import pytest

from harness.errors import RunDirectoryError
from harness.fleet import lanes
from harness.results import events
from harness.results.events import Event
from harness.results.rows import FailureRow, MeasurementRow
from harness.results.store import read_run
from harness.run.execute import Ended
from harness.run.live import RunProgress
from harness.run.turns import VARIABLE
from harness.scenario.reading.loader import load

TEXT = """
scenario: short
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake, service_time_ms: 1}]
load: {concurrency: [1, 2, 4]}
measurement:
  {profile: quick, rounds: 2, rounds_max: 2, warmup: 10ms, window: 100ms, window_max: 200ms}
"""
LONGER = TEXT.replace("[1, 2, 4]", "[1, 2, 3, 4, 5, 6]")
EVERY = [(n, f"fake/b1/c{c}") for n in (0, 1) for c in (1, 2, 4)]
EVERY_LONGER = [(n, f"fake/b1/c{c}") for n in (0, 1) for c in range(1, 7)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text(TEXT)


@pytest.fixture
def small_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a lane tells of its points does not fit: it waits until this process has read it."""
    pipe = os.pipe

    def small() -> tuple[int, int]:
        ends = pipe()
        fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 4096)
        return ends

    monkeypatch.setattr(os, "pipe", small)


@pytest.fixture
def held(small_pipes: None) -> None:
    """Lanes that can't come to their end before their first measurement was seen."""
    Path("s.yaml").write_text(LONGER)


def start(tell: Callable[[Event], object]) -> Ended:
    return lanes.start(load("s.yaml"), "cpus:2", Path("out"), nullcontext(tell))


def places(directory: Path = Path("out")) -> list[tuple[int, str]]:
    return sorted((m.round, m.point) for m in read_run(directory).rows(MeasurementRow))


def test_two_lanes_make_one_run_and_tell_of_both(
    monkeypatch: pytest.MonkeyPatch, small_pipes: None
) -> None:
    """One of the points was found to be slower beside the other lane: all know that."""
    monkeypatch.setattr(lanes, "find_out", lambda *_, **__: (["fake/b1/c2"], ["c2 is alone"]))
    seen: list[Event] = []
    turns: list[str] = []

    progress, left = RunProgress(), list[str]()

    def tell(event: Event) -> None:
        seen.append(event)
        progress.take(event)
        left.append(progress.remaining())
        if isinstance(event, events.Lanes) and not turns:
            turns.extend(lane.environ()[VARIABLE] for lane in lane_processes())

    assert not start(tell).interrupted
    data = read_run(Path("out"))
    assert data.complete and places() == EVERY
    minutes = [int(m) for text in left for m in re.findall(r"(\d+):\d\d", text)]
    assert minutes and max(minutes) < 5  # of a run of seconds
    blocks = {m.round: m.details["block"] for m in data.measurements}
    assert len(set(blocks.values())) == 2
    cpus = [
        set(read_run(Path("out/lanes", str(n))).manifest["shard"]["cpus"]) for n in (0, 1)
    ]  # fmt: skip
    assert cpus[0] and cpus[1] and not cpus[0] & cpus[1]
    first, *_ = [event for event in seen if isinstance(event, events.Plan)]
    assert (len(first.points), first.rounds) == (3, 2)
    assert sum(isinstance(event, MeasurementRow) for event in seen) == 6
    doing = [event.now for event in seen if isinstance(event, events.Lanes)]
    assert all(len(now) == 2 for now in doing)
    assert any("round 2: fake/b1/c1" in text for now in doing for text in now.values())
    assert data.manifest["devices"] == "cpus:2" and "out/lanes" not in str(data.manifest)
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        start(seen.append)
    assert "c2 is alone" in [note.text for note in data.rows(events.Note)]
    assert events.Note("c2 is alone") in seen
    (named,) = {Path(name).name for name in turns}
    assert named == "turns.json" and json.loads(Path(turns[0]).read_text())["alone"]


def stop(event: Event) -> None:
    if isinstance(event, MeasurementRow):
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupted_run_keeps_what_it_has_and_goes_on(held: None) -> None:
    assert start(stop).interrupted
    assert not read_run(Path("out")).complete and places()
    assert not read_run(Path("out")).failures  # nothing failed
    assert lanes.has_lanes(Path("out")) and not lanes.has_lanes(Path("out/lanes/0"))
    assert not lanes.resume(Path("out"), nullcontext(lambda _: None)).interrupted
    assert read_run(Path("out")).complete and places() == EVERY_LONGER


def test_another_scenario_or_other_packages_are_not_mixed_into_a_run_of_lanes(held: None) -> None:
    assert start(stop).interrupted
    before, watch = places(), nullcontext(lambda _: None)
    Path("s.yaml").write_text(LONGER.replace("100ms", "120ms"))
    with pytest.raises(RunDirectoryError, match=r"window was '100ms', is '120ms'"):
        lanes.resume(Path("out"), watch)
    Path("s.yaml").unlink()
    Path("moved.yaml").write_text(LONGER)
    with pytest.raises(RunDirectoryError, match=r"load\.concurrency.* was"):
        lanes.resume(Path("out"), watch, path=Path("moved.yaml"), overrides=["load.concurrency=3"])
    assert places() == before
    file = Path("out/manifest.json")
    written = json.loads(file.read_text())
    file.write_text(json.dumps({**written, "packages": {"torch": "0.0.1"}}))
    with pytest.raises(RunDirectoryError, match=r"packages\.torch was '0\.0\.1'"):
        lanes.resume(Path("out"), watch, path=Path("moved.yaml"))
    file.write_text(json.dumps(written))
    lanes.resume(Path("out"), watch, path=Path("moved.yaml"))
    assert read_run(Path("out")).complete and places() == EVERY_LONGER


def test_what_a_lane_measured_that_was_begun_anew_is_not_called_failed(held: None) -> None:
    """As where another GPU of the host has gone: the lane's own directory can't go on."""
    assert start(stop).interrupted
    for file in Path("out/lanes").glob("*/manifest.json"):
        file.write_text(file.read_text().replace('"model": "', '"model": "another '))
    Path("out/manifest.json").write_text(
        Path("out/manifest.json").read_text().replace('"model": "another ', '"model": "')
    )
    lanes.resume(Path("out"), nullcontext(lambda _: None))
    assert Path("out/lanes/0-again").exists()
    assert places() == EVERY_LONGER and not read_run(Path("out")).failures


def test_a_trial_that_was_asked_for_is_made_when_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def find_out(*_: object, **how: object) -> tuple[list[str], list[str]]:
        asked.append(how["wanted"])
        if len(asked) == 1:
            raise KeyboardInterrupt
        return [], []

    monkeypatch.setattr(lanes, "find_out", find_out)
    watch = nullcontext(lambda _: None)
    assert lanes.start(load("s.yaml"), "cpus:2", Path("out"), watch, trial=True).interrupted
    lanes.resume(Path("out"), watch)
    assert asked == [True, True] and places() == EVERY


def lane_processes() -> list[psutil.Process]:
    """The harness of each lane that is ours, not its guard or workers."""
    found = []
    for p in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # one may have ended meanwhile
            words = p.cmdline()
            if "--shard" in words and words[1:4] == ["-P", "-m", "harness"]:
                found.append(p)
    return found


def test_a_lanes_fault_stays_in_it(held: None) -> None:
    seen: list[Event] = []

    def kill(event: Event) -> None:
        seen.append(event)
        if sum(isinstance(e, MeasurementRow) for e in seen) == 1 and isinstance(
            event, MeasurementRow
        ):
            (lane,) = [p for p in lane_processes() if f"{event.round}/2" in p.cmdline()]
            lane.kill()

    assert not start(kill).interrupted
    data = read_run(Path("out"))
    assert data.complete
    (dead,) = {f.round for f in data.failures}
    assert {(f.round, f.point) for f in data.failures} | set(places()) == set(EVERY_LONGER)
    assert all(f.reason == "died" and "was killed by SIGKILL" in f.message for f in data.failures)
    assert [p for p in places() if p[0] != dead] == [p for p in EVERY_LONGER if p[0] != dead]
    assert any(isinstance(event, FailureRow) for event in seen)
    lanes.resume(Path("out"), nullcontext(lambda _: None))
    assert places() == EVERY_LONGER and not read_run(Path("out")).failures


@pytest.mark.slow
def test_kill_9_leaves_nothing_that_runs_and_the_rest_is_measured_later() -> None:
    argv = [sys.executable, "-m", "harness", "run", "s.yaml", "--devices", "cpus:2", "-o", "out"]
    with subprocess.Popen(
        [*argv, "--json", "--no-report"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "measurement":
                below = psutil.Process(child.pid).children(recursive=True)
                child.kill()
                break
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []
    deadline = time.monotonic() + 20
    again = [sys.executable, "-m", "harness", "run", "--resume", "out", "--no-report", "-q"]
    while (done := subprocess.run(again, capture_output=True, text=True, check=False)).returncode:
        if done.returncode in (1, 2, 3, 130) and time.monotonic() > deadline:
            pytest.fail(done.stdout + done.stderr)
        if done.returncode in (4, 5):  # on a busy machine a measurement may not be believed
            break
    assert places() == EVERY and read_run(Path("out")).complete
