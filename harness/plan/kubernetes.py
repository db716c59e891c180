"""What each system adds to a pod, and the objects beside it: claims, the device plugin's config."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.plan.deployment import CONTAINER, Object, Patch, Service
from harness.plan.rounding import Rounded


def _ack(rounded: Rounded) -> Patch:
    """Memory alone and memory with compute have nodes of their own."""
    if rounded.compute is None:
        return Patch(
            {"aliyun.com/gpu-mem": rounded.written}, selector={"ack.node.gpu.schedule": "cgpu"}
        )
    limits = {
        "aliyun.com/gpu-mem": rounded.written,
        "aliyun.com/gpu-core.percentage": str(rounded.compute),
    }
    return Patch(limits, selector={"ack.node.gpu.schedule": "core_mem"})


def _ack_share(rounded: Rounded) -> Patch:
    return Patch(
        {"aliyun.com/gpu-mem": rounded.written}, selector={"ack.node.gpu.schedule": "share"}
    )


def _gpushare(rounded: Rounded) -> Patch:
    return Patch({"aliyun.com/gpu-mem": rounded.written})


def _hami(key: str) -> Callable[[Rounded], Patch]:
    """Exactly one of gpumem and gpumem-percentage: without either a pod has the whole card. A
    plan counts full cards, so they are packed, but where more would come onto one than hold there.
    """

    def patch(rounded: Rounded) -> Patch:
        limits = {"nvidia.com/gpu": "1", key: rounded.written}
        return Patch(
            limits | _compute("nvidia.com/gpucores", rounded),
            annotations={
                "nvidia.com/vgpu-mode": "hami-core",
                "hami.io/gpu-scheduler-policy": "spread" if rounded.crowded else "binpack",
            },
        )

    return patch


def _compute(key: str, rounded: Rounded) -> dict[str, str]:
    return {} if rounded.compute is None else {key: str(rounded.compute)}


def _volcano(key: str) -> Callable[[Rounded], Patch]:
    def patch(rounded: Rounded) -> Patch:
        limits = {"volcano.sh/vgpu-number": "1", key: rounded.written}
        return Patch(
            limits | _compute("volcano.sh/vgpu-cores", rounded),
            annotations={"volcano.sh/vgpu-mode": "hami-core"}, scheduler="volcano",
        )  # fmt: skip

    return patch


def _volcano_share(rounded: Rounded) -> Patch:
    return Patch({"volcano.sh/gpu-memory": rounded.written}, scheduler="volcano")


QUEUE = {"kai.scheduler/queue": "default-queue"}


def _kai(key: str) -> Callable[[Rounded], Patch]:
    """Annotations are texts: YAML's numbers would be refused."""

    def patch(rounded: Rounded) -> Patch:
        return Patch(annotations={key: rounded.written}, labels=QUEUE, scheduler="kai-scheduler")

    return patch


def _runai(rounded: Rounded) -> Patch:
    key = f"nvidia.com/container.{CONTAINER}"
    annotations = {
        f"{key}.gpu-memory.request": rounded.written, f"{key}.gpu-memory.limit": rounded.written,
        f"{key}.gpu-compute.mode": "time-slicing",
    }  # fmt: skip
    return Patch(annotations=annotations, labels=QUEUE, scheduler="kai-scheduler")


def _part(rounded: Rounded) -> Patch:
    """The plugin shows a card as so many GPUs; one of them is a part."""
    return Patch({"nvidia.com/gpu": "1"})


def _gke(rounded: Rounded) -> Patch:
    selector = {
        "cloud.google.com/gke-gpu-sharing-strategy": "mps",
        "cloud.google.com/gke-max-shared-clients-per-gpu": rounded.written,
    }
    return Patch({"nvidia.com/gpu": "1"}, selector=selector, host_ipc=True)


PATCHES: dict[str, Callable[[Rounded], Patch]] = {
    "ack": _ack, "ack-128mib": _ack_share, "gpushare": _gpushare, "gpushare-mib": _gpushare,
    "hami": _hami("nvidia.com/gpumem"), "hami-percentage": _hami("nvidia.com/gpumem-percentage"),
    "volcano-vgpu": _volcano("volcano.sh/vgpu-memory"),
    "volcano-vgpu-percentage": _volcano("volcano.sh/vgpu-memory-percentage"),
    "volcano-gpu-share": _volcano_share, "kai": _kai("gpu-memory"),
    "kai-fraction": _kai("gpu-fraction"), "runai": _runai, "device-plugin": _part,
    "device-plugin-time-slicing": _part, "gke": _gke,
}  # fmt: skip
"""By system."""


def device_plugin_config(system: str, rounded: Rounded) -> Object:
    """The plugin's own file, not an object of Kubernetes."""
    resources = {"resources": [{"name": "nvidia.com/gpu", "replicas": int(rounded.written)}]}
    kind = "mps" if system == "device-plugin" else "timeSlicing"
    return {"version": "v1", "sharing": {kind: resources}}


def claims(system: str, rounded: Rounded, service: Service) -> Callable[[str], Object]:
    """Makes the claim of a name: with MPS one that several pods share, else a template."""

    def made(name: str) -> Object:
        spec = {"devices": _devices(system, rounded)}
        shared = system == "dra-mps"
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim" if shared else "ResourceClaimTemplate",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": service.name}},
            "spec": spec if shared else {"spec": spec},
        }  # fmt: skip

    return made


def _devices(system: str, rounded: Rounded) -> Mapping[str, object]:
    if system == "dra-mps":
        return {
            "requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}],
            "config": [{"requests": ["gpu"], "opaque": _mps_config(rounded)}],
        }
    exactly: dict[str, object] = {"deviceClassName": "gpu.nvidia.com"}
    if system == "dra-mig":
        least = f"quantity('{rounded.written}')"
        cel = f"device.capacity['gpu.nvidia.com'].memory.compareTo({least}) >= 0"
        exactly = {"deviceClassName": "mig.nvidia.com", "selectors": [{"cel": {"expression": cel}}]}
    else:
        requests: dict[str, str] = {"memory": rounded.written} | _compute("cores", rounded)
        exactly["capacity"] = {"requests": requests}
        if system == "dra-hami":
            exactly["deviceClassName"] = "hami-core-gpu.project-hami.io"
    return {"requests": [{"name": "gpu", "exactly": exactly}]}


def _mps_config(rounded: Rounded) -> Object:
    config: dict[str, object] = {"defaultPinnedDeviceMemoryLimit": rounded.written}
    if rounded.compute is not None:
        config["defaultActiveThreadPercentage"] = rounded.compute
    return {
        "driver": "gpu.nvidia.com",
        "parameters": {
            "apiVersion": "resource.nvidia.com/v1beta1", "kind": "GpuConfig",
            "sharing": {"strategy": "MPS", "mpsConfig": config},
        },
    }  # fmt: skip
