"""The harness's users: what a failure is called, which classes a process runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stress import loaded, plan_of, unpatched
from tritonclient.utils import InferenceServerException

from harness.errors import UsageError
from harness.results.samples import ERROR, TIMEOUT
from harness.swarm.recorder import Recorder

users = unpatched("harness.swarm.users")


@pytest.mark.parametrize(
    ("error", "status", "broken", "kind"),
    [
        (InferenceServerException("late", "StatusCode.DEADLINE_EXCEEDED"), TIMEOUT, False,
         "no answer in time"),
        (InferenceServerException("failed to connect to all addresses", "StatusCode.UNAVAILABLE"),
         ERROR, True, "the connection broke: UNAVAILABLE"),
        (InferenceServerException("[request id: 1] queue full", "StatusCode.UNAVAILABLE"),
         ERROR, False, "[request id: 1] queue full"),
        (TimeoutError("timed out"), TIMEOUT, True, "no answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), ERROR, True,
         "the connection broke: ConnectionRefusedError: [Errno 111] Connection refused"),
    ],
)  # fmt: skip
def test_failures(error: Exception, status: int, broken: bool, kind: str) -> None:
    assert users.judged(error) == (status, broken, kind)


def test_a_locustfile_brings_its_own_classes(tmp_path: Path) -> None:
    scenario = loaded(tmp_path)
    plan = plan_of(scenario)
    station = users.station_of(plan, b"", Recorder(), own=False)
    assert [c.__name__ for c in users.user_classes(plan, station)] == ["Sleeper"]
    (tmp_path / "naps.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(UsageError, match="has no user class"):
        users.user_classes(plan, station)
    (tmp_path / "naps.py").write_text("x = \n", encoding="utf-8")
    with pytest.raises(UsageError, match="SyntaxError"):
        users.user_classes(plan, station)
