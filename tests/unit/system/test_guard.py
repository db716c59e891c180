"""The guard: ends with its child, and takes the whole tree with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.system import guard
from harness.system.guard import spawn


def gone(pid: int, within: float = 20.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def pids_in(path: Path, count: int) -> list[int]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        words = path.read_text().split() if path.exists() else []
        if len(words) >= count:
            return [int(w) for w in words]
        time.sleep(0.01)
    raise AssertionError(f"{path}: fewer than {count} pids")


@pytest.mark.parametrize("code", [0, 1, 7])
def test_exit_code_is_the_childs(code: int) -> None:
    assert spawn(["sh", "-c", f"exit {code}"]).wait(10) == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_signal_is_the_childs(number: signal.Signals) -> None:
    assert spawn(["sh", "-c", f"kill -{number.value} $$"]).wait(10) == -number


def test_missing_program_is_said_at_once() -> None:
    with pytest.raises(FileNotFoundError):
        spawn(["/no/such/program"])


def test_terminate_ends_a_willing_child_and_kill_an_unwilling_one() -> None:
    assert spawn(["sleep", "60"]).terminate() == -signal.SIGTERM
    process = spawn(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    assert process.poll() is None
    assert process.kill() == -signal.SIGKILL


def test_grandchildren_in_their_own_session_go_too(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    process = spawn(["sh", "-c", f"setsid sh -c 'echo $$ >> {note}; exec sleep 60' & wait"])
    (grandchild,) = pids_in(note, 1)
    process.kill()
    assert gone(grandchild)


def test_orphans_go_when_the_child_ends_by_itself(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    script = f"setsid sh -c 'echo $$ >> {note}; exec sleep 60' & until [ -s {note} ]; do :; done"
    process = spawn(["sh", "-c", script])
    assert process.wait(10) == 0
    assert gone(pids_in(note, 1)[0])


@pytest.mark.parametrize("victim", ["owner", "guard"])
def test_sigkill_of_owner_or_guard_leaves_nothing(tmp_path: Path, victim: str) -> None:
    note = tmp_path / "pids"
    program = (
        "import os, time\n"
        "from harness.system.guard import spawn\n"
        "p = spawn(['sleep', '60'])\n"
        f"open({str(note)!r}, 'w').write(f'{{p.pid}} {{p.child_pid}} ')\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program])
    try:
        guard, child = pids_in(note, 2)
        os.kill(owner.pid if victim == "owner" else guard, signal.SIGKILL)
        assert gone(child)
        assert gone(guard)
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.parametrize("end", ["by itself", "terminate", "kill"])
def test_the_last_command_runs_whatever_ends_the_child(tmp_path: Path, end: str) -> None:
    note = tmp_path / "done"
    child = ["true"] if end == "by itself" else ["sleep", "60"]
    process = spawn(child, afterwards=["sh", "-c", f"echo $$ > {note}"])
    if end == "by itself":
        assert process.wait(10) == 0
    else:
        assert getattr(process, end)() < 0
    assert note.exists()


def test_the_last_command_runs_when_the_owner_is_killed(tmp_path: Path) -> None:
    note, done = tmp_path / "pids", tmp_path / "done"
    program = (
        "import time\n"
        "from harness.system.guard import spawn\n"
        f"p = spawn(['sleep', '60'], afterwards=['sh', '-c', 'echo $$ > {done}'])\n"
        f"open({str(note)!r}, 'w').write(f'{{p.pid}} ')\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program])
    (guard,) = pids_in(note, 1)
    owner.kill()
    owner.wait()
    assert gone(guard)
    assert done.exists()


@pytest.mark.parametrize("wrapped", ["", "sleep 60 & "])
def test_a_guard_below_another_has_time_for_its_last_command(tmp_path: Path, wrapped: str) -> None:
    """A lane's container and temporary folder, when the lane is ended by force."""
    done, note = tmp_path / "done", tmp_path / "pids"
    owner = (
        "import os, time; from harness.system.guard import spawn\n"
        f"p = spawn(['sleep', '60'], afterwards=['sh', '-c', 'sleep 0.5; touch {done}'])\n"
        f"open({str(note)!r}, 'w').write(f'{{p.pid}} {{p.child_pid}} {{os.getpid()}}')\n"
        "time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", owner]
    outer = spawn(["sh", "-c", f'{wrapped}"$@"; :', "sh", *argv] if wrapped else argv)
    pids = pids_in(note, 3)
    assert outer.kill() == -signal.SIGKILL
    assert done.exists() and all(gone(pid, 0.0001) for pid in pids)


def test_a_last_command_that_is_not_there_changes_nothing() -> None:
    assert spawn(["sh", "-c", "exit 3"], afterwards=["/no/such/program"]).wait(10) == 3


OWNER = """
import os, signal, sys
from harness.system import guard
from harness.system.guard import spawn
process = spawn(["sleep", "60"])
os.kill(process.pid, signal.SIGSTOP)
print(process.pid, process.child_pid, flush=True)
sys.stdin.read()
"""


def test_a_stopped_guard_does_its_work_when_its_owner_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        while psutil.Process(pids[0]).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        owner.kill()
        owner.wait()
    assert all(map(gone, pids))


def test_a_guard_that_does_not_wake_up_is_ended_with_its_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = spawn(["sh", "-c", "sleep 60 & sleep 60"])
    guard = psutil.Process(process.pid)
    while len(tree := guard.children(recursive=True)) < 3:
        time.sleep(0.01)
    guard.suspend()
    monkeypatch.setattr("harness.system.guard.GUARD_S", 0.2)
    monkeypatch.setattr("harness.system.guard.AFTERWARDS_S", 0.0)
    monkeypatch.setattr(process._process, "send_signal", lambda _: None)
    assert process.kill() == -signal.SIGKILL
    assert all(gone(p.pid) for p in (guard, *tree))


def test_a_guard_that_is_ended_before_it_begins_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Ended(subprocess.Popen[bytes]):
        """The first is killed before it runs a line of Python."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            if len(started) in ended:
                self.kill()

    monkeypatch.setattr("harness.system.guard.subprocess.Popen", Ended)
    ended = {1}
    assert spawn(["sh", "-c", "exit 5"]).wait(20) == 5
    assert len(started) == 2
    ended = {3, 4, 5}
    with pytest.raises(OSError, match="guard failed"):
        spawn(["sh", "-c", "exit 5"])
    assert len(started) == 5


def test_a_guard_whose_harness_died_while_it_began_ends_quietly_and_puts_away(tmp_path):
    """The harness was killed between starting the guard and reading the child's pid."""
    note = tmp_path / "note"
    afterwards = ["touch", str(note)]
    control_read, control_write = os.pipe()
    status_read, status_write = os.pipe()
    os.close(control_write)
    os.close(status_read)
    done = subprocess.run(
        [sys.executable, "-S", "-E", guard.__file__, str(control_read), str(status_write),
         guard.AFTERWARDS, str(len(afterwards)), *afterwards, "sleep", "60"],
        pass_fds=(control_read, status_write), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    os.close(control_read)
    os.close(status_write)
    assert done.stderr == "" and note.exists()
