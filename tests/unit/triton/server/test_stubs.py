"""Which Python process belongs to which model, with real processes."""

import os
import signal
import subprocess
from types import SimpleNamespace

import pytest

from harness.triton.server import stubs as module
from harness.triton.server.stubs import StubEndedError, Stubs, children, has_ended


@pytest.fixture
def child():
    """Starts children that live until they are killed; an ended one stays a zombie."""
    started = []

    def start():
        process = subprocess.Popen(["sleep", "600"])
        started.append(process)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_zombie_has_ended_and_is_still_a_child(child):
    pid = child()
    assert not has_ended(pid) and not has_ended(os.getpid())
    end(pid)
    assert has_ended(pid) and pid in children(os.getpid())
    assert has_ended(2**22 + 1) and children(2**22 + 1) == []


def test_what_came_while_a_model_was_loaded_runs_it(child):
    before = child()
    stubs = Stubs(os.getpid())
    stubs.loading()
    mine = child()
    stubs.loaded("first")
    assert stubs.of_model == {"first": {mine}} and stubs.lost() == []
    end(mine)
    assert stubs.lost() == [mine] and not has_ended(before)
    assert stubs.trouble() == f"lost a Python process of its model (pid {mine})"


def test_what_keeps_a_server_from_answering_is_said(child):
    stubs = Stubs(child())
    assert stubs.trouble() == ""
    os.kill(stubs.server, signal.SIGSTOP)
    os.waitid(os.P_PID, stubs.server, os.WSTOPPED | os.WNOWAIT)
    assert stubs.trouble() == f"was stopped by a signal such as SIGSTOP (pid {stubs.server})"
    os.kill(stubs.server, signal.SIGCONT)
    end(stubs.server)
    assert stubs.trouble() == f"lost itself (pid {stubs.server})"


def test_an_unloaded_models_end_is_no_loss(child):
    stubs = Stubs(os.getpid())
    stubs.loading()
    mine = child()
    stubs.loaded("m")
    assert stubs.unloaded("m", kill=False) == {mine} and not has_ended(mine)
    end(mine)
    check = stubs.loading()
    check()
    assert stubs.lost() == [] and stubs.unloaded("m", kill=True) == set()


def test_killing_takes_the_models_processes_only(child):
    stubs = Stubs(os.getpid())
    stubs.loading()
    first = child()
    stubs.loaded("first")
    stubs.loading()
    second = child()
    stubs.loaded("second")
    stubs.unloaded("first", kill=True)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert not has_ended(second) and stubs.lost() == []


def test_a_zombie_ends_the_wait_for_a_model_after_its_grace(child, monkeypatch):
    clock = iter([10.0, 10.9, 11.1])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    check = Stubs(os.getpid()).loading()
    end(child())
    check()
    check()
    with pytest.raises(StubEndedError):
        check()
