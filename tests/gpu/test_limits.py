"""CUDA MPS limits what a process holds, the control shows it, and the daemon ends with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from harness.errors import LimitError
from harness.system.limits.gpu import DAEMON, gpu_memory
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


def take(limit: Limit, mib: int) -> int:
    argv = [*limit.prefix, sys.executable, "-c", TAKE, str(mib)]
    return subprocess.run(argv, check=False).returncode


def test_what_a_process_may_hold_is_limited_and_shown_to_be() -> None:
    with gpu_memory(3072, 0) as limit:
        assert "was refused" in limit.tried({})
        assert take(limit, 512) == 0
        assert take(limit, 3072) == 9
    pipes = limit.prefix[1].partition("=")[2]
    assert subprocess.run(["pgrep", "-f", pipes], check=False).returncode == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"CUDA_MPS_PIPE_DIRECTORY": "/nowhere"},  # nobody listens there
        {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=3072M,77=1024M"},  # a card that is not there
        {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": ""},
    ],
)
def test_a_limit_that_is_silently_off_is_found_out(wrong: dict[str, str]) -> None:
    with gpu_memory(3072, 0) as limit:
        words = (*limit.prefix, *(f"{name}={value}" for name, value in wrong.items()))
        with pytest.raises(LimitError):
            replace(limit, prefix=words).tried({})


def test_a_limit_above_the_card_shows_nothing() -> None:
    with gpu_memory(10_000_000, 0) as limit, pytest.raises(LimitError, match="can't be shown"):
        limit.tried({})
