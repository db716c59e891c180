"""The control: every way in which a limit is silently off is found out before it is believed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from harness.errors import LimitError, OutOfMemoryError
from harness.system.limits.host import host_memory
from harness.system.limits.limit import Limit


def off(prefix=(), **more) -> Limit:
    """A limit that nothing enforces."""
    return Limit("host_memory", 50, "nothing", True, prefix, **more)


NO_GROUP = 'echo $$ >"$0/cgroup.procs"; exec "$@"'
NO_RIGHT = ("setpriv", "--reuid=65534", "--clear-groups", "sh", "-c",
            'echo $$ 2>/dev/null >"$0/cgroup.procs"; exec "$@"')  # fmt: skip
"""The join of a group, as it goes on where it could not be joined."""
SIX = ("a wrong place", "an entry for what is not there", "unset", "of another user",
       "above what there is", "ignored by what it is for")  # fmt: skip


def disarmed(way: str, group: Limit, folder: Path) -> Limit:
    """The six ways in which a cap is off without a word; those of CUDA MPS are in tests/gpu."""
    place = group.prefix[-1]
    if way == "above what there is":
        return Limit("host_memory", 100_000_000, "nothing", True)
    if way == "of another user" and (os.getuid() != 0 or shutil.which("setpriv") is None):
        pytest.skip("only root can become another user, by setpriv")
    return off({
        "a wrong place": ("sh", "-c", NO_GROUP, str(folder)),
        "an entry for what is not there": ("sh", "-c", 'exec "$@"', "sh"),  # group's is there
        "unset": (),
        "of another user": (*NO_RIGHT, place),
        "ignored by what it is for": ("prlimit", f"--rss={50 << 20}", "--"),  # Linux has none
    }[way])  # fmt: skip


@pytest.mark.parametrize("way", SIX)
def test_none_of_six_limits_that_are_off_is_taken_for_one(way, tmp_path):
    with host_memory(50) as group, pytest.raises(LimitError):
        disarmed(way, group, tmp_path).tried({})


@pytest.mark.parametrize(
    "limit",
    [
        off(("env", "SOME_LIMIT=50M")),  # a variable that nobody reads
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


def test_a_limit_above_what_is_free_shows_nothing():
    """What asks for more is refused by the machine, not by the limit."""
    with pytest.raises(LimitError, match="can't be shown: there are no 100000064 MiB"):
        Limit("host_memory", 100_000_000, "nothing", True).tried({})


def test_a_limit_that_leaves_no_room_is_in_force_and_too_small():
    """The very process gets its MiB without it: so it is the limit, and no cap that is off."""
    with host_memory(1) as tiny:
        if not tiny.whole_tree:
            pytest.skip("no control group can be made here (root, or a delegated one)")
        with pytest.raises(
            OutOfMemoryError, match=r"leaves no room: .* asked for 1 MiB was killed"
        ):
            tiny.tried({})


def test_what_enforces_it_is_quoted():
    with pytest.raises(LimitError, match="got it; it wrote: help"):
        off(said=lambda: "; it wrote: help").tried({})


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
