"""A wait that ends on time among greenlets: gevent's own ends up to a millisecond late."""

from __future__ import annotations

import ctypes
import os
import struct
import time

import gevent

EARLY_NS = 400_000
"""So long before an arrival is due the process looks at the clock without sleeping: the kernel
wakes a sleeper late by 0.1 ms or more at times, and a user that gets ready takes another 0.2 (the
harness's own generator, which has neither users nor greenlets, takes 0.2 for both)."""
_ABSOLUTE = 1
_clock = time.monotonic_ns


def until(moment: int) -> None:
    """Look at the clock until then (ns), among the other greenlets that have something to do."""
    while _clock() < moment:
        gevent.sleep(0)


class Alarm:
    """Waits for what comes soon, a moment of the monotonic clock while the other greenlets go on.

    gevent's own timers are those of libev, which rounds every wait up to whole milliseconds: an
    arrival would be half of one late in the mean. This one is the kernel's (timerfd), to the
    nanosecond.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer of the kernel's")
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._fd, 1)

    def wait(self, moment: int) -> None:
        """Until `EARLY_NS` before then (ns), or not at all where that has come."""
        early = moment - EARLY_NS
        if early > _clock():
            when = struct.pack("4l", 0, 0, *divmod(early, 1_000_000_000))
            self._libc.timerfd_settime(self._fd, _ABSOLUTE, when, None)
            self._hub.wait(self._watcher)

    def close(self) -> None:
        """Give the timer back."""
        self._watcher.close()
        os.close(self._fd)
