"""Reading Triton's /metrics while requests flow: a thread of its own, text only.

The thread sleeps but for its readings, and nothing is parsed before the window has ended. A
reading costs this process about 0.2 ms of CPU on loopback; there are two at the window's ends, at
the moments when the statistics are read, and one a second in between for what is not a counter.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import threading
import time
from dataclasses import asdict, dataclass
from typing import Self
from urllib.parse import urlsplit

from harness.errors import ServerError
from harness.system.network import Access, Tls, split_address
from harness.system.tls import http_connection

EVERY_S = 1.0
TIMEOUT_S = 2.0
PATH = "/metrics"
KEPT_BETWEEN = ("nv_inference_pending_request_count", "nv_pinned_", "nv_gpu_")
"""What is not a counter: all that is kept of the readings within the window."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, and when it was asked for and had been read: monotonic ns."""

    begin_ns: int
    end_ns: int
    at_end: bool
    """Whether it is one of the two at the window's ends."""
    text: str


class Scraper:
    """Reads `url` at each `mark`, and every second between the first and the second one.

    A context manager. A page that can't be read never fails a measurement: `problem` says why.
    `access` holds the headers to send, and whom an https page must prove to be.
    """

    def __init__(self, url: str, access: Access | None = None, every: float = EVERY_S) -> None:
        self._https, self._address, self._path = split_url(url)
        self._access, self._every = access or Access(), every
        self._marks: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._readings: list[Reading] = []
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="metrics")
        self.problem = ""

    def mark(self) -> None:
        """Read now, in the thread: one end of the window. Returns at once."""
        self._marks.put(True)

    def finish(self) -> dict[str, object]:
        """End the thread; `readings` and `problem` as JSON. Called again it says the same."""
        if self._thread.is_alive():
            self._marks.put(False)
            self._thread.join(2 * TIMEOUT_S)
        found = list(self._readings)
        if sum(r.at_end for r in found) < 2 and not self.problem:
            self.problem = "the server's metrics were not read at both ends of the window"
        return {"readings": [asdict(r) for r in found], "problem": self.problem}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        self.page()  # connects, so that the first reading that counts is as quick as the others
        ends = 0
        while True:
            between = ends == 1
            try:
                at_end = self._marks.get(timeout=self._every if between else None)
            except queue.Empty:
                self._read(at_end=False)
                continue
            if not at_end:
                break
            ends += 1
            self._read(at_end=True)
        self._disconnect()

    def _read(self, *, at_end: bool) -> None:
        begin = time.monotonic_ns()
        text = self.page()
        end = time.monotonic_ns()
        if text is not None:
            kept = text if at_end else only(text, KEPT_BETWEEN)
            self._readings.append(Reading(begin, end, at_end, kept))

    def page(self) -> str | None:
        """The page as it is now; a connection that the server has closed since is opened again,
        once. None where it can't be read: `problem` says why.
        """
        for _ in range(2):
            try:
                status, body = self._ask()
            except (OSError, http.client.HTTPException, ServerError) as error:
                words = str(error) or type(error).__name__
                self.problem = f"the server's metrics can't be read: {words}"
                self._disconnect()
                continue
            self.problem = "" if status == 200 else f"the server's metrics: HTTP {status}"
            return body.decode("utf-8", "replace") if status == 200 else None
        return None

    def _ask(self) -> tuple[int, bytes]:
        if self._connection is None:
            tls = (self._access.tls or Tls()) if self._https else None
            self._connection = http_connection(self._address, tls, TIMEOUT_S)
        self._connection.request("GET", self._path, headers=dict(self._access.headers))
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def split_url(url: str) -> tuple[bool, tuple[str, int], str]:
    """Whether it is https, host and port, and the path; `host:port` means http and `/metrics`."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    https = parts.scheme == "https"
    query = f"?{parts.query}" if parts.query else ""
    path = (parts.path if parts.path not in ("", "/") else PATH) + query
    return https, (parts.hostname or "", parts.port or (443 if https else 80)), path


def same_host(url: str, address: str | None) -> bool:
    """Whether a metrics page is on the host that `address` (host:port) names."""
    return address is not None and split_url(url)[1][0] == split_address(address)[0]


def only(text: str, prefixes: tuple[str, ...]) -> str:
    """The lines about metrics whose names begin with one of `prefixes`, comments included."""
    wanted = (*prefixes, *(f"# {kind} {p}" for kind in ("HELP", "TYPE") for p in prefixes))
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith(wanted))
