"""Limits of host memory: a control group of their own (v1 or v2), or RLIMIT_DATA for each process.

A group counts the page cache too, but gives that back before it ends a process. RLIMIT_DATA is what
is left without the right to make a group: private writable memory, of each process alone.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import LimitError
from harness.system.guard import spawn
from harness.system.limits.limit import Limit
from harness.system.machine import ROOT, control_groups, kills_in

_JOIN = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
_REMOVE = 'for _ in $(seq 100); do rmdir "$0" 2>/dev/null && exit; sleep 0.1; done'
LIMITS = {"memory.limit_in_bytes": "cgroup v1", "memory.max": "cgroup v2"}
"""The file with a group's limit, of either version."""


@contextlib.contextmanager
def host_memory(mib: int, root: Path = ROOT) -> Iterator[Limit]:
    """Limit the processes started with it, in a control group if one can be had.

    Raises LimitError where neither a group nor prlimit is there.
    """
    group = new_group(mib, root)
    if group is None:
        if (tool := shutil.which("prlimit")) is None:
            raise LimitError(
                "host memory can't be limited: no control group can be made here, and there is no "
                "prlimit",
                fix="run as root or in a delegated control group, or install util-linux",
            )
        yield Limit("host_memory", mib, "RLIMIT_DATA", False, (tool, f"--data={mib << 20}", "--"))
        return
    how = next(how for file, how in LIMITS.items() if (group / file).exists())
    remove = ["sh", "-c", _REMOVE, str(group)]
    with spawn(["sleep", "infinity"], afterwards=remove):  # also when this process is killed
        yield Limit(
            "host_memory", mib, how, True, ("sh", "-c", _JOIN, str(group)),
            kills=lambda: kills_in(group),
        )  # fmt: skip


def new_group(mib: int, root: Path = ROOT) -> Path | None:
    """A new control group with that limit and no swap; None where none can be made."""
    for parent in _places(root):
        group = parent / f"harness-{secrets.token_hex(8)}"
        try:
            group.mkdir()
        except OSError:
            continue
        with contextlib.suppress(OSError):
            file = next(file for file in LIMITS if (group / file).exists())
            (group / file).write_text(str(mib << 20))
            for swap, most in (("memory.memsw.limit_in_bytes", mib << 20), ("memory.swap.max", 0)):
                if (group / swap).exists():
                    (group / swap).write_text(str(most))
            return group
        with contextlib.suppress(OSError):
            group.rmdir()
    return None


def _places(root: Path) -> Iterator[Path]:
    """Folders in which a group with the memory controller may be made, the nearest first."""
    for controllers, folder in control_groups(root):
        # of v2, only children of a group that hands the controller on have it
        handed = folder / "cgroup.subtree_control"
        if "memory" in controllers.split(",") or (
            not controllers and handed.exists() and "memory" in handed.read_text().split()
        ):
            yield folder
