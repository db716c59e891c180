"""GPUs beside one another: links, NUMA nodes, modes, and what that means for `--devices`.

By NVML and sysfs; what a GPU, a container or an old driver does not say is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from harness.system.check import NOTE, OK, Check

T = TypeVar("T")
GROUP = "Lanes"
LEVELS = {
    0: "on one board", 10: "through one PCIe switch", 20: "through PCIe switches",
    30: "through one PCIe host bridge", 40: "within one NUMA node", 50: "across NUMA nodes",
}  # fmt: skip
"""nvmlGpuTopologyLevel_t in words."""
SHARED = (0, 10, 20)
"""Where two GPUs have a part of the way to memory in common."""
MODES = {1: "exclusive to a thread", 2: "prohibited", 3: "exclusive to a process"}
MOST_LINKS = 18
FEWEST_CORES = 2
"""Of a lane: the load generator and the server each need one."""
MPS = "CUDA_MPS_PIPE_DIRECTORY"


def lane_checks(cores: int, nvml: ModuleType | None = None, root: Path = Path("/")) -> list[Check]:
    """What there is and what it means, on a machine with so many usable `cores`; never raises."""
    found = _gpus(nvml)
    if found is None:
        return [_check("lanes", OK, f"without a GPU: up to --devices cpus:{cores}")]
    module, handles = found
    gpus = [_Gpu(module, handle, n, root) for n, handle in enumerate(handles)]
    checks = [gpu.check() for gpu in gpus]
    checks += [c for a, b in combinations(gpus, 2) if (c := _pair(a, b)) is not None]
    checks += _mps(root)
    return [*checks, _summary(gpus, cores)]


def _check(name: str, status: str, detail: str, fix: str | None = None) -> Check:
    return Check(GROUP, name, status, detail, fix)


def _gpus(nvml: ModuleType | None) -> tuple[ModuleType, Sequence[object]] | None:
    """NVML and the handle of each GPU; None where there is none."""
    try:
        if nvml is None:
            import pynvml

            nvml = pynvml
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
    except Exception:  # no library or no driver: the machine's checks say which
        return None
    return (nvml, handles) if handles else None


class _Gpu:
    """One GPU; every question may have no answer."""

    def __init__(self, nvml: ModuleType, handle: object, number: int, root: Path) -> None:
        self.nvml, self.handle, self.number, self._root = nvml, handle, number, root
        bus = self.ask(lambda: nvml.nvmlDeviceGetPciInfo(handle).busId)
        self.bus = (bus.decode() if isinstance(bus, bytes) else str(bus or "")).lower()
        mig = self.ask(lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
        self.mig = bool(mig)

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer, or None."""
        with contextlib.suppress(Exception):  # not supported, not permitted, or not in this driver
            return question()
        return None

    def near(self, name: str) -> str:
        """A file of the GPU's PCI device, e.g. `numa_node`; empty where it can't be read."""
        domain, _, rest = self.bus.partition(":")
        file = self._root / f"sys/bus/pci/devices/{domain[-4:]}:{rest}/{name}"
        return (self.ask(lambda: file.read_text(encoding="utf-8")) or "").strip()

    @property
    def devices(self) -> int:
        """How many lanes it is: itself, or each MIG device that there is."""
        if not self.mig:
            return 1
        nvml, board = self.nvml, self.handle
        slots = self.ask(lambda: int(nvml.nvmlDeviceGetMaxMigDeviceCount(board))) or 0
        found = (
            self.ask(lambda n=n: nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, n))  # type: ignore[misc]
            for n in range(slots)
        )
        return sum(device is not None for device in found)

    @property
    def links(self) -> dict[str, int]:
        """Bus of the other end → NVLinks that are up."""
        ends: dict[str, int] = {}
        for link in range(MOST_LINKS):
            if self.ask(lambda link=link: self.nvml.nvmlDeviceGetNvLinkState(self.handle, link)):  # type: ignore[misc]
                end = self.ask(
                    lambda link=link: (
                        self.nvml.nvmlDeviceGetNvLinkRemotePciInfo(  # type: ignore[misc]
                            self.handle, link
                        ).busId
                    )
                )
                name = end.decode() if isinstance(end, bytes) else str(end or "a switch")
                ends[name.lower()] = ends.get(name.lower(), 0) + 1
        return ends

    def check(self) -> Check:
        """Its place and modes in one line."""
        nvml, handle = self.nvml, self.handle
        width = self.ask(lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle))
        speed = self.ask(lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle))
        persistent = self.ask(lambda: nvml.nvmlDeviceGetPersistenceMode(handle))
        mode = MODES.get(self.ask(lambda: nvml.nvmlDeviceGetComputeMode(handle)) or 0)
        node, cpus = self.near("numa_node"), self.near("local_cpulist")
        parts = [
            f"PCIe {speed} ×{width}" if speed and width else "",
            f"NUMA node {node}" if node not in ("", "-1") else "",
            f"near CPUs {cpus}" if cpus else "",
            f"{sum(self.links.values())} NVLinks" if self.links else "",
            f"MIG: {self.devices} devices, a lane each" if self.mig else "",
            f"compute mode {mode}" if mode else "",
            "no persistence: each session waits for the driver" if persistent == 0 else "",
        ]
        detail = ", ".join(filter(None, parts)) or "NVML says no more of it"
        fix = "sudo nvidia-smi -pm 1" if persistent == 0 else None
        fix = "sudo nvidia-smi -mig 0, for a lane that has the whole GPU" if self.mig else fix
        status = NOTE if self.mig or mode or persistent == 0 else OK
        return _check(f"cuda:{self.number}", status, detail, fix)


def _pair(a: _Gpu, b: _Gpu) -> Check | None:
    """How two GPUs are linked; None where nothing says so."""
    level = a.ask(lambda: a.nvml.nvmlDeviceGetTopologyCommonAncestor(a.handle, b.handle))
    nvlinks = a.links.get(b.bus, 0)
    parts = [f"{nvlinks} NVLinks"] if nvlinks else []
    parts += [LEVELS[level]] if level in LEVELS else []
    if not parts:
        return None
    shared = level in SHARED
    parts += ["copies of one lane may slow the other's"] if shared else []
    name = f"cuda:{a.number}–cuda:{b.number}"
    return _check(name, NOTE if shared else OK, ", ".join(parts))


def _mps(root: Path, env: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """A note where a daemon of MPS runs: others may share the GPUs."""
    folder = Path(env.get(MPS) or root / "tmp/nvidia-mps")
    if (folder / "control").exists():
        yield _check("MPS", NOTE, f"a daemon runs ({folder}): who shares a GPU shares its time",
                     "echo quit | nvidia-cuda-mps-control, unless it is meant")  # fmt: skip


def _summary(gpus: Sequence[_Gpu], cores: int) -> Check:
    """What `--devices all` would be."""
    count = sum(gpu.devices for gpu in gpus)
    each = cores // max(1, count)
    detail = f"--devices all: {count} lanes of {each} of {cores} cores each" if count > 1 else (
        "one GPU: a run has it alone, and --devices is of no use"
    )  # fmt: skip
    nodes = [node for gpu in gpus for node in [gpu.near("numa_node")] * gpu.devices]
    if any(nodes.count(node) > 1 for node in set(nodes) - {""}):
        detail += "; those of one NUMA node share its memory bandwidth"
    if count > 1 and each < FEWEST_CORES:
        return _check("lanes", NOTE, f"{detail}: too few for load generator and server",
                      "measure on fewer GPUs at a time")  # fmt: skip
    return _check("lanes", OK, detail)
