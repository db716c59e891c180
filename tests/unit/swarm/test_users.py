"""The harness's users: what a failure is called, which classes a process runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from support.stress import loaded, plan_of, unpatched

from harness.errors import ServerDiedError, UsageError
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.sockets import connect
from harness.results.samples import ERROR, OK, TIMEOUT
from harness.swarm.links import AnsweredError
from harness.swarm.recorder import KEY, Recorder, Times

users = unpatched("harness.swarm.users")


@pytest.mark.parametrize(
    ("error", "status", "broken", "kind"),
    [
        (TimeoutError("timed out"), TIMEOUT, True, "no answer in time"),
        (AnsweredError("HTTP 503: queue full"), ERROR, False, "HTTP 503: queue full"),
        (ConnectionResetError(104, "Connection reset by peer"), ERROR, True,
         "the connection broke: ConnectionResetError: [Errno 104] Connection reset by peer"),
        (ProtocolError("the server closed the connection"), ERROR, True,
         "the connection broke: ProtocolError: the server closed the connection"),
    ],
)  # fmt: skip
def test_failures(error: Exception, status: int, broken: bool, kind: str) -> None:
    assert users.judged(error) == (status, broken, kind)


def test_nobody_there_is_one_kind_whatever_the_port() -> None:
    """A proxy has another port in each run, and reports are compared."""
    with pytest.raises(ServerDiedError) as info:
        connect("127.0.0.1:1")
    words = "the connection broke: ConnectionRefusedError: [Errno 111] Connection refused"
    assert users.judged(info.value) == (ERROR, True, words)


def test_when_a_request_was_sent_is_not_the_next_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits takes the connection, and sends, before this request's end is told."""
    link = SimpleNamespace(sent=0)
    pool: list[SimpleNamespace] = []
    told: list[dict[str, Any]] = []

    def ask(*_: object) -> tuple[int, bytes]:
        link.sent = 5_000_000
        return 7_000_000, b""

    def next_user() -> None:
        pool.pop().sent = 9_000_000

    link.ask = ask
    user = users.TritonUser.__new__(users.TritonUser)
    plan = SimpleNamespace(served_name="m")
    monkeypatch.setattr(users.TritonUser, "station", SimpleNamespace(
        count=1, protocol="grpc", plan=plan, pool=pool, connect=lambda: link, wrong=lambda *_: "",
    ), raising=False)  # fmt: skip
    request = SimpleNamespace(fire=lambda **said: told.append(said))
    user.environment = SimpleNamespace(events=SimpleNamespace(request=request))
    other = gevent.spawn(next_user)
    user._ask(1, 4_000_000)
    other.get()
    (said,) = told
    assert said["context"][KEY] == Times(4_000_000, 5_000_000, 7_000_000, OK)
    assert said["response_time"] == 2


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
