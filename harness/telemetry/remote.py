"""The readings of a server's host, fetched from the `harness telemetry serve` that runs there.

Two hosts' monotonic clocks have nothing in common. Each fetch asks for the other clock a few
times; the answer that came back fastest bounds the offset to half its round trip (Cristian, 1989).
Readings are put on this host's clock with the offset interpolated between fetches, so that clocks
which run at different speeds stay aligned.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, ServerError
from harness.results.series import Quantity, Readings, SeriesKey, TelemetrySeries, records_of, split
from harness.scenario.spec.server import TelemetrySource, tls_of
from harness.system import credentials as secrets
from harness.system.network import split_address
from harness.system.tls import http_connection

EXCHANGES = 16
TIMEOUT_S = 10.0
"""For one step of an exchange."""
FETCH_S = 30.0
"""For all that is asked at once."""
LARGEST = 256 << 20
"""Bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one look at the other clock told, in nanoseconds."""

    remote_ns: int
    offset_ns: int
    """The other clock less this one."""
    error_ns: int
    """The offset is wrong by this at most."""


def exchange(sent: int, received: int, answered: int, back: int) -> Exchange:
    """From the four times of a round trip: here, there, there, here."""
    offset = ((received - sent) + (answered - back)) // 2
    return Exchange(received, offset, ((back - sent) - (answered - received)) // 2)


class RemoteTelemetry:
    """One source. Raises ServerError when it can't be used at all; later it only says `problem`."""

    def __init__(self, source: TelemetrySource) -> None:
        self._address, self._tls = source.url, tls_of(source.tls)
        self._headers = {"Authorization": f"Bearer {secrets.expand(source.token)}"}
        self._connection: http.client.HTTPConnection | None = None
        self.problem = ""
        try:
            self._in_time(self._begin)
        except HarnessError:
            self.close()
            raise
        except Exception as error:  # an answer that is none can raise anything
            self.close()
            raise ServerError(
                f"the telemetry at {self._address} can't be read: {error or type(error).__name__}",
                fix="run `harness telemetry serve` beside the server, and check url and tls",
            ) from None
        if not self.about.get("pids"):
            self.close()
            raise ServerError(
                f"the telemetry at {self._address} runs, but finds no process to watch",
                fix="start the server, or give `harness telemetry serve` its --pid or --name",
            )

    def _begin(self) -> None:
        self.about: dict[str, Any] = json.loads(self._get("/v1/about"))
        self.about["cores"] = int(self.about.get("cores") or 1)
        self._exchanges = [self._ask_clock()]
        self._since = self._exchanges[0].remote_ns
        self._parts: list[tuple[list[str], NDArray[np.void]]] = []

    @property
    def clock(self) -> dict[str, int]:
        """The latest offset and the worst error so far, in nanoseconds; for the record."""
        worst = max(e.error_ns for e in self._exchanges)
        return {"offset_ns": self._exchanges[-1].offset_ns, "error_ns": worst}

    def read(self) -> dict[SeriesKey, TelemetrySeries]:
        """All readings since this was made, on this host's clock."""
        try:
            self._in_time(self._fetch)
        except Exception as error:
            self.problem = f"no telemetry from {self._address}: {error or type(error).__name__}"
        return self._series()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.sock is not None:
                with contextlib.suppress(OSError):  # wakes who waits for an answer
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
            connection.close()

    def _in_time(self, ask: Callable[[], None]) -> None:
        """Ask in a thread, which is left alone when it takes too long: steps have deadlines of
        their own, and a peer can make any number of them. Raises TimeoutError, and what `ask` does.
        """
        raised: list[BaseException] = []

        def work() -> None:
            try:
                ask()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(FETCH_S)
        if thread.is_alive():
            self.close()
            raise TimeoutError(f"no whole answer within {FETCH_S:g} s")
        for error in raised:
            raise error

    # -- asking -------------------------------------------------------------------------------

    def _fetch(self) -> None:
        head, _, records = self._get(f"/v1/series?since={self._since}").partition(b"\n")
        told = json.loads(head)
        new = records_of(records)
        if not told["complete"]:
            self.problem = f"the telemetry at {self._address} no longer had the oldest readings"
        elif told["problem"]:
            self.problem = f"{self._address}: {told['problem']}"
        self._exchanges.append(self._ask_clock())
        if new.size:
            self._parts.append((list(map(str, told["series"])), new))
            self._since = int(new["t_ns"].max())

    def _ask_clock(self) -> Exchange:
        """The best of several exchanges, on one connection."""
        found = []
        for _ in range(EXCHANGES):
            sent = time.monotonic_ns()
            answer = self._get("/v1/clock")
            back = time.monotonic_ns()
            told = json.loads(answer)
            times = int(told["received_ns"]), int(told["sent_ns"])
            found.append(exchange(sent, *times, back))
        return min(found, key=lambda e: e.error_ns)

    def _get(self, path: str) -> bytes:
        """One answer; once more on a new connection where an idle one was closed."""
        for last in (False, True):
            fresh = self._connection is None
            connection = self._connection = self._connection or http_connection(
                split_address(self._address), self._tls, TIMEOUT_S
            )  # fmt: skip
            try:
                connection.request("GET", path, headers=self._headers)
                response = connection.getresponse()
                body = response.read(LARGEST)
                if not response.isclosed():
                    raise http.client.HTTPException(f"more than {LARGEST} bytes")
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh or last:
                    raise
                continue
            return self._checked(response.status, body)
        raise AssertionError("unreachable")

    def _checked(self, status: int, body: bytes) -> bytes:
        if status == 200:
            return body
        said = body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(body)["error"]
        raise ServerError(
            f"the telemetry at {self._address} answers {status}: {secrets.cut(str(said), 200)}",
            fix="the token here and the one of `harness telemetry serve` must be the same"
            if status == 401 else None,
        )  # fmt: skip

    # -- on our clock ---------------------------------------------------------------------------

    def _series(self) -> dict[SeriesKey, TelemetrySeries]:
        at = np.array([e.remote_ns for e in self._exchanges], np.float64)
        offsets = np.array([e.offset_ns for e in self._exchanges], np.int64)
        parts: dict[SeriesKey, list[TelemetrySeries]] = {}
        for names, records in self._parts:
            shift = np.interp(records["t_ns"].astype(np.float64), at, offsets - offsets[0])
            times = records["t_ns"].astype(np.int64) - offsets[0] - shift.astype(np.int64)
            new = split(names, records["series"], times, records["value"].astype(float))
            for key, part in new.items():
                parts.setdefault(key, []).append(part)
        return {
            key: TelemetrySeries(
                np.concatenate([p.t_ns for p in some]), np.concatenate([p.value for p in some])
            )
            for key, some in parts.items()
        }


def with_server(here: Readings, there: Readings, cores: int) -> dict[SeriesKey, TelemetrySeries]:
    """The series of a run whose server is on another host.

    Memory, processor time and GPUs are the server's; what disturbs the load generator is read
    here. `server_foreign_s` is what others used of the `cores` there: its rate is a share of all.
    """
    run, tree, machine, memory, foreign = map(SeriesKey, (
        Quantity.RUN_CPU_S, Quantity.TREE_CPU_S, Quantity.MACHINE_CPU_S, Quantity.HOST_BYTES,
        Quantity.SERVER_FOREIGN_S,
    ))  # fmt: skip
    merged = {k: v for k, v in here.items() if k not in (memory, tree) and not k.device}
    merged |= {k: v for k, v in there.items() if k in (memory, tree) or k.device}
    if {machine, run} <= there.keys():
        all_ = there[machine]
        known = np.interp(all_.t_ns, there[run].t_ns, there[run].value)
        merged[foreign] = TelemetrySeries(all_.t_ns, (all_.value - known) / max(1, cores))
    return merged
