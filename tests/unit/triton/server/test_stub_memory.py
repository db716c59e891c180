import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.triton.server import stub_memory as shm


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(shm, "DIRECTORY", tmp_path)
    return tmp_path


def test_prefixes_differ():
    assert shm.new_prefix() != shm.new_prefix()


def test_remove_takes_only_its_own(directory):
    mine, other = shm.new_prefix(), shm.new_prefix()
    for name in (f"{mine}abc", f"{other}abc", "foreign"):
        (directory / name).touch()
    shm.remove(mine)
    assert sorted(p.name for p in directory.iterdir()) == sorted([f"{other}abc", "foreign"])


def test_leftovers_are_those_of_processes_that_ended(directory):
    code = "from harness.triton.server import stub_memory as shm; print(shm.new_prefix())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mine = shm.new_prefix()
    namespace, rest = ended.stdout.strip().split("-", 2)[1:]
    elsewhere = f"harness-{int(namespace) + 1}-{rest}"
    for prefix in (ended.stdout.strip(), mine, elsewhere):
        (directory / f"{prefix}abc").touch()
    (directory / "foreign").touch()
    shm.remove_leftovers()
    left = {p.name for p in directory.iterdir()}
    assert left == {f"{mine}abc", f"{elsewhere}abc", "foreign"}


def test_a_pid_used_again_is_another_process(directory):
    prefix = shm.new_prefix()
    parts = prefix.split("-")
    parts[3] = str(int(parts[3]) - 1)
    (directory / ("-".join(parts) + "abc")).touch()
    shm.remove_leftovers()
    assert list(directory.iterdir()) == []


LIVING = """
import mmap, os, sys, time
from pathlib import Path
from harness.triton.server import stub_memory
path = Path("/dev/shm") / (stub_memory.new_prefix() + "region")
path.write_bytes(bytes(4096))
with path.open("r+b") as file:
    mapping = mmap.mmap(file.fileno(), 4096)
begin = time.process_time()
pages = []
while time.process_time() - begin < 0.05:  # its time, its pages and its memory have grown
    pages.append(bytearray(1 << 16))
print(path, flush=True)
sys.stdin.read()
"""


def test_memory_in_use_by_a_living_process_stays_and_is_gone_after_it(monkeypatch):
    """With a real mapping: whatever else changes of a process, its start time does not."""
    monkeypatch.setattr(shm, "DIRECTORY", Path("/dev/shm"))
    command = [sys.executable, "-c", LIVING]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        region = Path(owner.stdout.readline().strip())
        shm.remove_leftovers()
        assert region.exists()
        assert str(region) in Path(f"/proc/{owner.pid}/maps").read_text(encoding="utf-8")
        owner.kill()
        owner.wait()
        shm.remove_leftovers()
        assert not region.exists()


def test_the_start_time_is_the_kernels():
    """psutil knows the same moment as seconds since 1970."""
    ticks = int(shm._started(os.getpid()))
    started = psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    assert started == pytest.approx(psutil.Process().create_time(), abs=1.0)
    assert shm._started(2**22 + 1) == ""


def test_no_directory_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(shm, "DIRECTORY", tmp_path / "missing")
    shm.remove_leftovers()
    shm.remove("x")


KILLED = """
import sys
from pathlib import Path
from harness.system.guard import spawn
from harness.triton.server import stub_memory as shm
shm.DIRECTORY = Path(sys.argv[1])
prefix = shm.new_prefix()
with spawn(["sleep", "60"], afterwards=shm.removal(prefix, ["touch", sys.argv[1] + "/before"])):
    for name in (prefix + "a", prefix + "b", "foreign"):
        (shm.DIRECTORY / name).touch()
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_memory_of_a_server_goes_with_a_harness_that_is_killed(directory):
    command = [sys.executable, "-c", KILLED, str(directory)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout.readline() == "ready\n"
        harness.kill()
    end = time.monotonic() + 20
    while (left := {p.name for p in directory.iterdir()}) != {"foreign", "before"}:
        assert time.monotonic() < end, left
        time.sleep(0.02)
