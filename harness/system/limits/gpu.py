"""Limits of GPU memory by CUDA MPS, with a daemon that belongs to nobody else.

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
from collections.abc import Iterator
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


@contextlib.contextmanager
def gpu_memory(mib: int, device: int, daemon: str = DAEMON) -> Iterator[Limit]:
    """Limit each process started with it to `mib` of the card at place `device`.

    Raises LimitError where there is no MPS, or its daemon does not start.
    """
    program = shutil.which(daemon)
    if program is None:
        raise LimitError(
            f"GPU memory can't be limited: there is no {DAEMON}",
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
            try:
                limits = {**own, MEMORY: f"{device}={mib}M"}
                prefix = ("env", *(f"{name}={value}" for name, value in limits.items()))
                yield Limit("gpu_memory", mib, "CUDA MPS", False, prefix, device,
                            said=lambda: said(logs))  # fmt: skip
            finally:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    subprocess.run(
                        [program], input="quit -t 10\n", text=True, env=env,
                        capture_output=True, timeout=QUIT_S, check=False,
                    )  # fmt: skip


def said(logs: Path) -> str:
    """The last lines of what MPS wrote, to go behind a message; empty where it wrote nothing."""
    found = []
    for name in ("printed", "control.log", "server.log"):
        with contextlib.suppress(OSError):
            lines = (logs / name).read_text(errors="replace").strip().splitlines()
            found += [line.strip() for line in lines[-2:]]
    return f"; MPS wrote: {cut(' | '.join(found), LAST_WORDS)}" if found else ""
