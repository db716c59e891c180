"""One real run with the fake backend, and one that is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.results.events import Discarded, Event
from harness.results.samples import read_samples
from harness.scenario.reading.loader import load
from harness.tenants.execute import resume, start
from harness.tenants.results import Results, read_results

SCENARIO = """scenario: shared
model: {name: m, source: {fake: {}}}
backends:
  - {name: quick, kind: fake, service_time_ms: 2}
  - {name: slow, kind: fake, service_time_ms: 5}
sharing:
  tenants:
    - {name: a, backend: quick, load: {concurrency: 2}}
    - {name: b, backend: slow, load: {request_rate: 50}}
  pairs: false
measurement: {profile: quick, rounds: 1, warmup: 20ms, warmup_requests: 2, window: 150ms,
              window_requests: 5, window_max: 5s}
"""


@pytest.fixture(scope="module")
def told() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, told: list[Event]) -> Results:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "s.yaml").write_text(SCENARIO)
    watch = contextlib.nullcontext(told.append)
    ended = start(load(folder / "s.yaml", ()), folder / "run", watch)
    assert not ended.interrupted
    return read_results(ended.path)


def test_every_cell_is_in_the_journal_with_a_row_a_tenant(run: Results) -> None:
    together = "time_slicing/a@c2+b@r50"
    assert set(run.rows) == {
        "dedicated/a@c2", "dedicated/b@r50", together, f"{together}/a", f"{together}/b",
    }  # fmt: skip
    assert run.data.complete
    assert not run.failures
    whole, a, b = (run.rows[together + end].measurements[0] for end in ("", "/a", "/b"))
    assert whole.requests == a.requests + b.requests
    assert (whole.window_begin_ns, whole.window_end_ns) == (b.window_begin_ns, b.window_end_ns)
    assert whole.throughput == pytest.approx(a.throughput + b.throughput)


def test_loads_go_on_over_the_whole_window(run: Results) -> None:
    for row in run.data.measurements:
        if row.samples:
            found = read_samples(run.data.path / row.samples)
            length = row.window_end_ns - row.window_begin_ns
            assert found.sent.min() < row.window_begin_ns + length / 5  # none may be open just then
            assert found.done.max() > row.window_begin_ns


def test_processes_open_with_what_counts_nowhere(run: Results, told: list[Event]) -> None:
    assert len(run.data.rows(Discarded)) == 3
    assert sum(isinstance(event, Discarded) for event in told) == 3


def test_a_run_that_was_cut_off_is_finished_with_what_is_missing(
    run: Results, tmp_path: Path
) -> None:
    """All rows of the cell in which all are together but the first are gone, and so is the end."""
    again = tmp_path / "run"
    shutil.copytree(run.data.path, again)
    journal = again / "journal.jsonl"
    lines = [line for line in journal.read_text().splitlines() if '"time_slicing/' not in line]
    whole = next(
        line for line in journal.read_text().splitlines()
        if '"point": "time_slicing/a@c2+b@r50"' in line and '"measurement"' in line
    )  # fmt: skip
    lines = [line for line in lines if '"run_ended"' not in line]
    journal.write_text("\n".join([*lines, whole]) + "\n")
    assert not read_results(again).data.complete
    ended = resume(again, contextlib.nullcontext(lambda _: None))
    found = read_results(ended.path)
    assert set(found.rows) == set(run.rows)
    assert found.data.complete
    points = [(row.point, row.round) for row in found.data.measurements]
    assert len(points) == len(set(points))
    alone = run.rows["dedicated/a@c2"].measurements
    assert found.rows["dedicated/a@c2"].measurements == alone, "measured once"


def test_a_scenario_without_the_section_begins_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.partition("sharing:")[0])
    with pytest.raises(UsageError, match="has no `sharing`"):
        start(load(tmp_path / "s.yaml", ()), tmp_path / "run", contextlib.nullcontext(print))


def below(pid: int) -> set[int]:
    """The processes below one."""
    found: set[int] = set()
    left = [pid]
    while left:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{left[-1]}/task/{left[-1]}/children").read_text()
            mine = {int(word) for word in text.split()} - found
            found |= mine
            left = [*left[:-1], *mine]
            continue
        left.pop()
    return found


@pytest.mark.slow
def test_a_kill_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    journal = tmp_path / "run" / "journal.jsonl"
    command = [sys.executable, "-m", "harness", "share", "s.yaml", "-o", "run", "-q"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        end = time.monotonic() + 120
        while not (journal.exists() and '"discarded"' in journal.read_text()):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.05)
        children = below(process.pid)
        os.kill(process.pid, signal.SIGKILL)
    assert len(children) > 1
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < end
        time.sleep(0.05)
