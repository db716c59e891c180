"""CUDA MPS limits what a process holds, the control shows it, and the daemon ends with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.errors import LimitError, OutOfMemoryError
from harness.system.limits.gpu import DAEMON, MEMORY, PIPES, gpu_memory
from harness.system.limits.limit import Limit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(shutil.which(DAEMON) is None, reason=f"no {DAEMON}"),
]
TAKE = """
import sys, torch
try:
    torch.empty(int(sys.argv[1]) << 20, dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError:
    sys.exit(9)
"""
NOBODY = ("setpriv", "--reuid=65534", "--clear-groups")


def take(limit: Limit, mib: int) -> int:
    argv = [*limit.prefix, sys.executable, "-c", TAKE, str(mib)]
    return subprocess.run(argv, check=False).returncode


@pytest.fixture(scope="module")
def limit() -> Iterator[Limit]:
    with gpu_memory(3072, 0) as found:
        yield found


def test_what_a_process_may_hold_is_limited_and_shown_to_be() -> None:
    with gpu_memory(3072, 0) as limit:
        assert "was refused" in limit.tried({}), limit.said()
        assert take(limit, 512) == 0
        assert take(limit, 3072) == 9
    pipes = limit.prefix[1].partition("=")[2]
    assert subprocess.run(["pgrep", "-f", pipes], check=False).returncode == 1


def disarmed(way: str, limit: Limit) -> Limit:
    """The six ways in which a cap is off without a word; tests/unit has those of host memory."""
    if way == "of another user":
        if os.getuid() != 0 or shutil.which(NOBODY[0]) is None:
            pytest.skip("only root can become another user, by setpriv")
        return replace(limit, prefix=(*NOBODY, *limit.prefix))
    if way == "above the card":
        return replace(limit, mib=10_000_000, prefix=(*limit.prefix, f"{MEMORY}=0=10000000M"))
    if way == "ignored by the runtime":
        return replace(limit, prefix=("env", "CUDA_DEVICE_MEMORY_LIMIT_0=3072m"))  # HAMi-core's
    wrong = {
        "a wrong pipe directory": f"{PIPES}=/nowhere",
        "an entry for an invisible GPU": f"{MEMORY}=0=3072M,77=1024M",
        "an unset variable": f"{MEMORY}=",
    }[way]
    return replace(limit, prefix=(*limit.prefix, wrong))


@pytest.mark.parametrize(
    "way",
    ["a wrong pipe directory", "an entry for an invisible GPU", "an unset variable",
     "of another user", "above the card", "ignored by the runtime"],
)  # fmt: skip
def test_none_of_six_limits_that_are_off_is_taken_for_one(way: str, limit: Limit) -> None:
    with pytest.raises(LimitError):
        disarmed(way, limit).tried({})


def test_a_limit_above_the_card_shows_nothing() -> None:
    with gpu_memory(10_000_000, 0) as limit, pytest.raises(LimitError, match="can't be shown"):
        limit.tried({})


def test_a_limit_smaller_than_a_context_is_too_small_and_not_off() -> None:
    with gpu_memory(64, 0) as limit, pytest.raises(OutOfMemoryError, match="leaves no room"):
        limit.tried({})
