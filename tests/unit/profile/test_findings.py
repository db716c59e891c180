"""Findings on machines whose truth is known: what is named, by how much, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from support.kineto import CEILINGS, Machine
from support.profiled import gpu_profile, gpu_scenario

from harness.backends.registry import parse_spec
from harness.profile.findings import findings_of
from harness.profile.result import BackendProfile, Finding


def found_in(machine: Machine) -> dict[str, Finding]:
    return {f.change: f for f in gpu_profile(machine).findings}


def changed(settings: Mapping[str, object], machine: Machine | None = None) -> dict[str, Finding]:
    """The findings of a backend with other settings."""
    (backend,) = gpu_profile(machine or Machine()).backends
    other = replace(backend, settings={**backend.settings, **settings})
    return {f.change: f for f in findings_of(gpu_scenario(), [other])}


def test_a_launch_bound_model_is_told_to_launch_less() -> None:
    profile = gpu_profile(Machine(launch_us=60.0, noise=0.0))
    found = {f.change: f for f in profile.findings}
    launch = profile.backends[0].batches[0].bound.shares["launch"]
    assert found["compile"].saving == pytest.approx(launch + 0.12, abs=0.02)
    assert found["batch"].saving >= launch * 7 / 8
    assert (found["batch"].to_batch, found["batch"].line) == (8, "load: {batch_sizes: [8]}")
    assert {"tensorrt", "onnxruntime"} <= set(found)
    assert found["tensorrt"].line == "- {kind: tensorrt, precision: fp32}"
    savings = [f.saving for f in profile.findings]
    assert savings == sorted(savings, reverse=True)
    assert [f.number for f in profile.findings] == list(range(1, len(savings) + 1))


def test_lower_precision_saves_by_the_ratio_of_the_ceilings() -> None:
    found = found_in(Machine(noise=0.0))["precision-fp16"]
    assert found.saving == pytest.approx(0.64 * 0.75 + 0.32 / 2, abs=0.01)
    assert "400 TFLOP/s in fp16 against 100 TFLOP/s" in found.derivation
    assert found.settings["precision"] == "fp16"
    assert "precision-bf16" not in found_in(Machine())  # it has no ceiling here
    assert not [k for k in changed({"precision": "fp16"}) if k.startswith("precision")]


def test_copies_can_stay_away() -> None:
    assert found_in(Machine(copy_us=3000.0))["io"].saving == pytest.approx(0.76, abs=0.02)
    assert "io" not in changed({"io": "device"}, Machine(copy_us=3000.0))


def test_channels_last_saves_no_more_than_convolutions_have_above_the_ceiling() -> None:
    found = found_in(Machine(noise=0.0))["channels_last"]
    assert found.saving == pytest.approx(0.64 * (30 - 10) / 30, abs=0.01)
    assert "channels_last" not in changed({"channels_last": True})


def test_graphs_are_for_what_can_have_them() -> None:
    ort = {"kind": "onnxruntime", "provider": "CUDAExecutionProvider", "cuda_graphs": False,
           "compile": None, "channels_last": None, "callers": None}  # fmt: skip
    found = changed(ort, Machine(launch_us=60.0))["cuda_graphs"]
    assert (found.line, found.settings["io"]) == ("cuda_graphs: true, io: device", "device")
    assert "at most all of it" in found.derivation
    assert "cuda_graphs" not in found_in(Machine(launch_us=60.0))


def test_more_threads_where_there_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    (backend,) = gpu_profile(Machine(noise=0.0)).backends
    batch = replace(backend.batches[0], on_gpu=False)
    settings = {**backend.settings, "threads": 1, "device": "cpu"}
    cpu = replace(backend, settings=settings, batches=[batch])
    found = {f.change: f for f in findings_of(gpu_scenario(), [cpu])}
    work = sum(r.share for r in batch.rows if r.source != "kernel")
    assert found["threads"].saving == pytest.approx(work * 3 / 4)
    assert found["threads"].settings["threads"] == 4
    assert "tensorrt" not in found
    full = replace(cpu, settings={**settings, "threads": 4})
    assert "threads" not in {f.change for f in findings_of(gpu_scenario(), [full])}


def test_every_change_is_one_that_a_scenario_can_have() -> None:
    profile = gpu_profile(Machine(launch_us=30.0))
    for found in profile.findings:
        assert 0.02 <= found.saving < 1
        assert found.derivation
        if found.settings:
            spec = parse_spec(found.settings)
            assert spec.name == f"{found.backend}-{found.change}"
        else:
            assert found.to_batch > found.batch


def test_of_several_batch_sizes_the_one_that_gains_most() -> None:
    (slow,), (fast,) = (gpu_profile(Machine(launch_us=us)).backends for us in (60.0, 4.0))
    larger = replace(fast.batches[0], batch=32)
    both = BackendProfile(slow.name, slow.settings, [*slow.batches, larger], CEILINGS)
    found = {f.change: f for f in findings_of(gpu_scenario(), [both])}
    assert (found["compile"].batch, found["channels_last"].batch) == (1, 32)


def test_nothing_is_found_where_nothing_was_profiled() -> None:
    (backend,) = gpu_profile(Machine()).backends
    assert findings_of(gpu_scenario(), [replace(backend, batches=())]) == []
    unknown = {f.change for f in findings_of(gpu_scenario(), [replace(backend, ceilings=None)])}
    assert not unknown & {"precision-fp16", "channels_last"}
