"""A watched process and its telemetry service, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.watched import TOKEN, start_hog

from harness.scenario.spec.server import TelemetrySource
from harness.system.guard import GuardedProcess
from harness.telemetry.serve import TelemetryServer


@pytest.fixture
def hog() -> Iterator[GuardedProcess]:
    process = start_hog()
    yield process
    process.kill()


@pytest.fixture
def server(hog: GuardedProcess) -> Iterator[TelemetryServer]:
    pid = hog.child_pid
    with TelemetryServer("127.0.0.1", 0, TOKEN, lambda: [pid], gpu=None) as server:
        yield server


@pytest.fixture
def source(server: TelemetryServer, monkeypatch: pytest.MonkeyPatch) -> TelemetrySource:
    monkeypatch.setenv("TEST_TELEMETRY", TOKEN)
    return TelemetrySource(url=server.address, token="${TEST_TELEMETRY}")
