"""The telemetry service, for real, on loopback."""

import errno
import http.client
import json
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from support.watched import TOKEN, start_hog

from harness.errors import SetupError
from harness.scenario.spec.server import TelemetrySource
from harness.system.network import split_address
from harness.telemetry import serve
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


@pytest.mark.parametrize("said", [b"", b"GET /v1/clock HT", b"GET /v1/clock HTTP/1.1\r\nA: b\r\n"])
def test_a_stranger_is_sent_away_soon(server, monkeypatch, said) -> None:
    monkeypatch.setattr(serve, "STRANGER_S", 0.2)
    with socket.create_connection(split_address(server.address), timeout=10) as peer:
        peer.sendall(said)
        assert peer.recv(1) == b""  # closed, not left open


def test_a_byte_now_and_then_wins_no_time(server, monkeypatch) -> None:
    monkeypatch.setattr(serve, "STRANGER_S", 0.3)
    with socket.create_connection(split_address(server.address), timeout=0.05) as peer:
        peer.sendall(b"GET /v1/clock HTTP/1.1\r\nA: ")
        for _ in range(200):  # ten seconds
            try:
                peer.sendall(b"a")
                if peer.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("it was still listened to")


def test_idle_connections_keep_nobody_out_and_are_few(server, monkeypatch) -> None:
    monkeypatch.setattr(serve, "MOST", 4)
    friend = http.client.HTTPConnection(server.address, timeout=5)
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context(socket.create_connection(split_address(server.address), 5))
            friend.request("GET", "/v1/clock", headers={"Authorization": f"Bearer {TOKEN}"})
            assert friend.getresponse().read(), number  # on one connection that is kept
        assert get(server.address, "/v1/about", f"Bearer {TOKEN}")[0] == 200
        assert len(server._http._until) <= 4
    friend.close()


def test_without_descriptors_it_waits_and_goes_on(server, monkeypatch) -> None:
    calls = []
    accept = server._http.socket.accept

    class NoneLeft:
        def __getattr__(self, name):
            return getattr(real, name)

        def accept(self):
            calls.append(time.monotonic())
            if len(calls) <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return accept()

    real = server._http.socket
    monkeypatch.setattr(server._http, "socket", NoneLeft())
    assert get(server.address, "/v1/clock", f"Bearer {TOKEN}")[0] == 200
    assert calls[3] - calls[0] > 0.25  # it did not spin


def test_a_look_that_fails_does_not_end_the_sampling(hog, monkeypatch) -> None:
    monkeypatch.setattr(serve, "DRAIN_S", 0.01)
    looked, again = [], threading.Event()

    def find():
        looked.append(1)
        if len(looked) == 2:
            raise OSError(errno.EMFILE, "Too many open files")
        if len(looked) > 2:
            again.set()
        return []

    with TelemetryServer("127.0.0.1", 0, TOKEN, find, gpu=None):
        assert again.wait(10)


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_the_network_without_tls_is_warned_of(host, warned) -> None:
    said = []

    class Enough(Exception):
        pass

    def say(text):
        said.append(text)
        if text.startswith("telemetry on"):
            raise Enough

    with pytest.raises(Enough):
        serve.serve((host, 0), TOKEN, [], say, gpu=None, keep=1.0, certificate=None)
    assert any("warning" in text for text in said) == warned
