"""A process of its own in which a backend is inspected: guarded, each message with a deadline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DeadlineError, from_reason
from harness.scenario.spec.load import Measurement
from harness.system.child import Child
from harness.system.files import write_text

Message = dict[str, Any]
WORK_S = 600.0
"""How long it may be silent once the backend is loaded."""


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

    def messages(self, limits: Measurement) -> Iterator[Message]:
        """What it tells, to its end: the backend is loaded, and its engine built, within the
        scenario's limits, and something is told of the work every `WORK_S` seconds.

        Raises WorkerDiedError, DeadlineError, what it reported.
        """
        steps = {
            "load": (limits.load_timeout, "load_timeout"),
            "build": (limits.build_timeout, "build_timeout"), "work": (WORK_S, ""),
        }  # fmt: skip
        seconds, key = steps["load"]
        while True:
            line = self.line(seconds)
            if line is None:
                self.kill()
                longer = f"give it longer: measurement: {{{key}: {2 * seconds:g}s}}"
                words = f"{self.title} said nothing for {seconds:g} s"
                raise DeadlineError(words, fix=longer if key else None)
            message: Message = json.loads(line)
            if message["event"] == "step":
                seconds, key = steps[message["step"]]
                continue
            if message["event"] == "done":
                return
            if message["event"] == "failed":
                raise from_reason(message["reason"], message["message"], message["fix"])
            yield message
