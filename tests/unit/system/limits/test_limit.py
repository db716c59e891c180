"""The control: every way in which a limit is silently off is found out before it is believed."""

from __future__ import annotations

import sys

import pytest

from harness.errors import LimitError
from harness.system.limits.host import host_memory
from harness.system.limits.limit import Limit


def off(prefix=(), **more) -> Limit:
    """A limit that nothing enforces."""
    return Limit("host_memory", 50, "nothing", True, prefix, **more)


@pytest.mark.parametrize(
    "limit",
    [
        off(),
        off(("env", "SOME_LIMIT=50M")),  # a variable that nobody reads
        off(("env", "CUDA_MPS_PIPE_DIRECTORY=/nowhere")),
        off((sys.executable, "-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])")),
        off(kills=lambda: 0),
    ],
)
def test_a_limit_that_is_off_is_never_taken_for_one(limit):
    with pytest.raises(LimitError, match=r"not in force: a process that asked for 114 MiB got it"):
        limit.tried({})


def test_an_end_by_another_cause_is_no_proof():
    """Killed, but by nobody who counts it: another's limit, or the machine's own memory."""
    script = 'test "${*#* 114 }" = "$*" && exec "$@"; kill -9 $$'
    limit = off(("sh", "-c", script, "sh"))
    with pytest.raises(LimitError, match=r"asked for 114 MiB was killed by SIGKILL"):
        limit.tried({})


@pytest.mark.parametrize("prefix", [("false",), ("sh", "-c", "kill -9 $$")])
def test_where_nothing_runs_at_all_nothing_is_shown(prefix):
    with pytest.raises(LimitError, match="not even 1 MiB can be had"):
        off(prefix).tried({})


def test_one_limit_below_another_is_told_from_it():
    """The outer one ends the control: the inner one, which is larger, has shown nothing."""
    with host_memory(60) as outer:
        if not outer.whole_tree:
            pytest.skip("no control group can be made here (root, or a delegated one)")
        inner = Limit("host_memory", 500, "nothing", True, outer.prefix)
        with pytest.raises(LimitError, match=r"asked for 564 MiB was killed by SIGKILL"):
            inner.tried({})


def test_its_words_say_what_it_holds_for():
    assert str(off()) == "50 MiB of host memory (nothing)"
    gpu = Limit("gpu_memory", 2048, "CUDA MPS", False)
    assert str(gpu) == "2048 MiB of GPU memory a process (CUDA MPS)"
