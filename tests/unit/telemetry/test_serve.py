"""The telemetry service, for real, on loopback."""

import http.client
import json
import time

import pytest
from support.watched import TOKEN, start_hog

from harness.errors import SetupError
from harness.scenario.spec.scenario import TelemetrySource
from harness.telemetry.remote import RemoteTelemetry
from harness.telemetry.serve import TelemetryServer


def get(address, path, token):
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", path, headers={"Authorization": token} if token else {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.parametrize("token", [None, "Bearer wrong", TOKEN, f"Bearer {TOKEN} ", "Bearer é"])
def test_the_token_is_needed(server, token) -> None:
    for path in ("/v1/about", "/v1/clock", "/v1/series?since=0", "/"):
        status, body = get(server.address, path, token and token.encode())
        assert status == 401
        assert TOKEN.encode() not in body


def test_questions_that_make_no_sense(server) -> None:
    right = f"Bearer {TOKEN}"
    assert get(server.address, "/v1/series", right)[0] == 400
    assert get(server.address, "/v1/series?since=now", right)[0] == 400
    assert get(server.address, "/etc/passwd", right)[0] == 404
    about = json.loads(get(server.address, "/v1/about", right)[1])
    assert about["cores"] >= 1
    assert about["machine"]["cpu"]["threads"] == about["cores"]


def test_readings_that_are_too_old_are_dropped_and_that_is_said(hog, monkeypatch) -> None:
    monkeypatch.setenv("TEST_TELEMETRY", TOKEN)
    pid = hog.child_pid
    with TelemetryServer("127.0.0.1", 0, TOKEN, lambda: [pid], gpu=None, keep=0.1) as server:
        remote = RemoteTelemetry(TelemetrySource(url=server.address, token="${TEST_TELEMETRY}"))
        for _ in range(6):
            time.sleep(0.06)
            server.ring.drain()
        remote.read()
        assert "no longer had the oldest" in remote.problem
        assert sum(c.size for c in server.ring._chunks) < 60
        remote.close()


def test_a_server_that_is_started_again_is_followed(hog) -> None:
    found = [hog.child_pid]
    with TelemetryServer("127.0.0.1", 0, TOKEN, lambda: found, gpu=None) as server:
        hog.kill()
        other = start_hog()
        found = [other.child_pid]
        server.ring.follow()
        assert server.ring.pids == found
        other.kill()


def test_a_port_in_use(server) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(SetupError, match=r"can't listen on 127\.0\.0\.1"):
        TelemetryServer("127.0.0.1", port, TOKEN, list, gpu=None)
