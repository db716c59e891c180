"""The lanes of a host: which GPU, which processors and which environment each has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from harness.errors import DeviceError, UsageError
from harness.fleet.sources import spans
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.system.machine import ROOT, GpuFacts, core_of, listed

ALL = "all"
LOST = ("GPU_IS_LOST", "NOT_FOUND", "RESET_REQUIRED")
"""What NVML says of a GPU that has fallen off the bus, or can't be used until it is reset."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
_FIX = "give cuda:0,cuda:1 (or cuda:0,1), all, or cpus:2 for lanes without a GPU"


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the shards that are measured side by side on a host."""

    number: int
    device: str
    """`cuda:1`, or `cpu 0-3`."""
    cpus: tuple[int, ...]
    uuid: str = ""
    """Of its GPU; empty without one."""
    visible: str = ""
    """Its CUDA_VISIBLE_DEVICES."""

    @property
    def env(self) -> dict[str, str]:
        """What its processes have in their environment beyond ours."""
        return {VISIBLE: self.visible} if self.visible else {}

    def to_json(self) -> dict[str, object]:
        """For the manifest."""
        return {"device": self.device, "cpus": list(self.cpus), "gpu": self.uuid or None}


def cpu_lanes(count: int, scenario: Scenario, usable: Sequence[Collection[int]]) -> list[Lane]:
    """Lanes without a GPU, each with its share of the `usable` cores."""
    if devices := _devices(scenario):
        raise UsageError(
            f"--devices cpus:{count}: the scenario has a backend on {devices[0]}", fix=_FIX
        )
    if not 0 < count <= len(usable):  # before a list of so many is made
        raise UsageError(f"{len(usable)} cores can't be dealt out to {count} lanes",
                         fix=f"give cpus:1 to cpus:{len(usable)}")  # fmt: skip
    dealt = deal([set()] * count, usable)
    return [Lane(n, f"cpu {spans(cpus)}", cpus) for n, cpus in enumerate(dealt)]


def gpu_lanes(
    numbers: Sequence[int], gpus: Sequence[GpuFacts], scenario: Scenario,
    near_cpus: Sequence[set[int]], usable: Sequence[Collection[int]],
) -> list[Lane]:  # fmt: skip
    """A lane for each of the GPUs that CUDA numbers so, on processors near it.

    In its lane a GPU stands where the scenario names one: as cuda:0 for `cuda`, as cuda:1 for
    `cuda:1`. Raises UsageError where no GPU can.
    """
    place = place_in(scenario)
    dealt = deal([near_cpus[n] for n in numbers], usable)
    uuids = [str(g["uuid"]) for g in gpus]
    lanes = []
    for lane, (number, cpus) in enumerate(zip(numbers, dealt, strict=True)):
        others = [u for u in uuids if u != uuids[number]]
        if place > len(others):
            raise UsageError(f"the scenario names cuda:{place}, and there are {len(gpus)} GPUs",
                             fix="write `device: cuda`")  # fmt: skip
        shown = ",".join([*others[:place], uuids[number]])
        lanes.append(Lane(lane, f"cuda:{number}", cpus, uuids[number], shown))
    return lanes


def numbers_in(text: str) -> list[int] | None:
    """The numbers of `cuda:0,cuda:2` or `cuda:0,2`; None of `all`. Raises UsageError."""
    if text.strip() == ALL:
        return None
    words = [word.strip().removeprefix("cuda:") for word in text.split(",")]
    if not text.strip().startswith("cuda:") or not all(w.isdecimal() for w in words):
        raise UsageError(f"--devices: '{text}' names no devices", fix=_FIX)
    return [int(word) for word in words]


def chosen(text: str, gpus: Sequence[GpuFacts]) -> list[int]:
    """The numbers that `all`, `cuda:0,cuda:2` or `cuda:0,2` names. Raises UsageError."""
    if (numbers := numbers_in(text)) is None:
        return list(range(len(gpus)))
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--devices: '{text}' names a GPU twice", fix="name each once")
    if (last := max(numbers)) >= len(gpus):
        there = ", ".join(f"cuda:{n}" for n in range(len(gpus)))
        raise DeviceError(f"--devices: there is no cuda:{last} here", fix=f"there are: {there}")
    return numbers


def _devices(scenario: Scenario) -> list[str]:
    """The devices that the scenario names and that are no CPU."""
    specs: Iterable[AnyBackend] = scenario.backends
    named = [getattr(spec, "device", None) or "cuda" for spec in specs if spec.on_gpu]
    for spec in scenario.backends:
        if isinstance(spec, ServedSettings):
            named += [other.device for other in spec.colocated if other.device]
    return list(dict.fromkeys(d for d in named if d != "cpu"))


def check_servers(scenario: Scenario) -> None:
    """Raise UsageError where the lanes would share a server."""
    for spec in scenario.backends:
        if isinstance(spec, ServedSettings) and (spec.server.docker or spec.server.url):
            raise UsageError(
                f"the server of {spec.name} does not run in the lane that measures it, so lanes "
                "would share it", fix="measure it without --devices, or let the harness start it",
            )  # fmt: skip


def place_in(scenario: Scenario) -> int:
    """The N of the one `cuda:N` that the scenario runs on. Raises UsageError where a lane can't
    have what it asks for.
    """
    devices = _devices(scenario)
    if not devices:
        raise UsageError("the scenario has no backend on a GPU", fix="give --devices cpus:N")
    places = {0 if d == "cuda" else _number(d) for d in devices}
    if len(places) > 1:
        raise UsageError(f"a lane has one GPU, and the scenario names {', '.join(devices)}",
                         fix="write `device: cuda` at each backend")  # fmt: skip
    return places.pop()


def _number(device: str) -> int:
    number = device.partition(":")[2]
    if not number.isdecimal():
        raise UsageError(f"the scenario names the GPU {device}, which only one lane can have",
                         fix="write `device: cuda`")  # fmt: skip
    return int(number)


# ------------------------------------------------------------------------------------- processors


def deal(near_each: Sequence[set[int]], usable: Sequence[Collection[int]]) -> list[tuple[int, ...]]:
    """Processors for each lane: as many of the `usable` cores as every other has, and of those near
    it where near ones don't overlap and suffice. A core is never in two lanes; some may be in none.
    Raises UsageError: too few.
    """
    every = frozenset(cpu for core in usable for cpu in core)
    wanted = [frozenset(n & every) or every for n in near_each]
    groups = {w: [i for i, of in enumerate(wanted) if of == w] for w in wanted}
    apart = sum(len(w) for w in groups) == len(frozenset().union(*groups))
    if not apart or any(len(_within(usable, w)) < len(of) for w, of in groups.items()):
        groups = {every: list(range(len(wanted)))}  # near ones overlap, or don't suffice
    each = min(len(_within(usable, w)) // len(of) for w, of in groups.items())
    if not each:
        raise UsageError(
            f"{len(usable)} cores can't be dealt out to {len(near_each)} lanes",
            fix="ask for fewer devices",
        )
    dealt: dict[int, tuple[int, ...]] = {}
    for near_these, lanes in groups.items():
        mine = _within(usable, near_these)
        for n, lane in enumerate(lanes):
            part = mine[n * each : (n + 1) * each]
            dealt[lane] = tuple(sorted(cpu for core in part for cpu in core))
    return [dealt[i] for i in range(len(wanted))]


def _within(cores_: Sequence[Collection[int]], cpus: frozenset[int]) -> list[Collection[int]]:
    return [core for core in cores_ if set(core) <= cpus]


def cores(usable: Iterable[int], root: Path = ROOT) -> list[tuple[int, ...]]:
    """The usable processors by core: those of one share its units, so they stay together."""
    found: dict[frozenset[int], list[int]] = {}
    for cpu in sorted(usable):
        found.setdefault(core_of(cpu, root), []).append(cpu)
    return [tuple(cpus) for cpus in found.values()]


def near(uuid: str | None, root: Path = ROOT, nvml: ModuleType | None = None) -> set[int]:
    """The processors of the NUMA node that a GPU hangs on; empty where nothing says so."""
    try:
        found = nvml or _nvml()
        found.nvmlInit()
        bus = found.nvmlDeviceGetPciInfo(found.nvmlDeviceGetHandleByUUID(uuid)).busId
    except Exception:  # no library, no driver, or a GPU that has gone
        return set()
    domain, _, rest = (bus.decode() if isinstance(bus, bytes) else str(bus)).lower().partition(":")
    return set(listed(root / f"sys/bus/pci/devices/{domain[-4:]}:{rest}/local_cpulist"))


def gone(uuid: str, nvml: ModuleType | None = None) -> str:
    """Why a GPU no longer answers; empty where it does, or nobody can say."""
    try:
        found = nvml or _nvml()
        found.nvmlInit()
    except Exception:  # no library or no driver
        return ""
    try:
        found.nvmlDeviceGetMemoryInfo(found.nvmlDeviceGetHandleByUUID(uuid))
    except found.NVMLError as error:
        lost = {getattr(found, f"NVML_ERROR_{n}", None) for n in LOST}
        return str(error) if getattr(error, "value", None) in lost else ""
    return ""


def _nvml() -> ModuleType:
    import pynvml

    module: ModuleType = pynvml
    return module
