"""Processes that never outlive the run, even when the harness is killed by SIGKILL.

`spawn` starts a command under a small guard process. The guard holds the read end of a pipe whose
write end only the harness has; when the harness ends, by whatever means, the pipe reads end of file
and the guard kills its whole tree. The guard is a child subreaper (prctl(2)), so that grandchildren
whose parent died stay in the tree; and if the guard itself is killed, its child gets SIGKILL by
PR_SET_PDEATHSIG. A guard that was stopped gets SIGCONT by it, and does its work when the harness
has ended. The guard ends as its child did: same exit code, or same signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
AFTERWARDS, AFTERWARDS_S = "--afterwards", 20.0
"""The guard's option for a last command, and how long that may take."""
GRACE_S = 3.0
"""How long a child may take to end after SIGTERM before its tree is killed."""
GUARD_S = 15.0
"""How long a guard may take to start its child, or to end when all it waits for has ended."""

_File = int | IO[bytes] | IO[str] | None


class GuardedProcess(contextlib.AbstractContextManager["GuardedProcess"]):
    """A command running under a guard; the interface follows `subprocess.Popen`."""

    def __init__(self, process: subprocess.Popen[bytes], control: int, child_pid: int) -> None:
        self._process = process
        self._control = control
        self.child_pid = child_pid

    @property
    def pid(self) -> int:
        """Pid of the guard; its descendants are the command's process tree."""
        return self._process.pid

    def poll(self) -> int | None:
        """The command's exit code, −N if signal N ended it, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def terminate(self, grace: float = GRACE_S) -> int:
        """SIGTERM to the command, SIGKILL to its tree after `grace` seconds; return its status."""
        self._release(f"{grace}\n".encode())
        self._process.send_signal(signal.SIGCONT)  # it may have been stopped
        try:
            return self._process.wait(grace + GUARD_S + 2 * AFTERWARDS_S)
        except subprocess.TimeoutExpired:  # it hangs: what it should have done
            for pid in (*_descendants(self.pid), self.pid):
                _signal(pid, signal.SIGKILL)
            return self._process.wait()

    def kill(self) -> int:
        """SIGKILL to the whole tree at once; return the status."""
        return self.terminate(0.0)

    def _release(self, message: bytes) -> None:
        if self._control >= 0:
            with contextlib.suppress(OSError):
                os.write(self._control, message)
            os.close(self._control)
            self._control = -1

    def __exit__(self, *_: object) -> None:
        self.terminate()


def spawn(
    argv: Sequence[str], *, stdin: _File = subprocess.DEVNULL, stdout: _File = None,
    stderr: _File = None, env: Mapping[str, str] | None = None, cwd: Path | None = None,
    pass_fds: Sequence[int] = (), afterwards: Sequence[str] = (), tries: int = 3,
) -> GuardedProcess:  # fmt: skip
    """Start `argv` under a guard. Raises FileNotFoundError or PermissionError if it can't run.

    `afterwards` is a command that the guard runs when everything has ended, for what is not in
    the process tree (a container); it must be harmless when there is nothing to do.
    """
    control_read, control_write = os.pipe()
    status_read, status_write = os.pipe()
    guard = [sys.executable, "-S", "-E", str(Path(__file__)), str(control_read), str(status_write)]
    guard += [AFTERWARDS, str(len(afterwards)), *afterwards] if afterwards else []
    try:
        process = subprocess.Popen(
            [*guard, *argv], stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd,
            pass_fds=(*pass_fds, control_read, status_write), start_new_session=True,
        )  # fmt: skip
    except BaseException:
        os.close(control_write)
        os.close(status_read)
        raise
    finally:
        os.close(control_read)
        os.close(status_write)
    with open(status_read, "rb") as status:  # noqa: PTH123
        line = status.readline().split() if _readable([status_read], GUARD_S) else []
    if line[:1] == [b"pid"]:
        return GuardedProcess(process, control_write, int(line[1]))
    process.kill()
    process.wait()
    os.close(control_write)
    if line or tries == 1:
        number = int(line[1]) if line else 0
        raise OSError(number, os.strerror(number) if number else "guard failed", argv[0])
    return spawn(  # somebody has ended the guard before it began
        argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, pass_fds=pass_fds,
        afterwards=afterwards, tries=tries - 1,
    )  # fmt: skip


# ------------------------------------------------------------------- the guard process, stdlib only


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants(root: int, spare: bytes | None = None) -> list[int]:
    """Pids below `root`, by /proc, but for those with `spare` in their command and all below."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if spare is not None and spare in Path(f"/proc/{entry}/cmdline").read_bytes():
                    continue
                with open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _kill_tree() -> None:
    """SIGKILL every descendant until none is left; orphans come to us, the subreaper. A guard among
    them does that below it, and has time for its own last command.
    """
    begun = time.monotonic()
    while (seconds := time.monotonic() - begun) < AFTERWARDS_S + 10:
        spare = os.fsencode(__file__) if seconds < AFTERWARDS_S else None
        for pid in _descendants(os.getpid(), spare):
            _signal(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _start(argv: list[str], status: int, keep: list[int]) -> int:
    """Fork and exec the command; report its pid, or the errno of exec, through `status`."""
    errors_read, errors_write = os.pipe()
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for descriptor in keep:
                os.close(descriptor)
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(errors_write, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(errors_write)
    failure = os.read(errors_read, 16)
    os.close(errors_read)
    if failure:
        os.write(status, b"errno " + failure)
        os._exit(127)
    with contextlib.suppress(BrokenPipeError):  # the harness is gone: the end of `control` says so
        os.write(status, f"pid {pid}\n".encode())
    os.close(status)
    return pid


def _run_afterwards(command: list[str]) -> None:
    """Run the last command; its output is of no interest, and it may not take for ever."""
    if command:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=AFTERWARDS_S, check=False,
            )  # fmt: skip


def _main(control: int, status: int, afterwards: list[str], argv: list[str]) -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    wake = _watch_children()
    child = _start(argv, status, [control, status])
    for descriptor in (0, 1, 2):  # the child's; held open here they would hide its end of file
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    code = _supervise(child, control, wake)
    _kill_tree()
    _run_afterwards(afterwards)
    _end_as(code)


def _watch_children() -> int:
    """Take in orphans, and leave ending to the harness; readable when a child has ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the harness ends us, through the pipe
    wake_read, wake_write = os.pipe()
    for descriptor in (wake_read, wake_write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake_read


def _supervise(child: int, control: int, wake: int) -> int:
    """Wait for the child's end, which the harness may ask for; its exit status."""
    kill_at: float | None = None
    while True:
        timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        watched = [wake] if kill_at is not None else [wake, control]
        ready = _readable(watched, timeout)
        if wake in ready:
            os.read(wake, 4096)
        if control in ready:  # end of file or a grace period: time to go
            grace = os.read(control, 64).strip()
            seconds = float(grace) if grace else 0.0
            if seconds > 0:
                _signal(child, signal.SIGTERM)
            kill_at = time.monotonic() + seconds
        if kill_at is not None and time.monotonic() >= kill_at:
            _signal(child, signal.SIGKILL)
            kill_at = time.monotonic() + 60
        code = _reap(child)
        if code is not None:
            return code


def _readable(descriptors: Sequence[int], seconds: float | None) -> list[int]:
    """Those that can be read; waits for one. `select.select` takes none above 1,023."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [ready for ready, _ in poll.poll(None if seconds is None else 1e3 * seconds)]


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _end_as(code: int) -> None:
    """End with the child's exit code, or by its signal."""
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _reap(child: int) -> int | None:
    """Collect every ended child; the exit status of `child` once it is among them."""
    result = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                result = os.waitstatus_to_exitcode(ended[1])
    return result


if __name__ == "__main__":
    _begin = _end = 3
    if sys.argv[3] == AFTERWARDS:
        _begin, _end = 5, 5 + int(sys.argv[4])
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[_begin:_end], sys.argv[_end:])
