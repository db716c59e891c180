"""Triton's own trace of some of a window's requests: a moment for each stage, by its own clock.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/trace.html.
The server is started with a trace file and its trace off; a thread turns it on for one model when
the window begins, for every so-manieth request, and off when it ends. The moments are those of
`std::chrono::steady_clock`, which on Linux is `time.monotonic_ns`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from harness.triton.server.api import call

WANTED = 120
"""Requests of a window that are traced: each costs the server some ten microseconds."""
PATIENCE_S = 1.0
"""How long the server may take to write a file whose requests are answered."""
POLL_S = 0.01
STAGES = (
    "recv_start", "recv_end", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END",
    "COMPUTE_OUTPUT_START", "INFER_RESPONSE_COMPLETE", "send_start", "send_end",
)  # fmt: skip
"""The moments of a traced request in order, monotonic ns; `COMPUTE_END` comes after the answer has
been handed on, so it is none of them."""
_PROTOCOL = {
    "recv_start": ("HTTP_RECV_START", "GRPC_WAITREAD_END"),
    "recv_end": ("HTTP_RECV_END", "GRPC_WAITREAD_END"),
    "send_start": ("HTTP_SEND_START", "GRPC_SEND_START"),
    "send_end": ("HTTP_SEND_END", "GRPC_SEND_START"),
}
"""gRPC has read and parsed a request at once, and says of an answer only when it had left."""


class Tracer:
    """Traces `model` on the server whose HTTP is at `address`, between the first and second `mark`.

    A context manager. `files` is the server's trace file; `expected` says how many requests the
    window will have. What goes wrong here costs no measurement: then nothing was traced.
    """

    def __init__(
        self, address: str, model: str, files: Path, expected: Callable[[], float]
    ) -> None:
        self._address, self._files, self._expected = address, files, expected
        self._path = f"/v2/models/{quote(model)}/trace/setting"
        self._marks: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="trace")
        self._traced = False

    def mark(self) -> None:
        """Turn the trace on, or off again, in the thread. Returns at once."""
        self._marks.put(True)

    def finish(self) -> tuple[tuple[int, ...], ...]:
        """End the thread; the `STAGES` of each request that was traced to its end."""
        self._marks.put(False)
        self._thread.join(2 * PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while self._traced and time.monotonic() < deadline:
            written = sorted(self._files.parent.glob(f"{self._files.name}*"))
            try:
                found = [line for path in written for line in json.loads(path.read_bytes())]
            except ValueError:  # it is being written
                found = []
            if found:
                for path in written:
                    path.unlink()
                return stages(found)
            time.sleep(POLL_S)
        return ()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._marks.put(False)

    def _run(self) -> None:
        every = max(1, round(self._expected() / WANTED)) if self._marks.get() else 0
        if every and self._set(trace_level=["TIMESTAMPS"], trace_rate=str(every)):
            self._traced = True
            self._marks.get()
            self._set(trace_level=["OFF"])

    def _set(self, **changes: object) -> bool:
        """Whether the server took it; then it writes one file when the trace goes off."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            changes |= {"log_frequency": "1000000"}
            return call(self._address, "POST", self._path, changes)[0] == 200
        return False


def stages(lines: Iterable[Mapping[str, object]]) -> tuple[tuple[int, ...], ...]:
    """Each request's `STAGES` from a trace file's lines; one that lacks some is left out: an
    ensemble, an answer from the cache, a request that failed.
    """
    moments: dict[object, dict[str, int]] = {}
    for line in lines:
        stamps = line.get("timestamps", ())
        if isinstance(stamps, Sequence):
            moments.setdefault(line.get("id"), {}).update((s["name"], int(s["ns"])) for s in stamps)
    rows = (
        tuple(next((found[n] for n in _PROTOCOL.get(s, (s,)) if n in found), 0) for s in STAGES)
        for found in moments.values()
    )
    return tuple(row for row in rows if all(row))
