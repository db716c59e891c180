"""What is said of a wait that goes on: for what, until when at most, and which key says so."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from harness.results.events import Status

SAID_AFTER_S = 10.0
"""Most loads are over by then, and need no words."""
LOAD_KEY, BUILD_KEY = "measurement.load_timeout", "measurement.build_timeout"


@contextlib.contextmanager
def waiting(
    tell: Callable[[Status], object], what: str, limit: float, key: str = LOAD_KEY
) -> Iterator[None]:
    """Tell of what is done inside when it takes long; it ends by itself after `limit` seconds.

    A thread tells it: what is waited for may be a library, or a server that does not answer.
    """
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + limit))
    text = f"still waiting for {what}, until {until} at most ({key})"
    timer = threading.Timer(SAID_AFTER_S, tell, [Status(text)])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
