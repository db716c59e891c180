"""What else decides whether runs succeed here, and how quiet the machine is."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.system.check import MISSING, NOTE, OK, Answer, Check, probe
from harness.system.packages import install_command
from harness.system.untried import noted, of_gpu

PYTHON = (3, 11)
SHM_MIB, OPEN_FILES, CACHE_GIB = 256, 4096, 5
"""Enough for a Triton with Python-backend stubs, for a load test, and for some exported models."""
TRIED_BYTES = 4096
"""Of a file that is made and removed where there has to be room."""
BUSY = 0.25
"""Load average per core above which other work is said to disturb."""
TURBO = {True: "turbo on", False: "turbo off", None: "turbo unknown"}
PLUTOPRINT = """
import json, plutoprint
book = plutoprint.Book()
book.load_html("<p>one page</p>")
print(json.dumps({"version": plutoprint.__version__, "pages": book.get_page_count()}))
"""


def machine_checks(
    machine: Mapping[str, Any], no_gpu: str | None, load: float, cache: Path
) -> list[Check]:
    """Every check that is not a backend's; `machine` is `describe_machine()`."""
    return [
        python_check(),
        *gpu_checks(machine["gpus"], no_gpu),
        cpu_check(machine["cpu"]),
        governor_check(machine["cpu"]),
        load_check(machine["cpu"]["usable"], load),
        limits_check(machine["limits"]),
        shm_check(),
        files_check(*resource.getrlimit(resource.RLIMIT_NOFILE)),
        disk_check(cache),
        pdf_check(probe(PLUTOPRINT)),
    ]


def _check(name: str, status: str, detail: str, fix: str | None = None) -> Check:
    return Check("Machine", name, status, detail, fix)


def python_check() -> Check:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        return _check("Python", MISSING, f"{version} is too old", "install Python 3.11 or newer")
    return _check("Python", OK, f"{version}, {sys.executable}")


def gpu_checks(gpus: Sequence[Mapping[str, object]], why_not: str | None) -> list[Check]:
    """One line a GPU, or why there is none."""
    if not gpus:
        return [_check("GPU", NOTE, f"none ({why_not}); CPU scenarios run")]
    shown = "{name}, {memory_mib} MiB, driver {driver}, CUDA {cuda}"
    named = [(f"GPU {gpu['index']}", noted(shown.format(**gpu), of_gpu(gpu))) for gpu in gpus]
    return [_check(name, OK, detail) for name, detail in named]


def cpu_check(cpu: Mapping[str, Any]) -> Check:
    """Model and counts; one core is too few for a load generator beside a server."""
    detail = "{model}, {cores} cores, {threads} threads, {usable} usable".format(**cpu)
    if cpu["usable"] < 2:
        return _check("CPU", NOTE, f"{detail}: load generator and server will share one core")
    return _check("CPU", OK, detail)


def governor_check(cpu: Mapping[str, Any]) -> Check:
    """Whether the CPU's frequency stays put."""
    governor, turbo = cpu["governor"], TURBO[cpu["turbo"]]
    if governor is None:
        return _check("CPU frequency", NOTE, f"governor not shown (a virtual machine?), {turbo}")
    if governor == "performance":
        return _check("CPU frequency", OK, f"governor performance, {turbo}")
    detail = f"governor {governor}, {turbo}: CPU numbers will vary more"
    return _check("CPU frequency", NOTE, detail, "sudo cpupower frequency-set -g performance")


def load_check(usable: int, load: float) -> Check:
    """Whether something else uses the CPU right now, by the one-minute load average."""
    detail = f"{load:.1f} on {usable} cores over the last minute"
    if load > BUSY * usable:
        detail += ": other work will disturb measurements"
        return _check("CPU load", NOTE, detail, "stop other work (`top` shows it), then measure")
    return _check("CPU load", OK, detail)


def limits_check(limits: Mapping[str, float | None]) -> Check:
    """What control groups allow; a CPU quota stops everything for the rest of each period."""
    cpus, memory = limits["cpus"], limits["memory_mib"]
    parts = [f"{cpus:g} CPUs"] if cpus else []
    parts += [f"{memory:.0f} MiB of memory"] if memory else []
    if cpus:
        return _check("limits", NOTE, f"{', '.join(parts)}: a CPU quota shows up in tail latency")
    return _check("limits", OK, ", ".join(parts) or "no CPU or memory limit")


def shm_check(path: Path = Path("/dev/shm")) -> Check:
    """Shared memory, which Triton's Python backend lives on."""
    fix = "docker run --shm-size=1g …, or: sudo mount -o remount,size=1g /dev/shm"
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            os.posix_fallocate(file.fileno(), 0, TRIED_BYTES)
        size = shutil.disk_usage(path).total // 2**20
    except OSError as error:
        return _check("shared memory", MISSING, f"{path}: {error.strerror}", fix)
    if size < SHM_MIB:
        return _check("shared memory", MISSING, f"{size} MiB: too small for Triton", fix)
    return _check("shared memory", OK, f"{size} MiB")


def files_check(soft: int, hard: int) -> Check:
    """The limit on open files (−1: none): a connection is one."""
    if 0 <= soft < OPEN_FILES:
        most = 65536 if hard < 0 else min(65536, hard)
        detail = f"{soft}: too few for thousands of connections"
        return _check("open files", NOTE, detail, f"ulimit -n {most}")
    return _check("open files", OK, "no limit" if soft < 0 else str(soft))


def disk_check(cache: Path) -> Check:
    """Room where exported models and engines are kept."""
    folder = next(p for p in (cache, *cache.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, TRIED_BYTES)
    except OSError as error:
        detail = f"{folder} can't be written to: {error.strerror}"
        return _check("cache", MISSING, detail, "set XDG_CACHE_HOME to a folder of yours")
    free = shutil.disk_usage(folder).free / 2**30
    detail = f"{free:.1f} GiB free for {cache}"
    if free < CACHE_GIB:
        return _check("cache", NOTE, detail, "make room, or set XDG_CACHE_HOME to a larger disk")
    return _check("cache", OK, detail)


def pdf_check(answer: Answer) -> Check:
    """The PDF renderer, tried on one page."""
    if isinstance(answer, str):
        fix = f"{install_command('plutoprint')} --force-reinstall"
        return _check("PDF", MISSING, f"no PDF reports: {answer}", fix)
    return _check("PDF", OK, f"plutoprint {answer['version']}")
