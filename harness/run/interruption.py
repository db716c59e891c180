"""How a run is told to end before it is done: Ctrl-C, SIGTERM, and a terminal that goes away."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self


class Interruption:
    """Turns signals into one KeyboardInterrupt that can't get lost. A context manager.

    What runs when a signal comes may make another exception of the interrupt or swallow it: a
    destructor, a library's callback. So `check`, called at each step, raises it again. An import is
    not interrupted: half a module can't be imported again, and the report needs it. Only the main
    thread can be interrupted; a run in another one ends with the process.
    """

    def __init__(self) -> None:
        self.asked = False
        self.armed = False
        """Whether a signal may raise; else it is only noted."""
        self.early = False
        """Whether something ended early for it."""
        self._old: dict[int, Any] = {}

    def check(self) -> None:
        """Raise KeyboardInterrupt if the run is to end."""
        if self.asked and self.armed:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """What is begun here may be interrupted. Then it ends early, and nothing is raised; what
        else goes wrong while it ends is not raised either.
        """
        try:
            self.armed = True
            yield
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, Exception) and not self.asked:
                raise
            self.early = True
        finally:
            self.armed = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again and number != signal.SIGINT:  # a terminal that closes sends two
            return
        files = (frame.f_code.co_filename for frame, _ in traceback.walk_stack(frame))
        if self.armed and not any(name.startswith("<frozen importlib") for name in files):
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as by nohup
                    self._old[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            gone = self.asked and number == signal.SIGHUP
            signal.signal(number, signal.SIG_IGN if gone else handler)  # a report is to be written
