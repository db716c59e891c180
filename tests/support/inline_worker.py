"""A worker in this process: the real commands, answers and protocol, without the pipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import WorkerDiedError
from harness.results.events import Progress
from harness.run.worker import messages
from harness.run.worker.worker import Worker, failed


class InlineWorker:
    """What `WorkerProcess` offers; `commands` are those it was given."""

    pid = 1

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.alive = True
        self.closed = False
        self._listener: Callable[[Progress], None] = lambda _: None
        self._worker = Worker(self._send)

    def _send(self, answer: Any) -> None:
        self._listener(messages.read_answer(messages.answer_line(answer)))  # type: ignore[arg-type]

    def ask(self, command: Any, *, deadline: float, listener: Any = None, check: Any = None) -> Any:
        if not self.alive:
            raise WorkerDiedError("the worker was ended")
        assert deadline > 0
        self._listener = listener or (lambda _: None)
        self.commands.append(messages.read_command(messages.command_line(command)))
        try:
            answer: Any = self._worker.handle(self.commands[-1])
        except Exception as error:
            answer = failed(error)
        answer = messages.read_answer(messages.answer_line(answer))
        if isinstance(answer, messages.CommandFailed):
            raise answer.error
        assert isinstance(answer, command.answer_type)
        return answer

    def kill(self) -> int:
        self.alive = False
        return -9

    def close(self) -> None:
        self.closed, self.alive = True, False
