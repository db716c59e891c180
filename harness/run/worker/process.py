"""The parent's end of a worker: ask it things with a deadline, see how it ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from harness.errors import DeadlineError, HarnessError, MessageError, WorkerDiedError
from harness.results.events import Progress, Status
from harness.run.environments import Interpreter
from harness.run.limited import Limited
from harness.run.worker import messages
from harness.run.worker.messages import A, Command
from harness.system.child import Child
from harness.system.environment import worker_env

POLL_S = 0.1
LOADING = ("prepare", "describe", "load", "parity")
"""What may take as long as `load_timeout` says."""
INTERRUPTED_S = 1.0
"""How long a worker that was not waited for may take to close."""
Listener = Callable[[Progress | Status], float | None]
"""Told of what goes on; may return how many seconds the rest may take from now on."""
Check = Callable[[], None]


def start_worker(
    log: Path, base: Path, interpreter: Interpreter | HarnessError | None,
    limited: Limited | None = None,
) -> WorkerProcess:  # fmt: skip
    """A worker in an environment, or in ours, under its limits; `base` is the scenario's folder.

    Raises why the environment could not be made.
    """
    if isinstance(interpreter, HarnessError):
        raise interpreter
    env, prefix = worker_env(base), [] if limited is None else limited.prefix
    if interpreter is None:
        return WorkerProcess(log, env=env, prefix=prefix)
    env |= interpreter.env
    return WorkerProcess(log, python=interpreter.python, env=env, prefix=prefix)


class WorkerProcess(Child):
    """A guarded `harness.run.worker.worker`; what it prints goes to `log`."""

    MODULE: ClassVar = "harness.run.worker.worker"

    def __init__(
        self, log: Path, *, python: str = sys.executable, env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Start it with the interpreter `python`; it waits for its first command."""
        self.limit = "load_timeout"
        """The key by which what it does has its deadline."""
        self._interrupted = False
        """Whether it may be at something that it never ends."""
        super().__init__(
            "the worker", self.MODULE, log=log, python=python, env=env, on_stdio=False,
            prefix=prefix,
        )  # fmt: skip

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
            self.send(messages.command_line(command))
            answer = self._await(command.DO, deadline, listener, check)
            if not isinstance(answer, command.answer_type):
                raise MessageError(f"'{command.DO}' was answered by '{answer.EVENT}'")
        except (DeadlineError, WorkerDiedError, MessageError):
            self.kill()
            raise
        except KeyboardInterrupt:
            self._interrupted = command.DO in LOADING
            raise
        return answer

    def _await(
        self, do: str, deadline: float, listener: Listener | None, check: Check | None
    ) -> messages.Answer:
        end = time.monotonic() + deadline
        while True:
            line = self.line(min(POLL_S, max(0.0, end - time.monotonic())))
            answer = None if line is None else messages.read_answer(line)
            if check is not None and (answer is None or isinstance(answer, messages.CommandFailed)):
                check()  # a dead server explains an error better than the client can
            if answer is None:
                if self.stopped:
                    raise self.died()
                if time.monotonic() >= end:
                    late = f"no answer to '{do}' within {deadline:g} s; worker killed"
                    longer = f"give it longer: measurement: {{{self.limit}: {2 * deadline:g}s}}"
                    fix = longer if do in LOADING else None
                    raise DeadlineError(late + self.last_words(), fix=fix)
            elif isinstance(answer, messages.CommandFailed):
                raise answer.error
            elif not isinstance(answer, Progress):
                return answer
            elif listener is not None and (more := listener(answer)) is not None:
                deadline, end = more, time.monotonic() + more

    def close(self, deadline: float = 10.0) -> None:
        """Ask the worker to close its backend; kill it if it does not."""
        deadline = min(deadline, INTERRUPTED_S) if self._interrupted else deadline
        try:
            self.ask(messages.CloseWorker(), deadline=deadline)
            self.process.wait(deadline)
        except (DeadlineError, WorkerDiedError, MessageError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()
