"""A wait that ends on time among greenlets: gevent's own ends up to a millisecond late."""

from __future__ import annotations

import ctypes
import os
import struct
import time

import gevent

SPIN_NS = 200_000
"""So long before an arrival is due the process looks at the clock without sleeping, as the
harness's own generator does: the kernel wakes a sleeper late by that much at times."""
_ABSOLUTE = 1
_clock = time.monotonic_ns


class Alarm:
    """Waits for a moment of the monotonic clock while the other greenlets go on.

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
        """Until then (ns), or not at all where it has come."""
        early = moment - SPIN_NS
        if early > _clock():
            when = struct.pack("4l", 0, 0, *divmod(early, 1_000_000_000))
            self._libc.timerfd_settime(self._fd, _ABSOLUTE, when, None)
            self._hub.wait(self._watcher)
        while _clock() < moment:
            gevent.sleep(0)

    def close(self) -> None:
        """Give the timer back."""
        self._watcher.close()
        os.close(self._fd)
