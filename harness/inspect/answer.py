"""The inspected process's end: a task from a file, and a JSON object a line in answer."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import BackendError
from harness.system.faults import known
from harness.system.files import jsonable

Send = Callable[[Mapping[str, object]], None]
Work = Callable[[Mapping[str, Any], Send], None]


def telling(send: Send) -> Callable[[str], None]:
    """The `begin` of a BackendContext that tells the parent which step's time begins: `load`,
    `build`, or `work`.
    """
    return lambda step: send({"event": "step", "step": step})


def main(work: Work, arguments: Sequence[str] = ()) -> None:
    """`TASK.json IN OUT`: do the work; what raises is told, and ends the process."""
    faulthandler.enable(sys.__stderr__)  # type: ignore[arg-type]
    task, _, out = arguments or sys.argv[1:]
    with os.fdopen(int(out), "wb") as answers:

        def send(message: Mapping[str, object]) -> None:
            answers.write(json.dumps(jsonable(message)).encode() + b"\n")
            answers.flush()

        try:
            work(json.loads(Path(task).read_text(encoding="utf-8")), send)
        except Exception as error:
            import traceback

            traceback.print_exc()
            why = known(error, BackendError)
            send({"event": "failed", "reason": why.reason, "message": why.message, "fix": why.fix})
        send({"event": "done"})
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)  # a runtime's own threads must not keep it alive
