"""Memory and processor time of real processes."""

from __future__ import annotations

import os

import psutil
from support.watched import start_hog

from harness.telemetry.host import Tree, busy_seconds

HOG_BYTES = 120 * 2**20


def test_a_tree_is_the_descendants_and_its_root_where_asked() -> None:
    hog = start_hog()
    below, whole = Tree(hog.pid), Tree(hog.pid, include_root=True)
    assert hog.child_pid in below.pids
    assert hog.pid not in below.pids
    assert whole.pids == below.pids | {hog.pid}
    resident, _ = below.read()
    assert HOG_BYTES < resident < 2 * HOG_BYTES
    assert whole.read()[0] > resident
    hog.kill()


def test_processor_time_of_what_has_ended_stays_counted_and_its_memory_does_not() -> None:
    hog = start_hog()
    tree = Tree(hog.pid)
    _, cpu = tree.read()
    assert cpu > 0
    hog.kill()
    assert tree.read() == (0.0, cpu)
    tree.refresh()
    assert tree.read() == (0.0, cpu)


def test_a_tree_without_a_root_is_empty() -> None:
    assert Tree(2**22 + 1, include_root=True).read() == (0.0, 0.0)


def test_all_processors_together_are_at_least_as_busy_as_this_process() -> None:
    before, own = busy_seconds(), psutil.Process(os.getpid()).cpu_times().user
    assert before > own
    assert busy_seconds() >= before
