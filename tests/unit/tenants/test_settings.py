"""`sharing` in a scenario: what it refuses, and where it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario

BASE = """scenario: s
model: {name: m, source: {fake: {}}}
backends:
  - {name: one, kind: fake}
"""
GPU = """scenario: s
model:
  name: m
  source: {torch: "m:m"}
  inputs: [{name: x, dtype: float32, shape: [batch, 3]}]
backends:
  - {name: one, kind: torch, device: "cuda:0"}
  - {name: two, kind: torch, device: "cuda:1"}
"""
TWO = "tenants: [{name: a, load: {concurrency: 1}}, {name: b, load: {concurrency: 1}}]"


def read(text: str) -> Scenario:
    return load_text(text, "s.yaml", Path(), ())


@pytest.mark.parametrize(
    ("sharing", "said"),
    [
        ("tenants: [{name: a, load: {concurrency: 1}}]", "one tenant shares with nobody"),
        (f"{TWO}, modes: [dedicated]", "needs one in which tenants are together"),
        (f"{TWO}, modes: [mps]", "CUDA MPS shares a GPU, and the tenants run on the CPU"),
        (f"{TWO}, modes: [{{kind: time_slicing, threads: 50}}]", "goes with `kind: mps`"),
        (f"{TWO}, target: {{tenant: c, latency_p99_ms: 1}}", "no tenant is called 'c'"),
        (f"{TWO}, replicas: {{counts: [2, 3], concurrency: [6, 7]}}",
         "7 callers can't be shared out evenly by 2 or 3 replicas"),
        (f"{TWO}, replicas: {{counts: [2]}}", "needs exactly one of concurrency and request_rate"),
        ("tenants: [{name: a, load: {concurrency: 1}}, {name: a, load: {concurrency: 1}}]",
         "two tenants have the name 'a'"),
        ("tenants: [{name: a, backend: x, load: {concurrency: 1}}, "
         "{name: b, load: {concurrency: 1}}]", "no backend is called 'x'"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_at_its_place(sharing: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(f"{BASE}sharing: {{{sharing}}}\n")
    assert said in str(caught.value)
    assert "s.yaml:5:" in str(caught.value)


def test_tenants_are_on_one_device() -> None:
    tenants = "{name: a, backend: one, load: {concurrency: 1}}, {name: b, backend: two, load: "
    with pytest.raises(ScenarioError, match="these are on cuda:0 and cuda:1"):
        read(f"{GPU}sharing: {{tenants: [{tenants}{{concurrency: 1}}}}]}}\n")


def test_a_gpu_may_have_every_mode_and_the_scenario_reads_back_as_itself() -> None:
    tenants = "{name: a, backend: one, load: {concurrency: 1}}"
    modes = "[time_slicing, mps, {kind: mps, threads: 50, memory: 4GiB}]"
    rest = "target: {latency_p99_ms: 20}"
    found = read(f"{GPU}sharing: {{tenants: [{tenants}], modes: {modes}, {rest}}}\n")
    assert found.sharing is not None
    assert [m.id for m in found.sharing.shared] == ["time_slicing", "mps", "mps-50%-4096MiB"]
    assert found.sharing.shared[2].words == "MPS, 50 % of threads each, 4096 MiB each"
    assert Scenario.model_validate_json(found.model_dump_json()) == found


def test_a_model_without_a_name_has_its_tenants() -> None:
    model = "{name: b, model: {source: {fake: {}}}, load: {concurrency: 1}}"
    found = read(f"{BASE}sharing: {{tenants: [{{name: a, load: {{concurrency: 1}}}}, {model}]}}\n")
    assert found.sharing is not None
    assert found.sharing.tenants[1].model.name == "b"


def test_a_limit_with_a_daemon_of_its_own_and_mps_are_refused() -> None:
    text = GPU.replace('"cuda:0"', '"cuda:0", limits: {gpu_memory: 1GiB}')
    tenants = "{name: a, backend: one, load: {concurrency: 1}}"
    with pytest.raises(ScenarioError, match="give the mode `memory` instead"):
        read(f"{text}sharing: {{tenants: [{tenants}], modes: [mps], "
             "target: {latency_p99_ms: 20}}\n")  # fmt: skip
