"""A control group that may hold little memory: needs a user who may make one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

MOUNT = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def limited(name: str, mib: int) -> Iterator[Sequence[str]]:
    """The words to put before a command, so that it and all that it starts have `mib` together.

    The test is skipped where no such group can be made.
    """
    v1 = MOUNT / "memory"
    group = (v1 if v1.is_dir() else MOUNT) / name
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"control groups can't be made here: {error}")
    try:
        limit = group / ("memory.limit_in_bytes" if v1.is_dir() else "memory.max")
        swap = group / ("memory.memsw.limit_in_bytes" if v1.is_dir() else "memory.swap.max")
        try:
            limit.write_text(str(mib * 2**20))
            with contextlib.suppress(OSError):  # a kernel that does not count swap
                swap.write_text(str(mib * 2**20 if v1.is_dir() else 0))
        except OSError as error:
            pytest.skip(f"memory can't be limited by control groups here: {error}")
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        end = time.monotonic() + 10
        while (group / "cgroup.procs").read_text() and time.monotonic() < end:
            time.sleep(0.05)
        group.rmdir()
