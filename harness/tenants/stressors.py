"""Stressors: tenants of the harness's own, each of which uses up one resource of the device.

Every tenant is measured beside each of them once, and they beside one another: from that
`harness.tenants.predicting` says what two tenants do to each other that never ran together.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.backends.torch.settings import TorchSettings
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.colocated import OtherModel
from harness.scenario.spec.scenario import Scenario
from harness.tenants.settings import Sharing, Tenant, TenantLoad, device_of

PROGRAMS = "harness.tenants.stress_programs"
MEMORY, COPIES, LAUNCHES = "stress-memory", "stress-copies", "stress-launches"
RESOURCES = {
    "stress-compute": "multiprocessors, or cores",
    MEMORY: "bandwidth of L2 and DRAM, or of host memory",
    COPIES: "copies over PCIe",
    LAUNCHES: "launches of kernels",
}
"""Stressor → the resource that it uses up."""
OF_GPU = (COPIES, LAUNCHES)
"""Those that there is no such resource for on the CPU."""


def stressors(scenario: Scenario) -> list[Tenant]:
    """Those that a scenario's tenants are measured beside; none where it predicts nothing."""
    sharing = scenario.sharing
    if sharing is None or not sharing.predict:
        return []
    gpu = device_of(_spec_of(scenario, sharing)) != "cpu"
    return [_tenant(name) for name in RESOURCES if gpu or name not in OF_GPU]


def _tenant(name: str) -> Tenant:
    program = name.removeprefix("stress-")
    model = OtherModel.model_validate({
        "name": name, "source": {"torch": f"{PROGRAMS}:{program}", "seed": 0},
        "inputs": ({"name": "x", "dtype": "float32", "shape": ("batch", 1)},),
        "parity": {"inputs": 1},
    })  # fmt: skip
    return Tenant(name=name, backend=None, model=model, load=TenantLoad(concurrency=1))


def _spec_of(scenario: Scenario, sharing: Sharing) -> BackendSettings:
    """Of the first tenant, on whose device all are."""
    first = sharing.tenants[0]
    return next(b for b in scenario.backends if first.backend in (None, b.name))


def scenario_beside(scenario: Scenario, sharing: Sharing) -> Scenario:
    """The scenario that a stressor's is made from: PyTorch on the tenants' device."""
    device = device_of(_spec_of(scenario, sharing))
    spec = TorchSettings.model_validate({"kind": "torch", "name": "stressor", "device": device})
    return scenario.model_copy(update={"backends": (spec,), "environments": {}})


def names(found: Sequence[Tenant]) -> list[str]:
    """Of tenants."""
    return [tenant.name for tenant in found]
