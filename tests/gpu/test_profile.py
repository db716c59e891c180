"""`harness profile` on a GPU: kernels, launches, ceilings and TensorRT's layers for real."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu
torch = pytest.importorskip("torch")

from harness.profile.execute import start  # noqa: E402
from harness.profile.result import BatchProfile  # noqa: E402
from harness.profile.store import read_profile  # noqa: E402
from harness.scenario.reading.loader import load  # noqa: E402

SCENARIO = """
scenario: profile
model:
  name: resnet50
  source: {{torch: "harness.models.resnet:resnet50", seed: 0}}
  inputs: [{{name: input, dtype: float32, shape: [batch, 3, 224, 224]}}]
backends: [{backend}]
load: {{batch_sizes: {batches}, concurrency: [1]}}
measurement: {{load_timeout: 600s}}
"""


def profiled(folder: Path, backend: str, batches: list[int]) -> list[BatchProfile]:
    scenario = folder / "s.yaml"
    scenario.write_text(SCENARIO.format(backend=backend, batches=batches))
    (found,) = read_profile(start(load(scenario), folder / "out", print)).backends
    assert found.failure == ""
    assert found.ceilings is not None
    assert found.ceilings.gemm["fp16"] > found.ceilings.gemm["fp32"] > 1e12
    return list(found.batches)


def test_eager_pytorch_waits_for_its_host_at_batch_1_and_not_at_128(tmp_path: Path) -> None:
    small, large = profiled(tmp_path, "{kind: torch, device: cuda, precision: fp16}", [1, 128])
    assert small.bound.kind == "launch-bound"
    assert large.bound.shares["launch"] < 0.2
    for batch in (small, large):
        assert batch.gpu is not None
        assert 100 < batch.gpu.kernels < 1000
        assert batch.flop == pytest.approx(batch.batch * 8.18e9, rel=0.05)
        assert any("conv2d" in r.name and r.us > 0 for r in batch.rows)
        assert batch.peak_bytes > 0


def test_tensorrt_tells_its_layers(tmp_path: Path) -> None:
    (batch,) = profiled(tmp_path, "{kind: tensorrt, precision: fp16}", [8])
    assert batch.layers
    assert {r.source for r in batch.layers} == {"tensorrt"}
    assert sum(r.us for r in batch.layers) > 0
