"""A process of its own in which a backend is inspected: guarded, each message with a deadline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DeadlineError, from_reason
from harness.system.child import Child
from harness.system.files import write_text

Message = dict[str, Any]


class InspectedProcess(Child):
    """`python -m MODULE TASK.json`, by `harness.inspect.answer`; what it prints goes to `log`."""

    def __init__(
        self, title: str, module: str, task: Mapping[str, object], log: Path,
        python: str, env: Mapping[str, str],
    ) -> None:  # fmt: skip
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.with_suffix(".task.json")
        write_text(file, json.dumps(task))
        super().__init__(title, module, [str(file)], log=log, python=python, env=env,
                         on_stdio=False)  # fmt: skip

    def messages(self, seconds: float) -> Iterator[Message]:
        """What it tells, to its end. Raises WorkerDiedError, DeadlineError, what it reported."""
        while True:
            line = self.line(seconds)
            if line is None:
                self.kill()
                raise DeadlineError(f"{self.title} said nothing for {seconds:g} s")
            message: Message = json.loads(line)
            if message["event"] == "done":
                return
            if message["event"] == "failed":
                raise from_reason(message["reason"], message["message"], message["fix"])
            yield message
