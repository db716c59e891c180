"""CUDA MPS, with a daemon that belongs to nobody else, and limits of GPU memory by it.

Each process that connects to the daemon's pipe directory may hold so much of the card, its context
included. The daemon is new for every limit and is told to quit at its end: a client that was killed
with work in flight can make later ones hang until the daemon starts anew.

The limit is written by the card's number among those that the process sees: by UUID some drivers
drop it without a word (release notes of NVIDIA's device plugin, 0.15).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import LimitError
from harness.system.child import LAST_WORDS
from harness.system.credentials import cut
from harness.system.guard import spawn
from harness.system.limits.limit import Limit
from harness.system.machine import probe_gpus

DAEMON = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
VISIBLE = "CUDA_VISIBLE_DEVICES"
MEMORY = "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"
START_S, QUIT_S = 20.0, 20.0


def cards() -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES for the daemon and its clients, where it is set: the cards by UUID.

    A client counts numbers among the cards that the daemon was given, so that `1` for both names a
    card that is not there (https://docs.nvidia.com/deploy/mps, on CUDA_VISIBLE_DEVICES).
    """
    named = os.environ.get(VISIBLE)
    if named is None or "MIG-" in named:
        return {}
    return {VISIBLE: ",".join(str(card["uuid"]) for card in probe_gpus()[0])}


@dataclass(frozen=True, slots=True)
class Mps:
    """A daemon that runs."""

    program: str
    env: Mapping[str, str]
    """Its own, by which it is asked too."""
    own: Mapping[str, str]
    """What its clients have in theirs."""
    pid: int
    """Of its guard: the server is in the tree below."""

    @property
    def logs(self) -> Path:
        """The folder of what it writes."""
        return Path(self.own[LOGS])

    def ask(self, command: str) -> str:
        """What it answers; nothing where it can't be reached."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            return subprocess.run(
                [self.program], input=f"{command}\n", text=True, env=self.env,
                capture_output=True, timeout=QUIT_S, check=False,
            ).stdout  # fmt: skip
        return ""

    def prefix(self, **variables: str) -> tuple[str, ...]:
        """Comes before the command of a client, which has these variables besides."""
        return ("env", *(f"{name}={value}" for name, value in {**self.own, **variables}.items()))


@contextlib.contextmanager
def mps(daemon: str = DAEMON) -> Iterator[Mps]:
    """A daemon with pipe and log directories of its own, told to quit at the end.

    Raises LimitError where there is no MPS, or its daemon does not start.
    """
    program = shutil.which(daemon)
    if program is None:
        raise LimitError(
            f"there is no {DAEMON}, by which processes share a GPU and its memory is limited",
            fix="CUDA MPS comes with the driver; in a container, install it or mount it",
        )
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        places = {PIPES: f"{folder}/pipes", LOGS: f"{folder}/logs"}
        for path in places.values():
            Path(path).mkdir()
        own = places | cards()
        others = {name: v for name, v in os.environ.items() if not name.startswith("CUDA_MPS_")}
        env, control, logs = others | own, Path(own[PIPES], "control"), Path(own[LOGS])
        # what it prints is nothing for our own output
        with (logs / "printed").open("wb") as out, \
                spawn([program, "-f"], env=env, stdout=out, stderr=out) as process:  # fmt: skip
            end = time.monotonic() + START_S
            while not control.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise LimitError(
                        f"{DAEMON} did not start; it needs a GPU that it may share{said(logs)}"
                    )
                time.sleep(0.05)
            found = Mps(program, env, own, process.pid)
            try:
                yield found
            finally:
                found.ask("quit -t 10")


@contextlib.contextmanager
def gpu_memory(mib: int, device: int, daemon: str = DAEMON) -> Iterator[Limit]:
    """Limit each process started with it to `mib` of the card at `device`. Raises as `mps`."""
    with mps(daemon) as found:
        yield memory_limit(found, mib, device)


def memory_limit(found: Mps, mib: int, device: int, **variables: str) -> Limit:
    """The limit of each client that is started so; it has these variables besides."""
    prefix = found.prefix(**{MEMORY: f"{device}={mib}M"}, **variables)
    return Limit("gpu_memory", mib, "CUDA MPS", False, prefix, device,
                 said=lambda: said(found.logs))  # fmt: skip


def said(logs: Path) -> str:
    """The last lines of what MPS wrote, to go behind a message; empty where it wrote nothing."""
    found = []
    for name in ("printed", "control.log", "server.log"):
        with contextlib.suppress(OSError):
            lines = (logs / name).read_text(errors="replace").strip().splitlines()
            found += [line.strip() for line in lines[-2:]]
    return f"; MPS wrote: {cut(' | '.join(found), LAST_WORDS)}" if found else ""
