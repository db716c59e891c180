"""What is read of a lane, where it runs, and what it measures."""

from __future__ import annotations

import json
import os

import pytest
from support.rows import measurement

from harness.fleet.crew import on_processors, read_live, shard_of_lane
from harness.fleet.devices import Lane
from harness.results import events
from harness.run.shard import Shard


@pytest.mark.parametrize("event", [
    measurement(), events.Status("preparing"), events.Plan(("a/b1/c1",), 3),
    events.Progress("window", 3, 1.5),
])  # fmt: skip
def test_what_a_lane_prints_is_read_as_it_was(event: events.Event) -> None:
    assert read_live(json.dumps(event.to_event()).encode()) == event


@pytest.mark.parametrize("line", [
    b"", b"Traceback", b"[1]", b'{"event": "finished", "exit_code": 0}', b'{"event": "plan"}',
    b"{}",
])  # fmt: skip
def test_what_else_it_prints_is_passed_over(line: bytes) -> None:
    assert read_live(line) is None


def test_all_lanes_of_all_hosts_share_out_all_rounds() -> None:
    lanes = [Lane(n, f"cuda:{n}", (n,)) for n in range(2)]
    shards = [shard_of_lane(lane, 2, Shard(k, 3)) for k in range(3) for lane in lanes]
    assert shards == [Shard(k, 6) for k in range(6)]
    hosts = [[r for n in (0, 1) for r in Shard(2 * k + n, 6).rounds(12)] for k in range(3)]
    assert hosts == [list(Shard(k, 3).rounds(12)) for k in range(3)]


def test_only_what_is_started_within_is_put_on_processors() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    with on_processors((one,)):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before
