"""A child of ours, with real processes: modules that are written for the test."""

import os
import resource
import signal
import time
import tracemalloc

import psutil
import pytest

from harness.errors import DeadlineError, WorkerDiedError
from harness.system.child import HINTS, Child, describe_status

ECHO = """
import os, sys
read, write = (0, 1) if len(sys.argv) < 3 else map(int, sys.argv[-2:])
if read:
    print("to the log")
with os.fdopen(read, "rb") as asked, os.fdopen(write, "wb", 0) as answers:
    for line in asked:
        if line == b"die\\n":
            print("last words", file=sys.stderr, flush=True)
            os._exit(3)
        if line == b"crash\\n":
            import ctypes, faulthandler
            faulthandler.enable()
            ctypes.string_at(0)
        if line == b"stop\\n":
            answers.close()
            sys.stdin.close()
            while True:
                os.read(read, 1)
        answers.write(line.upper() + b"and more\\n" * line.startswith(b"two"))
"""


@pytest.fixture
def start(tmp_path):
    """Starts children that answer in capitals."""
    (tmp_path / "echoing.py").write_text(ECHO)
    children = []

    def started(**options):
        env = {"PYTHONPATH": str(tmp_path)}
        child = Child("the echo", "echoing", log=tmp_path / "log", env=env, **options)
        children.append(child)
        return child

    yield started
    for child in children:
        child.kill()


def gone(process):
    """Whether it ends within 20 s: it may be a zombie of who does not ask for it."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("on_stdio", [True, False])
def test_lines_come_one_at_a_time(start, on_stdio, tmp_path):
    child = start(on_stdio=on_stdio)
    child.send(b"two\nthree\n")
    assert [child.line(20) for _ in range(3)] == [b"TWO", b"and more", b"THREE"]
    assert child.line(0.0) is None and child.alive
    child.kill()
    assert not child.alive
    printed = (tmp_path / "log").read_text()
    assert printed == ("" if on_stdio else "to the log\n")


def test_a_message_larger_than_the_pipe_arrives_whole(start):
    child = start()
    child.send(b"x" * 60_000 + b"\n")
    assert child.line(20) == b"X" * 60_000


def test_a_large_message_is_not_copied_for_each_piece_that_the_pipe_takes(start):
    child = start()
    message = b"x" * 8_000_000 + b"\n"
    tracemalloc.start()
    try:
        child.send(message)
        assert tracemalloc.get_traced_memory()[1] < len(message) / 10
    finally:
        tracemalloc.stop()


def test_how_it_ended_with_its_last_words(start):
    child = start()
    child.send(b"die\n")
    with pytest.raises(WorkerDiedError) as caught:
        child.line(20)
    assert caught.value.message == "the echo exited with code 3; its last words: last words"
    with pytest.raises(WorkerDiedError, match="exited with code 3"):
        while True:
            child.send(b"anyone there\n")


def test_the_last_words_of_a_crash_are_what_and_where(start):
    child = start(on_stdio=False)
    child.send(b"crash\n")
    with pytest.raises(WorkerDiedError) as caught:
        child.line(20)
    said = str(caught.value)
    assert "was killed by SIGSEGV; its last words: Fatal Python error: Segmentation fault, " in said
    assert 'File "' in said and "string_at" in said


def test_a_killed_child_may_have_been_too_large(start):
    child = start()
    (echo,) = psutil.Process(child.pid).children()
    echo.kill()
    with pytest.raises(WorkerDiedError) as caught:
        child.line(20)
    assert caught.value.message == f"the echo was killed by SIGKILL{HINTS[-signal.SIGKILL]}"
    assert child.process.poll() == -signal.SIGKILL


def test_killing_takes_the_whole_tree_and_may_come_twice(start):
    child = start()
    tree = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    assert len(tree) == 2
    assert child.kill() == child.kill() == -signal.SIGKILL
    assert all(map(gone, tree))
    for _ in range(2):
        with pytest.raises(WorkerDiedError, match="the echo was ended before"):
            child.send(b"x\n")
        with pytest.raises(WorkerDiedError, match="the echo was ended before"):
            child.line(1.0)


def test_one_that_is_killed_does_not_end_by_itself_before_it(start, monkeypatch):
    """It would, at the end of what it reads, on a machine that is slow to kill."""
    child = start()
    child.send(b"one\n")
    assert child.line(20) == b"ONE"
    killed = child.process.kill
    monkeypatch.setattr(child.process, "kill", lambda: time.sleep(1) or killed())
    assert child.kill() == -signal.SIGKILL


def test_a_child_that_is_stopped_with_its_guard_is_ended_all_the_same(start):
    child = start()
    child.send(b"one\n")
    assert child.line(20) == b"ONE"
    guard = psutil.Process(child.pid)
    tree = [guard, *guard.children()]
    for process in reversed(tree):
        process.suspend()
    with pytest.raises(DeadlineError, match=r"the echo read nothing for 0\.1 s"):
        child.send(bytes(1 << 20), 0.1)
    assert child.line(0.1) is None
    begin = time.monotonic()
    assert child.kill() == -signal.SIGKILL
    assert time.monotonic() - begin < 10
    assert all(map(gone, tree))


def test_one_that_was_stopped_is_not_waited_for(start):
    for wait in (lambda child: child.line(60), lambda child: child.send(bytes(1 << 20), 60)):
        child = start()
        child.send(b"one\n")
        assert child.line(20) == b"ONE"
        psutil.Process(child.pid).children()[0].suspend()
        begin = time.monotonic()
        with pytest.raises(
            WorkerDiedError, match="the echo was stopped by a signal such as SIGSTOP"
        ):
            wait(child)
        assert time.monotonic() - begin < 20
        assert child.process.poll() == -signal.SIGKILL


def test_more_than_1024_open_files_are_no_matter(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        child = start(on_stdio=False)
        child.send(b"one\n")
        assert child.line(20) == b"ONE"
        assert child.kill() == -signal.SIGKILL
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_time_limit_is_for_the_whole_line(start):
    child = start()
    child.send(b"no end of line")
    begin = time.monotonic()
    assert child.line(0.05) is None
    assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize(("status", "words"), [
    (0, "exited with code 0"), (3, "exited with code 3"), (-9, "was killed by SIGKILL"),
    (-11, "was killed by SIGSEGV"), (-99, "was killed by signal 99"),
])  # fmt: skip
def test_a_status_in_words(status, words):
    assert describe_status(status) == words
