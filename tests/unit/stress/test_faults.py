"""When faults are done, and that they are undone: on a server whose harm is only noted."""

from __future__ import annotations

import time
from typing import Any, cast

from support.stress import stress

from harness.errors import ServerError
from harness.stress.faults import HOW, FaultRecord, Faults
from harness.stress.server import StressServer


class Noting:
    """Notes what is asked of it: the real one is in tests/integration/test_stress.py."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: object) -> None:
            self.done.append(" ".join([name, *map(str, arguments)]))
            if name == "unload":
                raise ServerError("it would not")

        return act


def test_each_is_done_at_its_time_undone_and_told() -> None:
    section = stress(
        shape={"constant": {"rate": 1, "duration": "9s"}},
        faults=[{"at": "300ms", "kill": "server"}, {"at": "0s", "pause": "50ms"},
                {"at": "400ms", "unload": "model"}, {"at": "8s", "kill": "server"}],
    )  # fmt: skip
    server, records = Noting(), list[FaultRecord]()
    faults = Faults(section.faults, cast(StressServer, server), None, records.append)
    faults.start(time.monotonic_ns())
    deadline = time.monotonic() + 30
    while len(records) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    faults.stop()  # the last one is never done
    assert server.done == [
        "stand_still True", "stand_still False", "kill", "restart", "unload",
    ]  # fmt: skip
    assert [r.kind for r in records] == ["pause", "kill", "unload"]
    assert all(r.begin >= r.asked for r in records)
    assert records[0].end - records[0].begin >= 0.05
    assert records[2].problem == "it would not"
    assert all(r.how == HOW[r.kind] for r in records)
