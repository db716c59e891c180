"""The systems that share GPUs, one row each: spelling, unit, rule, limits, and what bites.

Read from the projects' sources and documents in November 2026. Where a rule depends on the
cluster, each of its forms is a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.errors import UsageError
from harness.plan import rounding
from harness.plan.rounding import Need, Refused, Rounded
from harness.plan.units import GIB

LIMITS_DRIVER = 615
"""Major version of the driver from which a device's memory can be limited by cgroup."""


@dataclass(frozen=True, slots=True)
class System:
    """One way to share a GPU."""

    name: str
    """As `--system` has it."""
    title: str
    key: str
    """What the value is written under."""
    unit: str
    rule: str
    """Of rounding, in words."""
    rounds: rounding.Rule
    enforced: bool
    enforcement: str
    """In one sentence: what holds a replica to its share, or that nothing does."""
    most: int | None = None
    """Replicas a card by the system's own limit; None where it states none."""
    per_process: bool = False
    """Whether the limit is each process's, not the container's."""
    driver: int | None = None
    """The least major version of the driver."""
    traps: tuple[str, ...] = ()
    whole_cards: bool = False
    """Whether it can't share a part of a card (MIG)."""
    compute: bool = True
    """Whether a share of compute can be written."""
    places_by: tuple[str, ...] = ()
    """What its own scheduler counts when it chooses the card: `memory`, `compute`. Empty where the
    files say the card (parts of one, claims), or whoever starts the script."""

    def request(self, need: Need) -> Rounded | Refused:
        """The need in the system's unit, or why it can't be held."""
        if self.whole_cards and need.mig:
            return Refused("shares whole cards only, and the GPU of the run is a MIG device")
        if self.driver and need.driver and need.driver < self.driver:
            return Refused(
                f"needs driver r{self.driver}; the driver is r{need.driver} (--driver for another)"
            )
        found = self.rounds(need)
        if need.compute_percent is None or self.compute:
            return found
        return found if isinstance(found, Refused) else replace(
            found, compute=None, notes=(*found.notes, _NO_COMPUTE)
        )  # fmt: skip


_MEMORY, _BOTH = ("memory",), ("memory", "compute")
_NO_COMPUTE = "no share of compute can be written here: --compute is left out"
_GIB = "1 GiB; a card counts floor(MiB/1024)"
_UNIT_128 = "128 MiB, where the cluster was changed"
_CLUSTER = "the unit is the cluster's: look at a node's allocatable aliyun.com/gpu-mem first"
_ACK_KINDS = "pods with memory alone and pods with memory and compute never share a node"
_ONE_CARD = "whole GPUs only, no MIG"
_PIPE = "a wrong pipe directory runs without a limit, and without an error"
_INVISIBLE = "one entry that names an invisible GPU drops every limit"
_TOTAL = "free memory is the limit, but total stays the card's; the context counts in the limit"
_MPS_ENFORCED = "Enforced by MPS for each process, where the client finds the daemon."
_FACTOR = "the cluster's factor multiplies it: --memory-factor says which"
_ADVISORY_SCHEDULING = (
    "Advisory: it schedules only, so a wrong value takes the neighbours on the card down."
)

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "arena", "Arena serve triton", "--gpumemory", _GIB, "up to whole GiB",
            rounding.in_units(GIB, step=rounding.COMPUTE_STEP), True,
            "Enforced as the node's isolation is: by cGPU where the node has it.", 16,
            traps=(_CLUSTER, "--gpus and --gpumemory together are both written: exactly one here",
                   "--gpucore is a multiple of 5"), places_by=_BOTH,
        ),
        System(
            "arena-128mib", "Arena serve triton, units of 128 MiB", "--gpumemory", _UNIT_128,
            "up to whole 128 MiB", rounding.in_units(128, step=rounding.COMPUTE_STEP), False,
            _ADVISORY_SCHEDULING, None, traps=(_CLUSTER,),
            compute=False, places_by=_MEMORY,
        ),
        System(
            "ack", "ACK with isolation", "aliyun.com/gpu-mem", _GIB, "up to whole GiB",
            rounding.in_units(GIB, step=rounding.COMPUTE_STEP), True,
            "Enforced by cGPU for the container.", 16,
            traps=(_CLUSTER, _ACK_KINDS, "no managed memory with cGPU", "compute in steps of 5"),
            places_by=_BOTH,
        ),
        System(
            "ack-128mib", "ACK, units of 128 MiB", "aliyun.com/gpu-mem", _UNIT_128,
            "up to whole 128 MiB", rounding.in_units(128, step=rounding.COMPUTE_STEP), False,
            _ADVISORY_SCHEDULING, traps=(_CLUSTER, "only nodes whose label says share"),
            compute=False, places_by=_MEMORY,
        ),
        System(
            "gpushare", "gpushare scheduler extender", "aliyun.com/gpu-mem", _GIB,
            "up to whole GiB", rounding.in_units(GIB), False, _ADVISORY_SCHEDULING,
            compute=False, places_by=_MEMORY,
        ),
        System(
            "gpushare-mib", "gpushare scheduler extender, by flag in MiB", "aliyun.com/gpu-mem",
            "1 MiB", "up to whole MiB", rounding.in_units(1), False, _ADVISORY_SCHEDULING,
            compute=False, places_by=_MEMORY,
        ),
        System(
            "hami", "HAMi 2.10", "nvidia.com/gpumem", "MiB × memoryFactor", "up to whole units",
            rounding.by_factor, True,
            "Enforced by HAMi-core for the sum of the container's processes, contexts included.",
            10, traps=(_FACTOR, "never gpumem and gpumem-percentage together",
                       "with neither, the pod takes the whole card alone"), places_by=_BOTH,
        ),
        System(
            "hami-percentage", "HAMi 2.10 by percentage", "nvidia.com/gpumem-percentage",
            "1 % of a card", "the cap is floored: the least percentage that holds it",
            rounding.by_percentage, True,
            "Enforced by HAMi-core for the sum of the container's processes, contexts included.",
            10, traps=("never gpumem and gpumem-percentage together",),
            places_by=_BOTH,
        ),
        System(
            "hami-core", "HAMi-core alone", "CUDA_DEVICE_MEMORY_LIMIT_0", "MiB, binary suffixes",
            "up to whole MiB", rounding.hami_core, True,
            "Enforced by the preloaded library for the container's processes.",
            traps=("0 is no limit", "a library that is not in the container is passed over, and "
                   "nothing is limited", "users report that it counts too much"),
        ),
        System(
            "volcano-vgpu", "Volcano vGPU", "volcano.sh/vgpu-memory", "MB × gpu-memory-factor",
            "up to whole units", rounding.volcano, True,
            "Enforced by HAMi-core where the node's mode is hami-core.",
            traps=(_FACTOR, f"a resource counts to {rounding.VOLCANO_MOST:,} only"),
            places_by=_BOTH,
        ),
        System(
            "volcano-vgpu-percentage", "Volcano vGPU by percentage",
            "volcano.sh/vgpu-memory-percentage", "1 % of a card",
            "the cap is floored: the least percentage that holds it", rounding.by_percentage, True,
            "Enforced by HAMi-core where the node's mode is hami-core.", places_by=_BOTH,
        ),
        System(
            "volcano-gpu-share", "Volcano gpu-share", "volcano.sh/gpu-memory", "MB",
            "up to whole MB", rounding.mib, False, _ADVISORY_SCHEDULING,
            compute=False, places_by=_MEMORY,
        ),
        System(
            "kai", "KAI scheduler", "gpu-memory", "1 % of a card",
            "ceil(100·MiB/card)/100 of a card", rounding.kai_memory, False,
            "Advisory before KAI 0.16.4 or without its plugin; enforced with both.",
            traps=("a step is a hundredth of the card: about 816 MiB on 80 GB",),
            compute=False, places_by=_MEMORY,
        ),
        System(
            "kai-fraction", "KAI scheduler by fraction", "gpu-fraction", "1 % of a card",
            "ceil(100·MiB/card)/100", rounding.kai_fraction, False,
            "Advisory before KAI 0.16.4 or without its plugin; enforced with both.",
            compute=False, places_by=_MEMORY,
        ),
        System(
            "runai", "KAI gpu-fractioning, Run:ai 3.0",
            "nvidia.com/container.server.gpu-memory.limit", "MiB", "up to whole MiB, at least 1",
            rounding.quantity, True, "Enforced by the driver for the container.",
            driver=LIMITS_DRIVER, traps=("needs GPU operator 26.7.1",),
            compute=False, places_by=_MEMORY,
        ),
        System(
            "mps", "CUDA MPS", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "G, M: binary",
            "up to whole MiB", rounding.mps, True, _MPS_ENFORCED, per_process=True,
            traps=(_PIPE, _INVISIBLE, _TOTAL, "NVML books the clients' memory on the server"),
        ),
        System(
            "mps-v3", "CUDA MPS v3", "pinned_memory_limit", "G, M: binary", "up to whole MiB",
            rounding.mps, True, _MPS_ENFORCED, per_process=True, driver=LIMITS_DRIVER,
            traps=(_PIPE, _TOTAL, "a named namespace inherits nothing from its server"),
        ),
        System(
            "device-plugin", "NVIDIA device plugin, MPS", "sharing.mps.resources[].replicas",
            "equal parts of a card", "floor(total/replicas) MiB, floor(100/replicas) % of threads",
            rounding.device_plugin, True, _MPS_ENFORCED, per_process=True, traps=(_ONE_CARD,),
            whole_cards=True,
        ),
        System(
            "device-plugin-time-slicing", "NVIDIA device plugin, time-slicing",
            "sharing.timeSlicing.resources[].replicas", "replicas", "as many as fit",
            rounding.time_slicing, False,
            "Advisory: time-slicing enforces nothing, neither memory nor compute.", compute=False,
        ),
        System(
            "dra-mps", "DRA, NVIDIA driver with MPS", "defaultPinnedDeviceMemoryLimit",
            "a quantity, floored to MiB", "up to whole MiB", rounding.mps_quantity, True,
            _MPS_ENFORCED, per_process=True,
            traps=("MPS not together with dynamic MIG", "the pods of one claim share one GPU"),
        ),
        System(
            "dra-mig", "DRA, NVIDIA driver with MIG", "mig.nvidia.com", "a MIG profile",
            "the driver's smallest profile that holds it", rounding.mig, True,
            "Enforced by the hardware.", 7,
            traps=("MPS not together with dynamic MIG", "how many fit is the profiles' matter"),
            compute=False,
        ),
        System(
            "dra-capacity", "DRA consumable capacity", "capacity.requests.memory", "a quantity",
            "up to whole MiB", rounding.quantity, False,
            "Advisory: capacity is counted, and what enforces it is the class's driver.",
            traps=("Kubernetes 1.34 has it as alpha, on since 1.36",),
            places_by=_BOTH,
        ),
        System(
            "dra-hami", "DRA consumable capacity, HAMi's class", "capacity.requests.memory",
            "1 MiB, 1 %", "up to whole MiB", rounding.quantity, True,
            "Enforced by HAMi-core for the sum of the container's processes.",
            traps=("Kubernetes 1.34 has it as alpha, on since 1.36",),
            places_by=_BOTH,
        ),
        System(
            "driver-limits", "driver limits (CUDA 13.4)", "NVIDIA_GPU_MEMORY_LIMIT", "MiB",
            "up to whole MiB", rounding.mib, True,
            "Enforced by the driver for a cgroup, all device memory.", driver=LIMITS_DRIVER,
            traps=("not on MIG", "container toolkit 1.20.1 or later"), whole_cards=True,
            compute=False,
        ),
        System(
            "ecs", "Amazon ECS", "nvidiaMps.memory", "MiB", "up to whole MiB", rounding.ecs, True,
            _MPS_ENFORCED, per_process=True, traps=("one GPU a container",),
            places_by=_MEMORY,  # a percentage is a cap, and not counted
        ),
        System(
            "gke", "GKE, MPS", "cloud.google.com/gke-max-shared-clients-per-gpu",
            "equal parts of a card", "floor(card/part) clients", rounding.gke, True,
            _MPS_ENFORCED, rounding.GKE_MOST, per_process=True, traps=("one GPU a container",),
        ),
    )
}  # fmt: skip
"""By name."""


def chosen(names: tuple[str, ...]) -> list[System]:
    """The systems of these names, all without any; raises UsageError on a name that is none's."""
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise UsageError(f"no system is called '{unknown[0]}'", fix=f"one of: {', '.join(SYSTEMS)}")
    return [SYSTEMS[name] for name in dict.fromkeys(names)] or list(SYSTEMS.values())
