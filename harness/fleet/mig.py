"""MIG devices as lanes: each instance of a GPU in MIG mode has memory and SMs of its own.

Named by UUID, as CUDA_VISIBLE_DEVICES wants them; a process sees one of them. What they share is
the board's power, clocks and PCIe link.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

from harness.errors import DeviceError, UsageError
from harness.fleet.devices import ALL, Lane, deal, numbers_in, place_in
from harness.scenario.spec.scenario import Scenario
from harness.system.machine import GpuFacts


class Instance(NamedTuple):
    """One MIG device, or a whole GPU beside such."""

    uuid: str
    kind: str
    """`NVIDIA H100 80GB HBM3 MIG 1g.10gb`."""
    board: int
    """Place of its GPU among all."""


Find = Callable[[str], Sequence[tuple[str, str]]]
"""UUID of a GPU → UUID and name of each of its MIG devices."""


def is_meant(text: str, gpus: Sequence[GpuFacts]) -> bool:
    """Whether `--devices` asks for MIG devices. Raises DeviceError where it names a GPU that can't
    be had as a whole.
    """
    split = [n for n, gpu in enumerate(gpus) if gpu.get("mig")]
    if "MIG-" in text or (text.strip() == ALL and split):
        return True
    for number in split:
        if number in (numbers_in(text) or ()):
            raise DeviceError(
                f"--devices: cuda:{number} is in MIG mode, and can't be had as a whole",
                fix="give all, or the UUIDs of its MIG devices (nvidia-smi -L)",
            )
    return False


def lanes(
    text: str, gpus: Sequence[GpuFacts], scenario: Scenario, near: Sequence[set[int]],
    usable: Sequence[Collection[int]], find: Find,
) -> list[Lane]:  # fmt: skip
    """A lane for each of the MIG devices that `MIG-…,MIG-…` or `all` names, on processors near its
    GPU. Raises UsageError, DeviceError.
    """
    if place := place_in(scenario):
        raise UsageError(f"the scenario names cuda:{place}, and a process sees one MIG device",
                         fix="write `device: cuda`")  # fmt: skip
    found = _chosen(text, [
        Instance(*each, board) for board, gpu in enumerate(gpus)
        for each in (find(str(gpu["uuid"])) if gpu.get("mig") else
                     [(str(gpu["uuid"]), str(gpu["name"]))])
    ])  # fmt: skip
    if len(kinds := sorted({i.kind for i in found})) > 1:
        raise UsageError(f"lanes must be alike, and these are {', '.join(kinds)}",
                         fix="name those of one kind")  # fmt: skip
    dealt = deal([near[i.board] for i in found], usable)
    return [
        Lane(n, i.uuid, cpus, i.uuid, i.uuid)
        for n, (i, cpus) in enumerate(zip(found, dealt, strict=True))
    ]


def _chosen(text: str, there: Sequence[Instance]) -> list[Instance]:
    by_uuid = {i.uuid: i for i in there}
    names = list(by_uuid) if text.strip() == ALL else [word.strip() for word in text.split(",")]
    if len(set(names)) < len(names):
        raise UsageError(f"--devices: '{text}' names a device twice", fix="name each once")
    unknown = [name for name in names if name not in by_uuid]
    if unknown or not names:
        raise DeviceError(f"--devices: there is no {unknown[0] if unknown else 'MIG device'} here",
                          fix=f"there are: {', '.join(by_uuid) or 'none'}")  # fmt: skip
    return [by_uuid[name] for name in names]


def instances(uuid: str, nvml: ModuleType | None = None) -> list[tuple[str, str]]:
    """UUID and name of each MIG device of a GPU; none where NVML lists none."""
    try:
        if nvml is None:
            import pynvml

            nvml = pynvml
        nvml.nvmlInit()
        board = nvml.nvmlDeviceGetHandleByUUID(uuid)
        slots = int(nvml.nvmlDeviceGetMaxMigDeviceCount(board))
    except Exception:  # no library, no driver, or a GPU that has gone
        return []
    return list(_filled(nvml, board, slots))


def _filled(nvml: ModuleType, board: object, slots: int) -> Iterator[tuple[str, str]]:
    for slot in range(slots):
        with contextlib.suppress(nvml.NVMLError):  # an empty slot
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, slot)
            found = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
            one, two = (x.decode() if isinstance(x, bytes) else str(x) for x in found)
            yield one, two
