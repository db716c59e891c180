"""Shared memory of the Python backend: names that tell whose it is, and cleaning up after a kill.

Each server gets a prefix of its own, so parallel servers never share a region. A server that is
killed leaves its regions in /dev/shm; the prefix names the process that started it, so whoever
comes later can tell a leftover from a region in use.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from harness.system.child import stat_of

DIRECTORY = Path("/dev/shm")
_NAME = re.compile(r"^harness-(?P<namespace>\d+)-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]{8}-")


def new_prefix() -> str:
    """`harness-<pid namespace>-<pid>-<start time>-<random>-`, of this process."""
    return f"harness-{_namespace()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}-"


def remove(prefix: str) -> None:
    """Unlink the regions of one server, which must have ended."""
    for path in DIRECTORY.glob(f"{prefix}*"):
        _unlink(path)


def removal(prefix: str, before: Sequence[str] = ()) -> list[str]:
    """A command that does the same after `before`, for a guard whose harness was killed."""
    script = '[ $# = 0 ] || "$@"; rm -f -- "$0"*'
    return ["/bin/sh", "-c", script, str(DIRECTORY / prefix), *before]


def remove_leftovers() -> None:
    """Unlink regions of servers whose harness has ended (in this pid namespace)."""
    for path in DIRECTORY.glob("harness-*"):
        found = _NAME.match(path.name)
        if found is None or found["namespace"] != _namespace():
            continue
        if _started(int(found["pid"])) != found["started"]:
            _unlink(path)


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # gone already, or another user's
        path.unlink()


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty when there is no such process."""
    return "".join(stat_of(pid)[19:20])
