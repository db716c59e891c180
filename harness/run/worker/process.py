"""The parent's end of a worker: start it, ask it things with a deadline, see how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import harness
from harness.errors import DeadlineError, WorkerDiedError, from_reason
from harness.results.events import Progress
from harness.system.guard import GuardedProcess, spawn

POLL_S = 0.1
Listener = Callable[[Progress], None]
Check = Callable[[], None]


class WorkerProcess:
    """A guarded `harness.run.worker.worker`; what it prints goes to `log`."""

    def __init__(self, process: GuardedProcess, requests: int, answers: int, log: Path) -> None:
        self._process = process
        self._requests = requests
        self._answers = answers
        self._buffer = b""
        self.log = log

    @classmethod
    def start(
        cls, log: Path, *, python: str = sys.executable, env: Mapping[str, str] | None = None
    ) -> WorkerProcess:
        """Start a worker with the interpreter `python`; it waits for its first command."""
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        argv = [python, "-m", "harness.run.worker.worker", str(theirs_in), str(theirs_out)]
        try:
            with log.open("ab") as file:
                process = spawn(
                    argv, stdout=file, stderr=file, env=_environment(env or {}),
                    pass_fds=(theirs_in, theirs_out),
                )  # fmt: skip
        except BaseException:
            os.close(ours_out)
            os.close(ours_in)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        return cls(process, ours_out, ours_in, log)

    @property
    def pid(self) -> int:
        """Pid of the worker's guard: the root of its process tree."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs and can be asked."""
        return self._requests >= 0 and self._process.poll() is None

    def ask(
        self, do: str, *, deadline: float, listener: Listener | None = None,
        check: Check | None = None, **arguments: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Send a command and wait for its answer; `progress` goes to `listener`.

        `check` is called while waiting and may raise (a dead server). Raises what the worker
        reported; DeadlineError when nothing came in `deadline` seconds, and WorkerDiedError
        when the process ended; after either, and after `check` raised, the worker is gone.
        """
        try:
            self._write({"do": do, **arguments})
            return self._await(do, deadline, listener, check)
        except (DeadlineError, WorkerDiedError):
            self.kill()
            raise

    def _await(
        self, do: str, deadline: float, listener: Listener | None, check: Check | None
    ) -> dict[str, Any]:
        end = time.monotonic() + deadline
        while True:
            message = self._read(min(POLL_S, max(0.0, end - time.monotonic())))
            if message is None:
                if check is not None:
                    check()
                if time.monotonic() >= end:
                    raise DeadlineError(f"no answer to '{do}' within {deadline:g} s; worker killed")
            elif message["event"] == "progress":
                if listener is not None:
                    listener(Progress.from_event(message))
            elif message["event"] == "error":
                if check is not None:
                    check()  # a dead server explains the error better than the client can
                raise from_reason(message["reason"], message["message"], message.get("fix"))
            else:
                return message

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            data = json.dumps(message, default=str).encode() + b"\n"
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            raise self._died() from None

    def _read(self, timeout: float) -> dict[str, Any] | None:
        while b"\n" not in self._buffer:
            if not select.select([self._answers], [], [], timeout)[0]:
                return None
            chunk = os.read(self._answers, 1 << 16)
            if not chunk:
                raise self._died()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _died(self) -> WorkerDiedError:
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = self.kill()
        hint = _oom_hint() if status == -signal.SIGKILL else ""
        return WorkerDiedError(f"the worker {describe_status(status)}{hint}{_last_words(self.log)}")

    def kill(self) -> int:
        """SIGKILL the whole process tree."""
        self._close_pipes()
        return self._process.kill()

    def close(self, deadline: float = 10.0) -> None:
        """Ask the worker to close its backend; kill it if it does not."""
        try:
            self.ask("close", deadline=deadline)
            self._process.wait(deadline)
        except (DeadlineError, WorkerDiedError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()

    def _close_pipes(self) -> None:
        for name in ("_requests", "_answers"):
            if (descriptor := getattr(self, name)) >= 0:
                os.close(descriptor)
                setattr(self, name, -1)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours with `extra`, and a PYTHONPATH from which any interpreter imports this very harness."""
    root = str(Path(harness.__file__).parent.parent)
    rest = extra.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    path = os.pathsep.join(p for p in (root, rest) if p)
    return {**os.environ, **extra, "PYTHONPATH": path}


def describe_status(status: int) -> str:
    """An exit status in words: `exited with code 3`, `was killed by SIGSEGV`."""
    if status >= 0:
        return f"exited with code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _oom_hint() -> str:
    return " (the kernel's out-of-memory killer does this: see dmesg)"


def _last_words(log: Path, limit: int = 300) -> str:
    """The log's last line, to say what the process complained of."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"; its last words: {lines[-1][:limit]}" if lines else ""
