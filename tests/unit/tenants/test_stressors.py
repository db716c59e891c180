from __future__ import annotations

import importlib

import pytest
from pydantic import ValidationError
from support.shared import scenario
from torch import nn

from harness.tenants.seating import scenario_of
from harness.tenants.stressors import (
    RESOURCES,
    names,
    of_copies,
    resource,
    scenario_beside,
    stressors,
    stressors_of,
)


def test_a_gpu_has_one_for_each_resource_and_the_cpu_no_copies_or_launches() -> None:
    assert stressors(scenario()) == []
    assert names(stressors(scenario(gpu=True, predict=True))) == list(RESOURCES)
    cpu = names(stressors(scenario(predict=True)))
    assert cpu == ["stress-compute", "stress-memory"]


def test_an_earlier_run_had_one_stressor_for_copies_both_ways() -> None:
    found = scenario(gpu=True, predict=True)
    now = ["mps/a@c2", "mps/a@c2+stress-copies-in@c1/a"]
    before = ["mps/a@c2", "mps/a@c2+stress-copies@c1/a"]
    assert names(stressors_of(found, now)) == names(stressors_of(found, [])) == list(RESOURCES)
    assert names(stressors_of(found, before)) == [
        "stress-compute", "stress-memory", "stress-copies", "stress-launches",
    ]  # fmt: skip
    assert names(stressors_of(found, [*before, *now])) == list(RESOURCES)
    assert stressors_of(scenario(), before) == []
    assert of_copies(list(RESOURCES)) == ["stress-copies-in", "stress-copies-out"]
    assert resource("stress-copies") == "copies both ways"


def test_each_runs_the_program_of_its_name() -> None:
    for tenant in stressors(scenario(gpu=True, predict=True)):
        assert tenant.model is not None
        module, name = tenant.model.source.torch.split(":")
        assert isinstance(getattr(importlib.import_module(module), name)(), nn.Module)


def test_they_run_in_pytorch_on_the_tenants_device() -> None:
    found = scenario(gpu=True, predict=True)
    assert found.sharing is not None
    (first, *_) = stressors(found)
    own = scenario_of(scenario_beside(found, found.sharing), first)
    (spec,) = own.backends
    assert (spec.kind, getattr(spec, "device", "")) == ("torch", "cuda")
    assert own.model.name == "stress-compute"
    cpu = scenario(predict=True)
    assert cpu.sharing is not None
    (spec,) = scenario_beside(cpu, cpu.sharing).backends
    assert getattr(spec, "device", "") == "cpu"


def test_their_names_are_no_tenants() -> None:
    tenants = ({"name": "stress-memory", "load": {"concurrency": 2}},
               {"name": "b", "load": {"concurrency": 1}})  # fmt: skip
    assert scenario(tenants=tenants).sharing is not None
    with pytest.raises(ValidationError, match="names that begin with stress-"):
        scenario(tenants=tenants, predict=True)
