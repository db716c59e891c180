"""The parent's end of a worker: start it, ask it things with a deadline, see how it ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import DeadlineError, MessageError, WorkerDiedError
from harness.results.events import Progress
from harness.run.worker import messages
from harness.run.worker.messages import A, Command
from harness.system.child import OOM_HINT, describe_status
from harness.system.credentials import cut
from harness.system.environment import child_env, module_command
from harness.system.guard import GuardedProcess, spawn

MODULE = "harness.run.worker.worker"
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
        argv = [*module_command(MODULE, python), str(theirs_in), str(theirs_out)]
        try:
            with log.open("ab") as file:
                process = spawn(
                    argv, stdout=file, stderr=file, env=child_env(env or {}),
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
        self, command: Command[A], *, deadline: float, listener: Listener | None = None,
        check: Check | None = None,
    ) -> A:  # fmt: skip
        """Send a command and wait for its answer; what comes before it goes to `listener`.

        `check` is called while waiting and may raise (a dead server). Raises what the worker
        reported; DeadlineError when nothing came in `deadline` seconds, WorkerDiedError when the
        process ended, MessageError for an answer that is none: after these the worker is gone.
        """
        try:
            self._write(messages.command_line(command))
            answer = self._await(command.DO, deadline, listener, check)
            if not isinstance(answer, command.answer_type):
                raise MessageError(f"'{command.DO}' was answered by '{answer.EVENT}'")
        except (DeadlineError, WorkerDiedError, MessageError):
            self.kill()
            raise
        return answer

    def _await(
        self, do: str, deadline: float, listener: Listener | None, check: Check | None
    ) -> messages.Answer:
        end = time.monotonic() + deadline
        while True:
            answer = self._read(min(POLL_S, max(0.0, end - time.monotonic())))
            if check is not None and (answer is None or isinstance(answer, messages.CommandFailed)):
                check()  # a dead server explains an error better than the client can
            if answer is None:
                if time.monotonic() >= end:
                    raise DeadlineError(f"no answer to '{do}' within {deadline:g} s; worker killed")
            elif isinstance(answer, messages.CommandFailed):
                raise answer.error
            elif not isinstance(answer, Progress):
                return answer
            elif listener is not None:
                listener(answer)

    def _write(self, data: bytes) -> None:
        if self._requests < 0:
            raise WorkerDiedError(f"the worker was ended before{_last_words(self.log)}")
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            raise self._died() from None

    def _read(self, timeout: float) -> messages.Answer | Progress | None:
        while b"\n" not in self._buffer:
            if not select.select([self._answers], [], [], timeout)[0]:
                return None
            chunk = os.read(self._answers, 1 << 16)
            if not chunk:
                raise self._died()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return messages.read_answer(line)

    def _died(self) -> WorkerDiedError:
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = self.kill()
        hint = OOM_HINT if status == -signal.SIGKILL else ""
        return WorkerDiedError(f"the worker {describe_status(status)}{hint}{_last_words(self.log)}")

    def kill(self) -> int:
        """SIGKILL the whole process tree."""
        self._close_pipes()
        return self._process.kill()

    def close(self, deadline: float = 10.0) -> None:
        """Ask the worker to close its backend; kill it if it does not."""
        try:
            self.ask(messages.CloseWorker(), deadline=deadline)
            self._process.wait(deadline)
        except (DeadlineError, WorkerDiedError, MessageError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()

    def _close_pipes(self) -> None:
        descriptors = (self._requests, self._answers)
        self._requests = self._answers = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _last_words(log: Path, limit: int = 300) -> str:
    """The log's last line, to say what the process complained of."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"; its last words: {cut(lines[-1], limit)}" if lines else ""
