"""A limit in force, and the control that shows it: a process that asks for more must not get it.

A limit that is silently off makes every measurement under it a lie: a pipe directory of MPS that
nobody listens at, a control group without its controller, a variable that a runtime does not read.
So nothing is measured under a limit before a process in the very same environment has asked for a
little and got it, and for more than the limit and not got it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import psutil

from harness.errors import LimitError, OutOfMemoryError
from harness.system.child import describe_status
from harness.system.guard import spawn

Quantity = Literal["host_memory", "gpu_memory"]
LITTLE_MIB = 1
BEYOND_MIB = 64
"""How much more than the limit the control asks for, of host memory: more than its own process
needs, so that what it holds already can't be the reason."""
CONTROL_S = 120.0
"""How long the control may take: a second a GiB where pages are slow."""
LAST_WORDS = 200
"""Characters of what a control that failed said."""
REFUSED = 9
"""Exit code of a control that asked and was told that there is no more."""
STOPPED, GOT_IT = ("was refused", "was killed"), "got it"
"""What becomes of a control that the limit stops, and of one that nothing stops."""
HOST_CONTROL = f"""
import mmap, sys
size = int(sys.argv[1]) << 20
try:
    pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
except (OSError, MemoryError):
    sys.exit({REFUSED})
for begin in range(0, size, mmap.PAGESIZE):
    pages[begin] = 1
"""
GPU_CONTROL = f"""
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    for _ in range(20):
        status = getattr(cuda, name)(*arguments)
        if status != 807:  # CUDA_ERROR_MPS_SERVER_NOT_READY: it starts, or cleans up
            break
        time.sleep(0.5)
    if status == 2:  # CUDA_ERROR_OUT_OF_MEMORY
        sys.exit({REFUSED})
    if status:
        sys.exit(f"{{name}}: CUDA error {{status}}")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
call("cuInit", 0)
call("cuDeviceGet", ctypes.byref(device), int(sys.argv[2]))
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
call("cuCtxSetCurrent", context)
call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(int(sys.argv[1]) << 20))
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a process is started with so that it can't hold more than `mib` MiB."""

    quantity: Quantity
    mib: int
    how: str
    """What enforces it, in words."""
    whole_tree: bool
    """Whether all processes share it; else each may hold as much."""
    prefix: Sequence[str] = ()
    """Comes before the command."""
    device: int = 0
    """Of GPU memory: the card's place among those that the process sees."""
    kills: Callable[[], int] = int
    """How many processes it has ended so far; 0 where it refuses memory instead."""
    said: Callable[[], str] = str
    """What enforces it wrote last, to go behind a message."""

    def __str__(self) -> str:
        what = "GPU memory" if self.quantity == "gpu_memory" else "host memory"
        each = "" if self.whole_tree else " a process"
        return f"{self.mib} MiB of {what}{each} ({self.how})"

    def tried(self, env: Mapping[str, str]) -> str:
        """What became of a process that asked for more; `env` is added to this one's environment.

        Raises LimitError: it got it, or one that asked for little did not get that; and
        OutOfMemoryError where the limit itself kept even that from it.
        """
        end, words = self._tried(LITTLE_MIB, env)
        if end != GOT_IT:
            self._too_little(end, words, env)
        # the context of CUDA counts, so that the limit itself is more than is left
        more = self.mib if self.quantity == "gpu_memory" else self.mib + BEYOND_MIB
        if not self._could_be_had(more, env):
            raise LimitError(
                f"whether the limit of {self} is in force can't be shown: there are no {more} MiB "
                "to be had without it either",
                fix="give a limit below what is free, or free some",
            )
        end, words = self._tried(more, env)
        if end in STOPPED:
            return f"a process that asked for {more} MiB {end}"
        raise LimitError(
            f"the limit of {self} is not in force: a process that asked for {more} MiB "
            f"{end}{words}",
            fix="nothing measured here would show what the limit does; see docs/limits.md",
        )

    def _too_little(self, end: str, words: str, env: Mapping[str, str]) -> NoReturn:
        """Of one that did not even get a little, and how it ended: whether the limit is why."""
        if end in STOPPED and self._ask(LITTLE_MIB, env, limited=False)[0] == 0:
            raise OutOfMemoryError(
                f"the limit of {self} leaves no room: a process that asked for {LITTLE_MIB} MiB "
                f"{end}, and without the limit it got it"
            )
        raise LimitError(
            f"under the limit of {self} not even {LITTLE_MIB} MiB can be had: a process that "
            f"asked for it {end}{words}",
            fix="give it more, or see whether what enforces it works",
        )

    def _could_be_had(self, mib: int, env: Mapping[str, str]) -> bool:
        """Whether a process without the limit gets so much; of host memory, whether it is free."""
        if self.quantity == "gpu_memory":
            return self._ask(mib, env, limited=False)[0] == 0
        return mib << 20 <= psutil.virtual_memory().available

    def _tried(self, mib: int, env: Mapping[str, str]) -> tuple[str, str]:
        """How a process that asks for so much under the limit ends: one of `STOPPED` where the
        limit shows in it; and what it and what enforces the limit said.
        """
        before = self.kills()
        status, said = self._ask(mib, env)
        if status == REFUSED:
            return STOPPED[0], ""
        if status == -signal.SIGKILL and self.kills() > before:
            return STOPPED[1], ""
        end = GOT_IT if status == 0 else describe_status(status)
        return end, f"{said and f' ({said})'}{self.said()}"

    def _ask(self, mib: int, env: Mapping[str, str], *, limited: bool = True) -> tuple[int, str]:
        """Exit status of a process that holds so much for a moment, and its last words."""
        code = GPU_CONTROL if self.quantity == "gpu_memory" else HOST_CONTROL
        argv = [sys.executable, "-S", "-E", "-c", code, str(mib), str(self.device)]
        prefix = self.prefix if limited else ()
        with (
            tempfile.TemporaryFile() as words,
            spawn([*prefix, *argv], env={**os.environ, **env}, stderr=words) as process,
        ):
            try:
                status = process.wait(CONTROL_S)
                words.seek(0)
                return status, words.read().decode("utf-8", "replace").strip()[-LAST_WORDS:]
            except subprocess.TimeoutExpired:
                raise LimitError(
                    f"the control of the limit of {self} has not ended in {CONTROL_S:g} s"
                ) from None
