"""What each system adds to a pod: the traps among it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from harness.plan.deployment import Service
from harness.plan.kubernetes import PATCHES, claims, device_plugin_config
from harness.plan.rounding import Rounded
from harness.plan.systems import SYSTEMS

PLAIN, WITH = Rounded("4", 4096, 3), Rounded("4", 4096, 3, 25)


def test_ack_keeps_memory_and_compute_on_nodes_of_their_own() -> None:
    alone, both = PATCHES["ack"](PLAIN), PATCHES["ack"](WITH)
    assert alone.selector == {"ack.node.gpu.schedule": "cgpu"}
    assert both.selector == {"ack.node.gpu.schedule": "core_mem"}
    assert both.limits["aliyun.com/gpu-core.percentage"] == "25"
    assert PATCHES["ack-128mib"](PLAIN).selector == {"ack.node.gpu.schedule": "share"}


@pytest.mark.parametrize("name", ["hami", "hami-percentage"])
def test_hami_has_exactly_one_of_memory_and_percentage(name: str) -> None:
    """With neither, the pod takes the whole card."""
    keys = {"nvidia.com/gpumem", "nvidia.com/gpumem-percentage"}
    assert keys & PATCHES[name](WITH).limits.keys() == {SYSTEMS[name].key}


@pytest.mark.parametrize(("crowded", "policy"), [(None, "binpack"), (4, "spread")])
def test_hami_packs_cards_as_a_plan_counts_them(crowded: int | None, policy: str) -> None:
    """Unless more would come onto one than hold there."""
    found = PATCHES["hami"](Rounded("4", 4096, 3, crowded=crowded))
    assert found.annotations["hami.io/gpu-scheduler-policy"] == policy


def test_schedulers_and_queues() -> None:
    assert PATCHES["volcano-vgpu"](PLAIN).scheduler == "volcano"
    kai = PATCHES["kai"](Rounded("4096", 4147, 3))
    assert (kai.scheduler, dict(kai.annotations)) == ("kai-scheduler", {"gpu-memory": "4096"})
    assert "kai.scheduler/queue" in kai.labels


@pytest.mark.parametrize(
    ("system", "kind"), [("device-plugin", "mps"), ("device-plugin-time-slicing", "timeSlicing")]
)
def test_the_plugins_config(system: str, kind: str) -> None:
    found = cast(Any, device_plugin_config(system, PLAIN))
    assert found["sharing"][kind]["resources"] == [{"name": "nvidia.com/gpu", "replicas": 4}]


def test_claims() -> None:
    service = Service("s", "a/b1/c1", triton=True, replicas=7, replicas_now=4, load=160.0)

    def of(system: str, rounded: Rounded) -> Any:
        return claims(system, rounded, service)("c")

    mps = of("dra-mps", Rounded("10Gi", 10_240, 1, 30))
    assert mps["kind"] == "ResourceClaim"
    sharing = mps["spec"]["devices"]["config"][0]["opaque"]["parameters"]["sharing"]
    assert sharing == {
        "strategy": "MPS",
        "mpsConfig": {
            "defaultPinnedDeviceMemoryLimit": "10Gi", "defaultActiveThreadPercentage": 30,
        },
    }  # fmt: skip
    hami = of("dra-hami", Rounded("979Mi", 979, 1, 30))["spec"]["spec"]["devices"]["requests"][0]
    assert hami["exactly"] == {
        "deviceClassName": "hami-core-gpu.project-hami.io",
        "capacity": {"requests": {"memory": "979Mi", "cores": "30"}},
    }
    assert "quantity('4Gi')" in str(of("dra-mig", Rounded("4Gi", 4096, None)))
