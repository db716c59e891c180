"""Stressors: tenants of the harness's own, each of which uses up one resource of the device.

Every tenant is measured beside each of them once, and they beside one another: from that
`harness.tenants.predicting` says what two tenants do to each other that never ran together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.backends.torch.settings import TorchSettings
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.colocated import OtherModel
from harness.scenario.spec.scenario import Scenario
from harness.tenants.settings import Sharing, Tenant, TenantLoad, device_of

PROGRAMS = "harness.tenants.stress_programs"
MEMORY, LAUNCHES = "stress-memory", "stress-launches"
COPIES = ("stress-copies-in", "stress-copies-out")
"""PCIe goes both ways at once, and a GPU has copy engines for each: two resources."""
BOTH_WAYS = "stress-copies"
"""What runs had before, in place of the two."""
RESOURCES = {
    "stress-compute": "multiprocessors, or cores",
    MEMORY: "bandwidth of L2 and DRAM, or of host memory",
    COPIES[0]: "copies to the device",
    COPIES[1]: "copies from the device",
    LAUNCHES: "launches of kernels",
}
"""Stressor → the resource that it uses up."""
OF_GPU = (*COPIES, LAUNCHES)
"""Those that there is no such resource for on the CPU."""


def stressors(scenario: Scenario) -> list[Tenant]:
    """Those that a scenario's tenants are measured beside; none where it predicts nothing."""
    sharing = scenario.sharing
    if sharing is None or not sharing.predict:
        return []
    gpu = device_of(_spec_of(scenario, sharing)) != "cpu"
    return [_tenant(name) for name in RESOURCES if gpu or name not in OF_GPU]


def stressors_of(scenario: Scenario, points: Iterable[str]) -> list[Tenant]:
    """Those that a run's tenants were measured beside, whose rows have these names."""
    made = stressors(scenario)
    seats = {seat for point in points for seat in re.split("[/+]", point)}
    if not made or f"{BOTH_WAYS}@c1" not in seats or f"{COPIES[0]}@c1" in seats:
        return made
    compute, memory, *_, launches = made
    return [compute, memory, _tenant(BOTH_WAYS), launches]


def of_copies(found: Sequence[str]) -> list[str]:
    """The stressors of copies, of names."""
    return [name for name in found if name in (*COPIES, BOTH_WAYS)]


def resource(name: str) -> str:
    """That a stressor uses up."""
    return RESOURCES.get(name, "copies both ways")


def _tenant(name: str) -> Tenant:
    program = name.removeprefix("stress-").replace("-", "_")
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
