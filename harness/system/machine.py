"""What a run was measured on: the machine, the packages, the code. Goes into the manifest.

Everything here answers with None or an empty list when a fact can't be read; nothing raises, and
nothing heavy is imported (versions come from package metadata, GPUs from NVML).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import socket
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

MIB = 2**20
GIT_TIMEOUT_S = 10.0
ROOT = Path("/")

PACKAGES = (
    "inference-harness", "numpy", "scipy", "pandas", "pyarrow", "pydantic", "click", "rich",
    "jinja2", "plotly", "matplotlib", "plutoprint", "psutil", "ruamel.yaml",
    "onnx", "onnxscript", "nvidia-ml-py", "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cublas-cu12", "locust", "optuna",
)  # fmt: skip
"""Distributions whose version can change a number or a report; backends have more of their own."""


class Cpu(TypedDict):
    """The processor; None where the machine does not say."""

    model: str | None
    cores: int | None
    threads: int | None
    usable: int
    """What this process may run on."""
    governor: str | None
    turbo: bool | None


class GpuFacts(TypedDict):
    """One GPU as NVML shows it; None where it does not."""

    index: int
    ordinal: int
    """The N of `cuda:N`: CUDA_VISIBLE_DEVICES may leave some out, and order them anew."""
    name: str | None
    uuid: str | None
    memory_mib: int | None
    driver: str | None
    cuda: str | None
    compute_capability: str | None
    mig: bool | None


class Machine(TypedDict):
    """What a run was measured on, as JSON-able values."""

    hostname: str
    os: str
    kernel: str
    architecture: str
    python: str
    cpu: Cpu
    memory_mib: int
    container: str | None
    limits: dict[str, float | None]
    gpus: list[GpuFacts]


class Commit(TypedDict):
    """The state of a work tree; `dirty` when tracked files differ from the commit."""

    commit: str
    dirty: bool


def describe_machine() -> Machine:
    """Host, operating system, CPU, memory, limits and GPUs."""
    import psutil

    return {
        "hostname": socket.gethostname(),
        "os": _os_name(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "cpu": describe_cpu(),
        "memory_mib": round(psutil.virtual_memory().total / MIB),
        "container": container(),
        "limits": cgroup_limits(),
        "gpus": probe_gpus()[0],
    }


def _os_name() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return platform.system()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


# ------------------------------------------------------------------------------------------- CPU


def describe_cpu(root: Path = ROOT) -> Cpu:
    """Model, counts, frequency governor and turbo."""
    import psutil

    return {
        "model": cpu_model(root),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(logical=True),
        "usable": len(os.sched_getaffinity(0)),
        "governor": _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "turbo": turbo(root),
    }


def cpu_model(root: Path = ROOT) -> str | None:
    """The CPU's name from /proc/cpuinfo."""
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.processor() or None


def turbo(root: Path = ROOT) -> bool | None:
    """Whether the CPU may exceed its base frequency; None when the machine does not say."""
    disabled = _read(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    if disabled is not None:
        return disabled == "0"
    boost = _read(root / "sys/devices/system/cpu/cpufreq/boost")
    return None if boost is None else boost == "1"


# ------------------------------------------------------------------------- containers and limits


def container(root: Path = ROOT) -> str | None:
    """A hint at what kind of container this is; None when there is no sign of one."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    return os.environ.get("container") or None  # noqa: SIM112 (systemd-nspawn and lxc set it)


def cgroup_limits(root: Path = ROOT) -> dict[str, float | None]:
    """The tightest `cpus` and `memory_mib` that control groups (v1 or v2) allow; None: no limit."""
    cpus, memory = [], []
    for _, folder in control_groups(root):
        cpus.append(_cpu_limit(folder))
        memory.append(_memory_limit(folder))
    return {"cpus": _tightest(cpus), "memory_mib": _tightest(memory)}


@functools.cache
def memory_bytes() -> int:
    """What this process may have: the host's memory, or its control group's limit."""
    limit = cgroup_limits()["memory_mib"] or float("inf")
    return int(min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), limit * MIB))


def cpu_quota(root: Path = ROOT) -> tuple[Path, float] | None:
    """The control group of this process with the tightest CPU quota, and that in processors."""
    found = [(f, n) for _, f in control_groups(root) if (n := _cpu_limit(f)) is not None]
    return min(found, key=lambda pair: pair[1], default=None)


def group_usage(folder: Path) -> dict[str, float]:
    """What a control group has used: `usage_s`, `nr_periods` and `nr_throttled`, as far as its
    version (v1 or v2) says.
    """
    lines = (line.split() for line in (_read(folder / "cpu.stat") or "").splitlines())
    found = {words[0]: float(words[1]) for words in lines if len(words) == 2}
    if "usage_usec" in found:
        found["usage_s"] = found["usage_usec"] / 1e6
    elif (used := _read(folder / "cpuacct.usage") or "").isdigit():
        found["usage_s"] = int(used) / 1e9
    return found


def memory_kills(root: Path = ROOT) -> int:
    """How many processes of this one's control groups the kernel has ended for want of memory."""
    return sum(kills_in(folder) for _, folder in control_groups(root))


def kills_in(group: Path) -> int:
    """The same of one control group; 0 where it is gone."""
    names = ("memory.events", "memory.oom_control")  # v2, v1
    texts = (_read(group / name) or "" for name in names)
    lines = (line.split() for text in texts for line in text.splitlines())
    return sum(int(w[1]) for w in lines if w[:1] == ["oom_kill"] and w[1:] and w[1].isdigit())


def _tightest(limits: list[float | None]) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def control_groups(root: Path = ROOT) -> list[tuple[str, Path]]:
    """Controllers and folder of this process's groups and all their parents: a limit on any of
    them holds. Controllers are empty in v2, where a group's files say which it has.
    """
    mount = root / "sys/fs/cgroup"
    found = []
    lines = (_read(root / "proc/self/cgroup") or "").splitlines()
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        top = mount / controllers if controllers else mount
        here = top / path.lstrip("/")
        folders = (here, *(p for p in here.parents if p.is_relative_to(top)))
        found += [(controllers, folder) for folder in folders]
    return found


def _cpu_limit(folder: Path) -> float | None:
    with contextlib.suppress(ValueError, AttributeError, ZeroDivisionError):
        quota, period = (_read(folder / "cpu.max") or "max 1").split()
        if quota != "max":
            return int(quota) / int(period)
    with contextlib.suppress(ValueError, ZeroDivisionError):
        quota = _read(folder / "cpu.cfs_quota_us") or "-1"
        period = _read(folder / "cpu.cfs_period_us") or "1"
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _memory_limit(folder: Path) -> float | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(folder / name) or ""
        if text.isdigit() and int(text) < 2**60:  # v1 writes a number near 2^63 for "no limit"
            return int(text) / MIB
    return None


# ------------------------------------------------------------------------------------------ GPUs


def probe_gpus() -> tuple[list[GpuFacts], str | None]:
    """The GPUs that NVML shows, and why there are none (None when there are some)."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # no package, no library, no driver, or a driver that just changed
        return [], str(error) or type(error).__name__
    try:
        every = [_describe_gpu(pynvml, i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return [], str(error)
    finally:
        pynvml.nvmlShutdown()
    gpus = visible(every, os.environ.get("CUDA_VISIBLE_DEVICES"))
    none = "CUDA_VISIBLE_DEVICES names none" if every else "the driver shows no GPU"
    return gpus, None if gpus else none


def visible(gpus: list[GpuFacts], chosen: str | None) -> list[GpuFacts]:
    """Those that CUDA shows a process, in its order, by CUDA_VISIBLE_DEVICES: indices, or UUIDs or
    their beginnings; what it does not know ends the list. All where MIG devices are named.
    """
    if chosen is None or "MIG-" in chosen:
        return gpus
    found: list[GpuFacts] = []
    for word in map(str.strip, chosen.split(",")):
        named = [g for g in gpus if word and (str(g["index"]) == word
                 or (word.startswith("GPU-") and str(g["uuid"]).startswith(word)))]  # fmt: skip
        if not named:
            break
        found.append({**named[0], "ordinal": len(found)})
    return found


def _describe_gpu(nvml: Any, index: int) -> GpuFacts:
    def ask(function: Callable[..., Any], *args: Any) -> Any:
        try:
            answer = function(*args)
        except nvml.NVMLError:  # not supported on this GPU, or the GPU fell off the bus
            return None
        return answer.decode() if isinstance(answer, bytes) else answer

    handle = ask(nvml.nvmlDeviceGetHandleByIndex, index)
    memory = ask(nvml.nvmlDeviceGetMemoryInfo, handle)
    capability = ask(nvml.nvmlDeviceGetCudaComputeCapability, handle)
    cuda = ask(nvml.nvmlSystemGetCudaDriverVersion_v2)
    mig = ask(nvml.nvmlDeviceGetMigMode, handle)
    return {
        "index": index,
        "ordinal": index,
        "name": ask(nvml.nvmlDeviceGetName, handle),
        "uuid": ask(nvml.nvmlDeviceGetUUID, handle),
        "memory_mib": round(memory.total / MIB) if memory else None,
        "driver": ask(nvml.nvmlSystemGetDriverVersion),
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        "compute_capability": ".".join(map(str, capability)) if capability else None,
        "mig": bool(mig[0]) if mig else None,
    }


def core_of(cpu: int, root: Path = ROOT) -> frozenset[int]:
    """The processors of a processor's core, which share its units; itself where none is known."""
    file = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return listed(file) or frozenset({cpu})


def listed(file: Path) -> frozenset[int]:
    """The processors of a list as the kernel writes it, `0-3,8`; empty where it can't be read."""
    with contextlib.suppress(OSError, ValueError):
        parts = (part.split("-") for part in file.read_text().strip().split(",") if part)
        return frozenset(n for p in parts for n in range(int(p[0]), int(p[-1]) + 1))
    return frozenset()


# ------------------------------------------------------------------------------ packages and code


def package_versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Name → version of those of `PACKAGES` and `more` that are installed; none is imported."""
    versions = {}
    for name in dict.fromkeys((*PACKAGES, *more)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def git_state(path: Path) -> Commit | None:
    """The work tree that holds `path`.

    None when there is no git, no repository or no commit. Runs nothing that the repository's own
    configuration names: no monitor, hook, filter or transport.
    """
    listed = _git(path, "config", "--show-scope", "-z", "--get-regexp", r"^filter\.") or ""
    fields = listed.split("\0")
    filters = (
        entry.partition("\n")[0]
        for scope, entry in zip(fields[::2], fields[1::2], strict=False)
        if scope in ("local", "worktree")
    )
    commit = _git(path, "rev-parse", "--verify", "HEAD")
    changes = _git(
        path, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty",
        unset=filters,
    )  # fmt: skip
    if not commit or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(path: Path, *args: str, unset: Iterable[str] = ()) -> str | None:
    env = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
    keys, first = ["core.fsmonitor", *unset], int(env.get("GIT_CONFIG_COUNT") or 0)
    env["GIT_CONFIG_COUNT"] = str(first + len(keys))
    for number, key in enumerate(keys, first):  # wins over files; `-c` ends a key at its `=`
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": ""}
    command = ["git", "-C", str(path), "--no-optional-locks", *args]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
