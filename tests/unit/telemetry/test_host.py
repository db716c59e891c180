"""Memory and processor time of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.watched import start_hog

from harness.system.guard import spawn
from harness.telemetry.host import TICKS, Cpus, Tree

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


BUSY = """
import sys, time
while time.process_time() < float(sys.argv[1]): pass
print(flush=True); input()
"""
BURNS = f"""
import subprocess, sys
input()
for seconds in "0.4", "0.0":
    command = [sys.executable, "-c", {BUSY!r}, seconds]
    subprocess.Popen(command, stdout=-1, stdin=-1).stdout.readline()
print(flush=True)
input()
"""


def test_what_a_process_used_before_it_was_found_lies_in_no_window() -> None:
    """It was used while a model was loaded, and would count in the window in which it is found."""
    parent = spawn([sys.executable, "-c", BURNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pipes = parent._process
    found: dict[psutil.Process, float] = {}
    first = Tree(parent.pid, found=found)
    before = first.read()[1]
    pipes.stdin.write(b"\n")
    pipes.stdin.flush()
    pipes.stdout.readline()
    assert sum(found.values()) == 0.0
    first.refresh()
    assert len(first.pids) == 3
    assert sum(found.values()) >= 0.4 - 2 / TICKS  # user and system are each cut to a tick
    assert first.read()[1] - before < 0.2  # the parent's own
    again = Tree(parent.pid, found=found)  # for the next session
    assert again.read()[1] == pytest.approx(first.read()[1], abs=0.05)
    parent.kill()


def test_a_tree_without_a_root_is_empty() -> None:
    assert Tree(2**22 + 1, include_root=True).read() == (0.0, 0.0)


STAT = """\
cpu  1000 0 0 9000 0 0 0 300 50 0
cpu0 100 20 30 800 7 5 5 40 10 0
cpu1 900 0 0 100 0 0 0 260 40 0
intr 12 3
"""


def machine(folder: Path, **files: str) -> Path:
    """A file system with /proc/stat and what else is given."""
    for name, content in {"proc/stat": STAT, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def read(root: Path) -> dict[str, float]:
    cpus = Cpus(root)
    return {str(key): value for key, value in (*cpus.counters(), *cpus.limits())}


def test_only_processors_that_may_be_used_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work on processors that the run has no access to is none of its business."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    found = read(machine(tmp_path))
    assert found["machine_cpu_s"] * TICKS == pytest.approx(160)  # not idle, iowait, steal
    assert found["machine_steal_s"] * TICKS == pytest.approx(40)
    assert found["machine_cpus"] == 1
    assert not any(name.startswith("group") for name in found)


def test_the_other_thread_of_a_core_is_watched_with_the_one_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs there takes half of the units: two lanes on one core vary by a quarter."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    alone = read(machine(tmp_path))
    list_ = "sys/devices/system/cpu/cpu0/topology/thread_siblings_list"
    found = read(machine(tmp_path, **{list_: "0-1\n"}))
    assert found["machine_cpu_s"] > alone["machine_cpu_s"]
    assert found["machine_cpus"] == 1


def test_the_group_with_the_tightest_quota_is_read_v2(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a"
    stat = "usage_usec 7500000\nuser_usec 1\nnr_periods 20\nnr_throttled 3\nthrottled_usec 9\n"
    found = read(machine(tmp_path, **{
        "proc/self/cgroup": "0::/a/b\n", f"{group}/cpu.max": "200000 100000\n",
        f"{group}/cpu.stat": stat, f"{group}/b/cpu.max": "max 100000\n",
    }))  # fmt: skip
    groups = {name: value for name, value in found.items() if name.startswith("group")}
    assert groups == {
        "group_cpu_s": 7.5, "group_cpus": 2.0, "group_periods": 20.0, "group_throttled": 3.0,
    }  # fmt: skip


def test_the_group_with_the_tightest_quota_is_read_v1(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct/a"
    found = read(machine(tmp_path, **{
        "proc/self/cgroup": "4:cpu,cpuacct:/a\n", f"{group}/cpu.cfs_quota_us": "50000\n",
        f"{group}/cpu.cfs_period_us": "100000\n", f"{group}/cpuacct.usage": "1500000000\n",
        f"{group}/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 5\n",
    }))  # fmt: skip
    assert (found["group_cpu_s"], found["group_cpus"]) == (1.5, 0.5)
    assert (found["group_periods"], found["group_throttled"]) == (9.0, 4.0)


def test_the_processors_of_this_machine_are_at_least_as_busy_as_this_process() -> None:
    before, own = read(Path("/")), psutil.Process(os.getpid()).cpu_times().user
    assert before["machine_cpu_s"] > own
    assert read(Path("/"))["machine_cpu_s"] >= before["machine_cpu_s"]
    assert before["machine_cpus"] == len(os.sched_getaffinity(0))
