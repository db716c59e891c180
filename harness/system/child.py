"""A child process of ours: guarded, spoken to through two pipes, each message with a deadline.

Every exchange between processes of the harness goes through here, so nothing waits for ever for a
process that was stopped (SIGSTOP) or hangs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from harness.errors import DeadlineError, WorkerDiedError
from harness.system.credentials import cut
from harness.system.environment import child_env, module_command
from harness.system.guard import spawn
from harness.system.machine import cgroup_limits, memory_kills

END_S = 5.0
"""How long a child whose pipe has ended may take to end itself."""
SEND_S = 30.0
"""How long a child may take to read a message that is larger than the pipe."""
STOPPED = "T"
"""What `state` says of a process that a signal (SIGSTOP) has stopped. One that is traced (`t`) goes
on: strace and debuggers stop it at every call."""
LOOK_S = 0.5
"""How often one that is waited for is looked at: it may have been stopped."""
LAST_WORDS = 300
CRASH = "Fatal Python error: "
"""How `faulthandler` begins, of a signal that the process's own code is the cause of."""
HINTS = {
    -signal.SIGKILL: " (the kernel's out-of-memory killer does this: see dmesg)",
    -signal.SIGBUS: " (memory mapped from a full disk or a full /dev/shm does this: see df)",
    -signal.SIGXFSZ: " (a file larger than allowed does this: see ulimit -f)",
}
"""What is mostly behind the end by a signal."""


class Child:
    """`python -m MODULE ARGUMENTS`; a context manager that kills it with its whole tree.

    The pipes are its stdin and stdout. Without `on_stdio` they are descriptors of their own, whose
    numbers follow the arguments (to read from, to write to), and what it prints goes to `log`.
    Messages are whatever both ends agree on; what the child sends are lines. `title` begins the
    sentences about its end (`the worker`); `process` is what runs.
    """

    def __init__(
        self, title: str, module: str, arguments: Sequence[str] = (), *, log: Path | None = None,
        python: str = sys.executable, env: Mapping[str, str] | None = None, on_stdio: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.title, self.log = title, log
        self._kills = memory_kills()
        self._buffer = b""
        theirs_in, self._to_child = os.pipe()
        os.set_blocking(self._to_child, False)
        self._from_child, theirs_out = os.pipe()
        argv = [*prefix, *module_command(module, python), *arguments]
        argv += [] if on_stdio else [str(theirs_in), str(theirs_out)]
        try:
            with contextlib.ExitStack() as stack:
                printed = stack.enter_context(log.open("ab")) if log is not None else None
                self.process = spawn(
                    argv, stdin=theirs_in if on_stdio else subprocess.DEVNULL,
                    stdout=theirs_out if on_stdio else printed, stderr=printed,
                    env=child_env(env or {}),
                    pass_fds=() if on_stdio else (theirs_in, theirs_out),
                )  # fmt: skip
        except BaseException:
            self._close_pipes()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    @property
    def pid(self) -> int:
        """Pid of the guard: the root of the child's process tree."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs and can be spoken to."""
        return self._to_child >= 0 and self.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether it will do nothing more until somebody sends it SIGCONT."""
        return state(self.process.child_pid) == STOPPED

    def send(self, data: bytes, seconds: float = SEND_S) -> None:
        """Write a message. Raises WorkerDiedError, or DeadlineError: not read within `seconds`."""
        deadline, left = time.monotonic() + seconds, memoryview(data)
        while left:
            if not self._ready(self._to_child, select.POLLOUT, deadline):
                raise DeadlineError(f"{self.title} read nothing for {seconds:g} s")
            try:
                left = left[os.write(self._to_child, left) :]
            except OSError:
                raise self.died() from None

    def line(self, seconds: float) -> bytes | None:
        """Its next line, None when there is none within `seconds`. Raises WorkerDiedError."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not self._ready(self._from_child, select.POLLIN, deadline):
                return None
            chunk = os.read(self._from_child, 1 << 16)
            if not chunk:
                raise self.died()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _ready(self, pipe: int, event: int, deadline: float) -> bool:
        """Whether one may write or read, or the other end is closed, before `deadline`.

        Raises WorkerDiedError for a child that was stopped meanwhile.
        """
        if pipe < 0:
            raise self.died()
        (poll := select.poll()).register(pipe, event)  # `select` takes none above 1,023
        while not poll.poll(1e3 * min(LOOK_S, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return False
            if self.stopped:
                raise self.died()
        return True

    def died(self) -> WorkerDiedError:
        """How it ended, with its last words; one that does not end, or was stopped, is killed."""
        if self._to_child < 0:  # by `kill`
            return WorkerDiedError(f"{self.title} was ended before{self.last_words()}")
        if self.stopped:
            self.kill()
            return WorkerDiedError(f"{self.title} was stopped by a signal such as SIGSTOP")
        hint = ""
        try:
            status = self.process.wait(END_S)
            hint = self._over_the_limit() if status == -signal.SIGKILL else ""
            hint = hint or HINTS.get(status, "")
        except subprocess.TimeoutExpired:
            status = self.kill()
        return WorkerDiedError(f"{self.title} {describe_status(status)}{hint}{self.last_words()}")

    def _over_the_limit(self) -> str:
        """The memory limit for which the kernel has ended it; empty where it has not, or none is
        known.
        """
        limit = cgroup_limits()["memory_mib"] if memory_kills() > self._kills else None
        return (
            f" (its control group was out of memory: the limit is {limit:g} MiB)" if limit else ""
        )

    def last_words(self) -> str:
        """The log's last line, to say what the process complained of: of a crash, where it was."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines() if self.log else []
        except OSError:
            return ""
        said = _crash(lines) or (lines[-1] if lines else "")
        return f"; its last words: {cut(said, LAST_WORDS)}" if said else ""

    def kill(self) -> int:
        """SIGKILL the whole process tree; its status."""
        status = self.process.kill()  # with its pipes open: at their end it would end by itself
        self._close_pipes()
        return status

    def _close_pipes(self) -> None:
        for pipe in {self._to_child, self._from_child} - {-1}:
            os.close(pipe)
        self._to_child = self._from_child = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _crash(lines: Sequence[str]) -> str:
    """What `faulthandler` wrote last, and the innermost line of Python; empty without a crash."""
    begins = [i for i, line in enumerate(lines) if line.startswith(CRASH)]
    if not begins:
        return ""
    frames = (line.strip() for line in lines[begins[-1] :] if line.startswith("  File "))
    return ", ".join([lines[begins[-1]], *list(frames)[:1]])


def state(pid: int) -> str:
    """The letter that proc(5) has for what a process does, X if it is gone; one small read."""
    return next(iter(stat_of(pid)), "X")


def stat_of(pid: int) -> list[str]:
    """What /proc/PID/stat has after the process's name; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()


def describe_status(status: int) -> str:
    """An exit status in words: `exited with code 3`, `was killed by SIGSEGV`."""
    if status >= 0:
        return f"exited with code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
