"""The service's client, for real, on loopback; and the alignment of clocks."""

import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.certificates import make
from support.watched import TOKEN

from harness.errors import ServerError
from harness.results.series import RECORD, SeriesKey, TelemetrySeries
from harness.scenario.spec.server import TelemetrySource
from harness.telemetry import remote as client
from harness.telemetry.client import Telemetry
from harness.telemetry.remote import RemoteTelemetry, exchange, with_server
from harness.telemetry.serve import TelemetryServer

key = SeriesKey.parse


def twenty_a_second(host: TelemetrySeries | None) -> bool:
    """Whether there were once, however long the sampler had to wait for a processor at times."""
    return host is not None and bool((host.t_ns[5:] - host.t_ns[:-5] < 300_000_000).any())


def test_readings_of_the_tree_on_our_clock(source, tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        remote = RemoteTelemetry(source)
        telemetry.watch([], remote=remote)
        begin = time.monotonic_ns()
        while not twenty_a_second((series := telemetry.read()).get(key("host_bytes"))):
            assert time.monotonic_ns() < begin + 20_000_000_000
            time.sleep(0.1)
        end = time.monotonic_ns()
        again = telemetry.read()
        remote.close()
    host = series[key("host_bytes")]
    assert 120 * 2**20 < host.within(begin, end).peak() < 180 * 2**20
    assert host.t_ns[0] <= end
    assert (np.diff(host.t_ns) > 0).all()
    assert telemetry.problem == ""
    assert {key("run_cpu_s"), key("machine_cpu_s"), key("server_foreign_s")} <= series.keys()
    clock = remote.clock  # the same host: no offset, but for the error that is stated
    assert abs(clock["offset_ns"]) <= clock["error_ns"] < 5_000_000
    moved = again[key("host_bytes")].t_ns[: host.t_ns.size] - host.t_ns
    assert np.abs(moved).max() <= 2 * clock["error_ns"]


def test_the_clock_bound() -> None:
    """The other clock is 1000 ahead; 30 there, then 10 back, with 5 of work: the middle is off
    by 10, half of what the ways differ."""
    found = exchange(sent=0, received=1030, answered=1035, back=45)
    assert found.offset_ns == 1010
    assert found.error_ns == 20
    assert abs(found.offset_ns - 1000) <= found.error_ns


def test_clocks_that_run_at_different_speeds(source, monkeypatch) -> None:
    """100 ppm over 100 s are 10 ms; with the offset read at both ends nothing is left."""
    remote = RemoteTelemetry(source)
    remote.close()
    rate, ahead = 1.0001, 5_000_000_000_000

    def theirs(ours_ns):
        return ahead + int(ours_ns * rate)

    remote._exchanges = [
        exchange(t, theirs(t), theirs(t), t) for t in (0, 50_000_000_000, 100_000_000_000)
    ]
    ours = np.arange(0, 100_000_000_001, 10_000_000_000)
    records = np.zeros(ours.size, RECORD)
    records["t_ns"] = [theirs(int(t)) for t in ours]
    remote._parts = [(["host_bytes"], records)]
    assert np.abs(remote._series()[key("host_bytes")].t_ns - ours).max() < 1000


def test_a_wrong_token_is_said_without_being_shown(source, monkeypatch) -> None:
    monkeypatch.setenv("TEST_TELEMETRY", "another token of some length")
    with pytest.raises(ServerError, match="answers 401") as caught:
        RemoteTelemetry(source)
    assert "another token" not in str(caught.value)


def test_nobody_there(source, server) -> None:
    server.close()
    server.close = lambda: None  # the fixture's, once more
    with pytest.raises(ServerError, match="can't be read"):
        RemoteTelemetry(source)


def test_a_service_that_ends_is_a_problem_not_a_failure(source, server, tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        remote = RemoteTelemetry(source)
        telemetry.watch([], remote=remote)
        remote.read()
        server.close()
        server.close = lambda: None
        remote.close()
        assert key("host_bytes") in telemetry.read()  # what was fetched before
        assert "no telemetry from" in telemetry.problem


def test_nothing_to_watch(source, server, hog) -> None:
    server.ring.pids = []
    with pytest.raises(ServerError, match="no process to watch"):
        RemoteTelemetry(source)


def test_https(hog, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TEST_TELEMETRY", TOKEN)
    files, pid = make(tmp_path), hog.child_pid
    with TelemetryServer(
        "127.0.0.1", 0, TOKEN, lambda: [pid], gpu=None, certificate=(files.cert, files.key)
    ) as server:
        wanted = {"url": server.address, "token": "${TEST_TELEMETRY}"}
        trusting = TelemetrySource.model_validate({**wanted, "tls": {"ca": str(files.ca)}})
        remote = RemoteTelemetry(trusting)
        time.sleep(0.1)  # two readings
        assert key("host_bytes") in remote.read()
        remote.close()
        for tls in ({}, None):
            with pytest.raises(ServerError):
                RemoteTelemetry(TelemetrySource.model_validate({**wanted, "tls": tls}))


def test_what_comes_from_where() -> None:
    def counter(*values):
        return TelemetrySeries(np.array([0, 10**9]), np.array(values, float))

    names = ("host_bytes", "gpu0_power_w", "run_cpu_s", "machine_cpu_s", "machine_cpus")
    here = {key(name): counter(0, 1) for name in names}
    there = {
        key("host_bytes"): counter(5, 6), key("gpu0_power_w"): counter(7, 8),
        key("run_cpu_s"): counter(0, 3), key("tree_cpu_s"): counter(0, 2),
        key("machine_cpu_s"): counter(0, 7), key("machine_cpus"): counter(4, 4),
    }  # fmt: skip
    found = with_server(here, there, cores=4)
    assert found[key("host_bytes")] is there[key("host_bytes")]
    assert found[key("gpu0_power_w")] is there[key("gpu0_power_w")]
    for name in ("run_cpu_s", "machine_cpu_s", "machine_cpus"):
        assert found[key(name)] is here[key(name)]
    assert found[key("server_foreign_s")].rate(0, 10**9) == pytest.approx((7 - 3) / 4)


@pytest.mark.parametrize("tls", [None, {}])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_peer_that_answers_by_the_byte_holds_nothing_up(monkeypatch, tls, answer) -> None:
    monkeypatch.setenv("TEST_TELEMETRY", TOKEN)
    monkeypatch.setattr(client, "FETCH_S", 0.5)
    over = threading.Event()

    def drip(listener):
        peer, _ = listener.accept()
        with peer:
            peer.sendall(answer)
            while not over.wait(0.05):
                try:
                    peer.sendall(b"1")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        wanted = {"url": address, "token": "${TEST_TELEMETRY}", "tls": tls}
        began = time.monotonic()
        with pytest.raises(ServerError, match="can't be read"):
            RemoteTelemetry(TelemetrySource.model_validate(wanted))
        assert time.monotonic() - began < 5
        over.set()
        thread.join(10)


def test_an_answer_has_a_largest_size(source, monkeypatch) -> None:
    monkeypatch.setattr(client, "LARGEST", 20)
    with pytest.raises(ServerError, match="more than 20 bytes"):
        RemoteTelemetry(source)


MALFORMED = [
    b"", b"null", b"[]", b"[1, 2]", b"{}", b'"text"', b"\xff\xfe", b"{" * 2000, b"NaN",
    b'{"received_ns": null, "sent_ns": []}', b'{"received_ns": 1e400, "sent_ns": 0}',
    b'{"series": 5, "complete": true, "problem": ""}\n' + bytes(RECORD.itemsize),
    b'{"series": [{}], "complete": true, "problem": ""}\n' + bytes(3 * RECORD.itemsize),
]  # fmt: skip


@pytest.mark.parametrize("page", ["/v1/about", "/v1/clock", "/v1/series"])
@pytest.mark.parametrize("answer", MALFORMED)
def test_a_malformed_answer_is_a_problem_with_a_name(
    source, tmp_path: Path, monkeypatch, page: str, answer: bytes
) -> None:
    get = RemoteTelemetry._get
    if page != "/v1/about":
        with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
            remote = RemoteTelemetry(source)
            telemetry.watch([], remote=remote)
            monkeypatch.setattr(
                RemoteTelemetry, "_get",
                lambda self, path: answer if path.startswith(page) else get(self, path),
            )  # fmt: skip
            telemetry.read()
            remote.close()
        assert answer.startswith(b'{"series": [{}]') or "no telemetry from" in telemetry.problem
        return
    monkeypatch.setattr(
        RemoteTelemetry, "_get",
        lambda self, path: answer if path.startswith(page) else get(self, path),
    )  # fmt: skip
    with pytest.raises(ServerError):
        RemoteTelemetry(source)
