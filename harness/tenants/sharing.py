"""A device shared in one way: what its tenants are started with, and that it is so."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import LimitError
from harness.system.guard import spawn
from harness.system.limits.gpu import DAEMON, Mps, memory_limit, mps
from harness.tenants.settings import Mode

CONTROL_S = 60.0
THREADS = "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"
_CLIENT = re.compile(r"new client \[?(\d+)", re.IGNORECASE)
"""As the daemon's log names each that comes."""
_MULTIPROCESSORS = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
for name, arguments in (
    ("cuInit", (0,)), ("cuDeviceGet", (ctypes.byref(device), int(sys.argv[1]))),
    ("cuDevicePrimaryCtxRetain", (ctypes.byref(context), device)),
    ("cuDeviceGetAttribute", (ctypes.byref(count), 16, device)),
):
    if status := getattr(cuda, name)(*arguments):
        sys.exit(f"{name}: CUDA error {status}")
print(count.value)
"""


@dataclass(frozen=True, slots=True)
class Shared:
    """A mode in force."""

    prefix: Sequence[str] = ()
    """Comes before the command of each tenant."""
    pids: Sequence[int] = ()
    """Of what else belongs to it."""
    daemon: Mps | None = None
    before: int = 0
    """Clients that its log named before the tenants came."""
    controls: Sequence[str] = field(default_factory=list)
    """What was seen of the mode's limits."""

    def check(self, tenants: int) -> None:
        """Raise LimitError unless so many processes are clients of the daemon.

        A wrong pipe directory makes a process run beside the daemon, without a word.
        """
        if self.daemon is None:
            return
        found = max(len(clients(self.daemon)), _logged(self.daemon) - self.before)
        if found < tenants:
            raise LimitError(
                f"of {tenants} tenants {found} are clients of CUDA MPS: the others run beside it",
                fix="see whether something sets CUDA_MPS_PIPE_DIRECTORY, and the daemon's log",
            )


@contextlib.contextmanager
def shared(
    mode: Mode, place: int, env: Mapping[str, str], *, tried: bool, daemon: str = DAEMON
) -> Iterator[Shared]:
    """A mode on the GPU at `place`, with a daemon of its own where that is MPS.

    `env` is what tenants have in their environment; with `tried` the mode's limits are tried by
    processes that ask for more. Raises LimitError where they are not in force.
    """
    if mode.kind != "mps":
        yield Shared()
        return
    threads = {} if mode.threads is None else {THREADS: str(mode.threads)}
    with mps(daemon) as found:
        prefix, controls = found.prefix(**threads), []
        if mode.memory is not None:
            limit = memory_limit(found, mode.memory >> 20, place, **threads)
            prefix = tuple(limit.prefix)
            controls += [limit.tried(env)] if tried else []
        if mode.threads is not None and tried:
            controls.append(_threads(prefix, place, env))
        yield Shared(prefix, (found.pid,), found, _logged(found), controls)


def clients(daemon: Mps) -> set[int]:
    """The processes that are clients of a daemon's servers, as it lists them."""
    servers = [word for word in daemon.ask("get_server_list").split() if word.isdigit()]
    said = (daemon.ask(f"get_client_list {server}").split() for server in servers)
    return {int(word) for words in said for word in words if word.isdigit()}


def _logged(daemon: Mps) -> int:
    """How many clients the daemon's logs name: some containers hide the list."""
    texts = (p.read_text(errors="replace") for p in daemon.logs.glob("control.log"))
    return len({number for text in texts for number in _CLIENT.findall(text)})


def _threads(prefix: Sequence[str], place: int, env: Mapping[str, str]) -> str:
    """What a client sees of the multiprocessors, in words: that is how the share shows."""
    whole, own = (_multiprocessors(words, place, env) for words in ((), prefix))
    if not (whole and own):
        return "how many multiprocessors a tenant may use could not be read"
    return f"a tenant sees {own} of the GPU's {whole} multiprocessors"


def _multiprocessors(prefix: Sequence[str], place: int, env: Mapping[str, str]) -> int | None:
    argv = [*prefix, sys.executable, "-S", "-E", "-c", _MULTIPROCESSORS, str(place)]
    with tempfile.TemporaryFile() as said:
        with spawn(argv, env={**os.environ, **env}, stdout=said.fileno()) as process:
            try:
                status = process.wait(CONTROL_S)
            except subprocess.TimeoutExpired:
                return None
        said.seek(0)
        text = said.read().decode(errors="replace").strip()
    return int(text) if status == 0 and text.isdigit() else None
