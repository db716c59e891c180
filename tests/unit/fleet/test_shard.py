"""One shard, for real on the fake backend: killed and started again, and on another machine."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.errors import RunDirectoryError, UsageError
from harness.fleet.shard import measure_shard, parse_shard
from harness.results.events import Event, Observer
from harness.results.rows import MeasurementRow
from harness.results.store import read_run
from harness.run.execute import Ended
from harness.run.shard import Shard
from harness.scenario.reading.loader import load

TEXT = """
scenario: short
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake, service_time_ms: 1}]
load: {concurrency: [1, 2]}
measurement:
  {profile: quick, rounds: 4, rounds_max: 4, warmup: 10ms, window: 50ms, window_max: 100ms}
"""
INDEXED = {"JOB_COMPLETION_INDEX": "2"}
ARRAY = {
    "SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "4",
}  # fmt: skip


@pytest.mark.parametrize(("text", "env", "found"), [
    ("0/4", {}, Shard(0, 4)), ("3/4", INDEXED, Shard(3, 4)), ("auto/4", INDEXED, Shard(2, 4)),
    ("auto", {**INDEXED, "JOB_COMPLETIONS": "3"}, Shard(2, 3)), ("auto", ARRAY, Shard(2, 4)),
])  # fmt: skip
def test_a_shard_by_number_or_by_the_job_array(
    text: str, env: dict[str, str], found: Shard
) -> None:
    assert parse_shard(text, env) == found


@pytest.mark.parametrize(("text", "env", "words"), [
    ("4/4", {}, "there is no shard 4 of 4"), ("1", {}, "'1' is no shard"),
    ("a/2", {}, "'a/2' is no shard"), ("-1/2", {}, "is no shard"),
    ("auto", {}, "neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID is set"),
    ("auto", INDEXED, "nothing says of how many shards this is number 2"),
    ("auto/4", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX is 'x'"),
    ("auto/4", {"SLURM_ARRAY_TASK_ID": "²"}, "SLURM_ARRAY_TASK_ID is '²'"),
])  # fmt: skip
def test_what_is_no_shard_is_refused(text: str, env: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_shard(text, env)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text(TEXT)
    return tmp_path


def places(directory: Path) -> list[tuple[int, str]]:
    return sorted((m.round, m.point) for m in read_run(directory).rows(MeasurementRow))


def test_a_shard_that_is_killed_and_started_again_measures_nothing_twice() -> None:
    argv = [sys.executable, "-m", "harness", "run", "s.yaml", "--shard", "1/2", "--json"]
    with subprocess.Popen(
        [*argv, "--no-report", "-o", "out"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        # it can't go on to its end before the first is read here
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, 4096)
        for line in child.stdout:
            if json.loads(line)["event"] == "measurement":
                os.kill(child.pid, signal.SIGKILL)
                break
    assert 1 <= len(places(Path("out"))) < 4
    deadline = time.monotonic() + 20
    while True:
        try:  # what the killed one started may still be ending
            ended = measure_shard(load("s.yaml"), Shard(1, 2), Path("out"), watch([]))
        except RunDirectoryError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            break
    assert not ended.interrupted
    assert places(ended.path) == [(r, f"fake/b1/c{c}") for r in (2, 3) for c in (1, 2)]
    seen: list[Event] = []
    again = measure_shard(load("s.yaml"), Shard(1, 2), Path("out"), watch(seen))
    assert again.path == ended.path and seen == []  # it is complete
    for other, changes in ((Shard(0, 2), ()), (Shard(1, 2), ("measurement.window=60ms",))):
        with pytest.raises(RunDirectoryError, match="holds a run of something else than shard"):
            measure_shard(load("s.yaml", changes), other, Path("out"), watch([]))


def watch(seen: list[Event]) -> nullcontext[Observer]:
    return nullcontext(seen.append)


def test_a_shard_over_lanes_goes_on_and_is_done_by_the_same_command() -> None:
    def start(tell: Callable[[Event], object], devices: str | None = "cpus:2") -> Ended:
        loaded = load("s.yaml")
        return measure_shard(loaded, Shard(1, 2), Path("out"), nullcontext(tell), devices)

    assert start(stop).interrupted
    seen: list[Event] = []
    assert not start(seen.append).interrupted and seen
    assert places(Path("out")) == [(r, f"fake/b1/c{c}") for r in (2, 3) for c in (1, 2)]
    seen = []
    assert start(seen.append).path == Path("out") and seen == []
    for devices in (None, "cpus:1"):
        with pytest.raises(RunDirectoryError, match="holds a run of something else than shard"):
            start(seen.append, devices)


def stop(event: Event) -> None:
    if isinstance(event, MeasurementRow):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_shard_that_was_begun_elsewhere_begins_anew_beside_it() -> None:
    first = measure_shard(load("s.yaml"), Shard(0, 2), Path("out"), nullcontext(stop))
    assert first.interrupted
    text = Path("out/manifest.json").read_text()
    Path("out/manifest.json").write_text(text.replace('"model": "', '"model": "another '))
    other = measure_shard(load("s.yaml"), Shard(0, 2), Path("out"), watch([]))
    assert other.path == Path("out-again") and len(places(other.path)) == 4
    assert len(places(first.path)) == 1


def test_by_default_its_directory_says_which_it_is() -> None:
    done = measure_shard(load("s.yaml", ("load.concurrency=[1]",)), Shard(3, 4), None, watch([]))
    assert done.path == Path("reports/short-shard-3-of-4")
    assert places(done.path) == [(3, "fake/b1/c1")]
