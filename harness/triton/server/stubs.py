"""The processes below a tritonserver in which its Python backend runs models."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

from harness.system.child import STOPPED, state

STUB_GRACE_S = 1.0
"""A stub that ended is waited for this long: Triton collects one that was meant to end."""


class StubEndedError(Exception):
    """The process in which a model was being loaded has ended; Triton would wait for ever."""


class Stubs:
    """Which of them run which model, and which are meant to end."""

    def __init__(self, server: int) -> None:
        self.server = server
        """Pid of tritonserver."""
        self.of_model: dict[str, set[int]] = {}
        self._running: set[int] = set()
        """Those of the loaded models."""
        self._leaving: set[int] = set()
        """Those of models that were unloaded: their end is no loss."""
        self._before: set[int] = set()

    def loading(self) -> Callable[[], None]:
        """A model is going to be loaded: call what is returned now and then meanwhile.

        That raises StubEndedError once a child has been a zombie for longer than `STUB_GRACE_S`,
        which Triton does not collect.
        """
        self._leaving &= set(children(self.server))  # others are gone, and their numbers free
        self._before = self._alive()
        since: dict[int, float] = {}

        def check() -> None:
            now = time.monotonic()
            ended = {pid for pid in children(self.server) if has_ended(pid)} - self._leaving
            for pid in {*since} - ended:
                del since[pid]
            if any(now - since.setdefault(pid, now) > STUB_GRACE_S for pid in ended):
                raise StubEndedError

        return check

    def loaded(self, model: str) -> None:
        """What has come since `loading` runs this model."""
        alive = self._alive()
        self.of_model[model] = alive - self._before
        self._running = alive - self._leaving

    def unloaded(self, model: str, *, kill: bool) -> set[int]:
        """The model's processes, which are meant to end now."""
        stubs = self.of_model.pop(model, set())
        self._running -= stubs
        self._leaving |= stubs
        for pid in stubs if kill else ():
            # it may be gone, and in a container it is another user's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return stubs

    def lost(self) -> list[int]:
        """The server, and those of loaded models, that have ended: Triton does not replace them."""
        return [pid for pid in (self.server, *self._running) if has_ended(pid)]

    def trouble(self) -> str:
        """Why nothing will answer, as in `the Triton server …`; empty where nothing is wrong."""
        if lost := self.lost():
            whose = "itself" if lost[0] == self.server else "a Python process of its model"
            return f"lost {whose} (pid {lost[0]})"
        stopped = [pid for pid in (self.server, *self._running) if state(pid) == STOPPED]
        return f"was stopped by a signal such as SIGSTOP (pid {stopped[0]})" if stopped else ""

    def _alive(self) -> set[int]:
        return {pid for pid in children(self.server) if not has_ended(pid)}


def children(pid: int) -> list[int]:
    """Pids of a process's children, those that ended and were not collected included."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def has_ended(pid: int) -> bool:
    """Whether a process is gone or a zombie."""
    return state(pid) in ("Z", "X")
