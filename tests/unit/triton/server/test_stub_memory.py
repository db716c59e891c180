import subprocess
import sys

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


def test_no_directory_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(shm, "DIRECTORY", tmp_path / "missing")
    shm.remove_leftovers()
    shm.remove("x")
