"""Real profiles of small models, made once for all tests that read one."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import numpy as np
from support.kineto import CEILINGS, WORK, Machine, events_of
from support.sample import MODELS

from harness.inspect.trace import kineto
from harness.profile.analyse import Recorded, analyse
from harness.profile.execute import start
from harness.profile.findings import findings_of
from harness.profile.result import BackendProfile, Profile
from harness.profile.split import Roof
from harness.scenario.reading.loader import load, load_text
from harness.scenario.spec.scenario import Scenario

SCENARIO = """
scenario: small
description: A perceptron of two layers
model:
  name: m
  source: {torch: "sample_models:mlp", seed: 0}
  inputs: [{name: x, dtype: float32, shape: [batch, 8]}]
backends: [{kind: torch, threads: 1}, {kind: triton, protocol: http, serve: torch}]
load: {batch_sizes: [1, 64], concurrency: [1]}
"""
GPU_SCENARIO = """
scenario: made-up
model:
  name: m
  source: {torch: "sample_models:mlp", seed: 0}
  inputs: [{name: x, dtype: float32, shape: [batch, 8]}]
backends: [{kind: torch, device: cuda}]
load: {batch_sizes: [1], concurrency: [1]}
"""


def write_scenario(folder: Path, text: str = SCENARIO) -> Path:
    """The scenario beside its models."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sample_models.py").write_text((MODELS / "sample_models.py").read_text())
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def real_profile(folder: Path) -> Path:
    """PyTorch on the CPU, profiled in a worker of its own; the directory."""
    with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder / "cache")}):
        return start(load(write_scenario(folder / "scenario")), folder / "profile", lambda _: None)


def gpu_scenario() -> Scenario:
    """One with PyTorch on a GPU."""
    return load_text(GPU_SCENARIO)


def gpu_profile(machine: Machine, *, requests: int = 10) -> Profile:
    """A profile of a GPU that never was, with its findings."""
    scenario = gpu_scenario()
    settings = scenario.backends[0].model_dump(mode="json")
    trace = kineto(events_of(machine, requests, np.random.default_rng(5)))
    wall_ms = sum(r.us for r in trace.requests) / requests / 1e3  # recording costs it nothing
    calls = [9 * wall_ms, 1.4 * wall_ms, 1.01 * wall_ms, 0.99 * wall_ms]
    said = Recorded(1, trace, "torch", WORK, calls, first_calls=2)
    batch = analyse(said, Roof.of(CEILINGS, "fp32"))
    backends = [BackendProfile(scenario.backends[0].name, settings, [batch], CEILINGS, 2, 1.0)]
    return Profile(1, "made-up", "m", backends, findings_of(scenario, backends))
