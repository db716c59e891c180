"""Limits of host memory, for real: a control group where one can be made, RLIMIT_DATA anywhere."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import LimitError
from harness.system.limits import host
from harness.system.limits.host import host_memory, new_group
from harness.system.machine import kills_in

GREEDY = "import time; held = bytearray(200 << 20); print('got it', flush=True)"
TREE = """
import subprocess, sys
one = "held = bytearray(45 << 20); print('held', flush=True); input()"
argv, pipe = [sys.executable, "-c", one], subprocess.PIPE
tree = [subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
for process in tree:
    process.stdout.readline()
print([process.poll() for process in tree].count(None))  # one may have said so and been ended since
"""


def limited(limit, code, **more):
    return subprocess.run(
        [*limit.prefix, sys.executable, "-c", code], capture_output=True, text=True, check=False,
        **more,
    )  # fmt: skip


@pytest.fixture
def group():
    """A limit of 100 MiB by a control group."""
    with host_memory(100) as limit:
        if not limit.whole_tree:
            pytest.skip("no control group can be made here (root, or a delegated one)")
        yield limit


def test_a_group_ends_what_takes_more_and_counts_it(group):
    assert limited(group, GREEDY).returncode == -9
    assert group.kills() == 1
    assert group.tried({}) == "a process that asked for 164 MiB was killed"
    assert group.kills() == 2
    assert group.how in ("cgroup v1", "cgroup v2")


def test_a_group_counts_all_processes_together(group):
    assert int(limited(group, TREE).stdout) < 3  # of three with 45 MiB each
    assert group.kills() >= 1


def test_what_takes_less_lives(group):
    assert limited(group, GREEDY.replace("200", "60")).stdout == "got it\n"


def test_the_group_is_gone_afterwards_also_of_one_that_is_killed(tmp_path):
    with host_memory(100) as limit:
        if not limit.whole_tree:
            pytest.skip("no control group can be made here (root, or a delegated one)")
        folder = Path(limit.prefix[-1])
        assert folder.is_dir()
    assert not folder.exists()
    code = (
        "import os, sys\nfrom harness.system.limits.host import host_memory\n"
        "with host_memory(100) as limit:\n"
        "    print(limit.prefix[-1], flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    end = time.monotonic() + 10
    while Path(done.stdout.strip()).exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_a_group_each_process_is_limited_by_itself(monkeypatch):
    monkeypatch.setattr(host, "new_group", lambda *_: None)
    with host_memory(100) as limit:
        assert "MemoryError" in limited(limit, GREEDY).stderr
        assert limit.tried({}) == "a process that asked for 164 MiB was refused"
        assert limited(limit, TREE).stdout == "3\n"
        assert str(limit) == "100 MiB of host memory a process (RLIMIT_DATA)"


def test_without_prlimit_either_it_is_said(monkeypatch):
    monkeypatch.setattr(host, "new_group", lambda *_: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LimitError, match="no control group can be made here"), host_memory(100):
        pass


def tree(root: Path, own: str, **files: str) -> Path:
    """A file system in which this process is in the group `own`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_in_version_2_it_is_made_where_the_controller_is_handed_on(tmp_path, monkeypatch):
    """Files stand in for the kernel's: a group's own appear when its folder is made."""
    root = tree(
        tmp_path, "0::/user/me\n", **{"user__me__cgroup.subtree_control": "cpu",
                                      "user__cgroup.subtree_control": "cpu memory"}
    )  # fmt: skip
    made = Path.mkdir

    def mkdir(self, *args, **kwargs):
        made(self, *args, **kwargs)
        for file in ("memory.max", "memory.swap.max"):
            (self / file).write_text("max")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    group = new_group(50, root)
    assert group is not None
    assert group.parent == root / "sys/fs/cgroup/user"
    assert (group / "memory.max").read_text() == str(50 << 20)
    assert (group / "memory.swap.max").read_text() == "0"


def test_no_group_is_made_where_none_has_the_controller(tmp_path):
    root = tree(tmp_path, "0::/me\n", **{"me__cgroup.subtree_control": "cpu"})
    assert new_group(50, root) is None
    assert [p.name for p in (root / "sys/fs/cgroup").rglob("harness-*")] == []


@pytest.mark.parametrize(
    ("file", "text", "count"),
    [
        ("memory.events", "low 0\nmax 7\noom 3\noom_kill 2\n", 2),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
        ("memory.stat", "cache 0\n", 0),
    ],
)
def test_the_kernels_count_is_read_in_both_versions(tmp_path, file, text, count):
    (tmp_path / file).write_text(text)
    assert kills_in(tmp_path) == count
