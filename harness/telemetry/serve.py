"""`harness telemetry serve`: the sampler beside a server on another host, read over HTTP.

Everything is asked with `Authorization: Bearer TOKEN`:

    GET /v1/about          what is watched, and on which machine; JSON
    GET /v1/clock          {"received_ns", "sent_ns"}: this host's monotonic clock
    GET /v1/series?since=NS   readings after that moment: one line of JSON, then `series.RECORD`s

Readings are kept for a while in memory. Nothing can be changed through it, and it runs nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, SetupError
from harness.system.network import is_loopback
from harness.system.scratch import temporary_folder
from harness.telemetry.client import Telemetry

DRAIN_S = 1.0
"""How often readings are taken over from the sampler when nobody asks."""
IDLE_S = 120.0
"""A connection that asks for nothing is closed; so is one whose question takes that long."""
STRANGER_S = 5.0
"""The same until the token was shown."""
ANSWER_S = 30.0
"""How long an answer may take to be read."""
MOST = 64
"""Connections. One more closes the oldest of those that have not shown the token."""
SHORTEST_TOKEN = 16
"""Characters."""


class Ring:
    """The readings of the last `keep` seconds. Threads may share it."""

    def __init__(
        self, telemetry: Telemetry, keep: float, find: Callable[[], list[int]], gpu: str | None
    ) -> None:
        self._telemetry, self._keep_ns = telemetry, int(keep * 1e9)
        self._find, self._gpu = find, gpu
        self._chunks: deque[NDArray[np.void]] = deque()
        self._mutex = threading.Lock()
        self._dropped_ns = time.monotonic_ns()
        self.names: list[str] = []
        self.pids: list[int] = []

    def follow(self) -> None:
        """Watch the processes that are to be watched, if those of before have ended."""
        import psutil

        if self.pids and all(psutil.pid_exists(pid) for pid in self.pids):
            return
        found = self._find()
        with self._mutex:
            if found != self.pids or not self.names:
                self._drain()
                self._telemetry.watch(found, self._gpu, itself=True)
                self.pids = found

    def drain(self) -> None:
        """Take over what the sampler has read, and forget what is too old."""
        with self._mutex:
            self._drain()

    def _drain(self) -> None:
        names, records = self._telemetry.drain()
        self.names = names or self.names
        if records.size:
            self._chunks.append(records)
        oldest = time.monotonic_ns() - self._keep_ns
        while self._chunks and int(self._chunks[0]["t_ns"][-1]) < oldest:
            self._dropped_ns = int(self._chunks.popleft()["t_ns"][-1])

    def since(self, since_ns: int) -> tuple[dict[str, object], bytes]:
        """What is known about the readings after a moment, and the records themselves."""
        with self._mutex:
            self._drain()
            new = [c for c in self._chunks if int(c["t_ns"][-1]) > since_ns]
            about: dict[str, object] = {
                "series": self.names, "pids": self.pids, "complete": since_ns >= self._dropped_ns,
                "problem": self._telemetry.problem,
            }  # fmt: skip
        return about, b"".join(c[c["t_ns"] > since_ns].tobytes() for c in new)


class TelemetryServer(contextlib.AbstractContextManager["TelemetryServer"]):
    """Samples and answers until it is closed; a context manager. `address` is host:port."""

    def __init__(
        self, host: str, port: int, token: str, find: Callable[[], list[int]], *,
        gpu: str | None = "cuda", keep: float = 900.0, certificate: tuple[Path, Path] | None = None,
    ) -> None:  # fmt: skip
        """Listen. Raises SetupError when the port or the certificate can't be used."""
        self._folder = tempfile.TemporaryDirectory(prefix="harness-telemetry-")
        base = Path(self._folder.name)
        try:
            self._http = _Http((host, port), _Handler)
        except OSError as error:
            self._folder.cleanup()
            raise SetupError(f"can't listen on {host}:{port}: {error.strerror}") from None
        if certificate is not None:
            self._http.socket = _secure(self._http.socket, *certificate)
        self._telemetry = Telemetry(base / "raw", base / "log")
        self.ring = Ring(self._telemetry, keep, find, gpu)
        self._http.token, self._http.ring = token.encode(), self.ring
        self.address = "{}:{}".format(*self._http.server_address[:2])
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True)
                         for work in (self._http.serve_forever, self._follow)]  # fmt: skip
        self.ring.follow()
        for thread in self._threads:
            thread.start()

    def _follow(self) -> None:
        while not self._stop.wait(DRAIN_S):
            with contextlib.suppress(OSError, HarnessError):  # no descriptor left: once more then
                self.ring.follow()
                self.ring.drain()

    def close(self) -> None:
        """Stop listening and sampling."""
        self._stop.set()
        self._http.shutdown()
        for thread in self._threads:
            thread.join()
        self._http.server_close()
        self._telemetry.close()
        self._folder.cleanup()

    def __exit__(self, *_: object) -> None:
        self.close()


def _secure(plain: socket.socket, cert: Path, key: Path) -> ssl.SSLSocket:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        plain.close()
        raise SetupError(f"the certificate can't be used ({cert}, {key}): {error}") from None
    # the handshake belongs to the connection's own thread: one that stalls holds up nobody
    return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    token = b""
    ring: Ring

    def __init__(self, *arguments: Any) -> None:
        self._until: dict[socket.socket, float] = {}
        """When each connection is closed, the oldest first."""
        self._friends: set[socket.socket] = set()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; without a descriptor to be had, others' connections have to end first."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        while len(self._until) >= MOST:
            strangers = (c for c in list(self._until) if c not in self._friends)
            if (oldest := next(strangers, None)) is None:
                self.shutdown_request(request)
                return
            self._end(oldest)
        self.allow(request, STRANGER_S)
        super().process_request(request, client_address)

    def allow(self, connection: socket.socket, seconds: float, *, known: bool = False) -> None:
        """Let a connection live for so long from now; `known`: it has shown the token."""
        self._until[connection] = time.monotonic() + seconds
        if known:
            self._friends.add(connection)

    def service_actions(self) -> None:
        """Twice a second: close what has had its time."""
        now = time.monotonic()
        for connection, until in list(self._until.items()):
            if until < now:
                self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """Break a connection; its thread then closes it."""
        self._until.pop(connection, None)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # a TLS one's own would wait

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._until.pop(request, None)
        self._friends.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that break are the other side's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "harness-telemetry"
    sys_version = ""
    timeout = IDLE_S
    disable_nagle_algorithm = True  # with it, an answer in two writes waits 40 ms for its second
    wbufsize = -1
    server: _Http

    def do_GET(self) -> None:
        """One question."""
        received = time.monotonic_ns()
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, b"Bearer " + self.server.token):
            self._answer(401, b'{"error": "the bearer token is missing or wrong"}')
            return
        self.server.allow(self.connection, ANSWER_S, known=True)
        self._answer_to(urlsplit(self.path), received)
        self.server.allow(self.connection, IDLE_S)

    def _answer_to(self, url: SplitResult, received: int) -> None:
        if url.path == "/v1/clock":
            times = {"received_ns": received, "sent_ns": time.monotonic_ns()}
            self._answer(200, json.dumps(times).encode())
        elif url.path == "/v1/about":
            self._answer(200, json.dumps(about(self.server.ring)).encode())
        elif url.path == "/v1/series":
            since = parse_qs(url.query).get("since", [""])[0]
            if not since.lstrip("-").isdigit():
                self._answer(400, b'{"error": "since must be nanoseconds"}')
                return
            head, records = self.server.ring.since(int(since))
            self._answer(200, json.dumps(head).encode() + b"\n" + records)
        else:
            self._answer(404, b'{"error": "there is no such page"}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a log would tell who asks what."""


def about(ring: Ring) -> dict[str, object]:
    """What a run notes about the server's host."""
    from harness.system.machine import describe_machine
    from harness.version import __version__

    return {
        "harness": __version__, "pids": ring.pids, "cores": len(os.sched_getaffinity(0)),
        "machine": describe_machine(),
    }  # fmt: skip


def find_by_name(name: str) -> list[int]:
    """Processes of that name that are not below another one of it."""
    import psutil

    found: dict[int, psutil.Process] = {
        p.pid: p for p in psutil.process_iter(["name"]) if p.info["name"] == name
    }

    def below(process: psutil.Process) -> bool:
        try:
            return any(parent.pid in found for parent in process.parents())
        except psutil.Error:
            return True  # it has just ended

    return sorted(pid for pid, process in found.items() if not below(process))


def those_that_run(pids: Iterable[int]) -> list[int]:
    """The pids that belong to a process."""
    import psutil

    return [pid for pid in pids if psutil.pid_exists(pid)]


def token_of(name: str) -> str:
    """The token in the environment variable `name`. Raises SetupError when it is none."""
    token = os.environ.get(name, "")
    if len(token) < SHORTEST_TOKEN or not token.isprintable():
        raise SetupError(
            f"the environment variable {name} must hold a token of at least {SHORTEST_TOKEN} "
            "characters",
            fix=f"export {name}=$(openssl rand -hex 16), here and where the run is started",
        )
    return token


def serve(
    address: tuple[str, int], token: str, watched: Sequence[int] | str, say: Callable[[str], None],
    *, gpu: str | None, keep: float, certificate: tuple[Path, Path] | None,
) -> None:  # fmt: skip
    """Serve the readings of processes, by pid or by name, until SIGINT or SIGTERM."""
    with temporary_folder(), TelemetryServer(
        *address, token,
        lambda: find_by_name(watched) if isinstance(watched, str) else those_that_run(watched),
        gpu=gpu, keep=keep, certificate=certificate,
    ) as server:  # fmt: skip
        pids = ", ".join(map(str, server.ring.pids))
        missing = watched if isinstance(watched, str) else "such process"
        what = f"pid {pids}" if pids else f"nothing yet: no {missing} runs"
        scheme = "https" if certificate else "http"
        if certificate is None and not is_loopback(address[0]):
            say("warning: without --cert, whoever sees the network's packets sees the token")
        say(f"telemetry on {scheme}://{server.address}, watching {what}; Ctrl-C stops it")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()
