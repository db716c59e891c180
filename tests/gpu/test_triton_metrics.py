"""A Triton with a GPU: its own metrics against NVML's, and the memory that an empty one holds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.errors import ServerError
from harness.results.rows import ServerOnlyRow
from harness.results.store import RunData, read_run
from harness.triton.server.install import find

pytestmark = [pytest.mark.gpu, pytest.mark.triton]

try:
    find()
except ServerError as missing:
    pytest.skip(f"{missing.message}", allow_module_level=True)

CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 16 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 16 ] }
instance_group { count: 1 kind: KIND_CPU }
"""
MODEL = """
import torch
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        self.w = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    def execute(self, requests):
        out = []
        for r in requests:
            y = self.w
            for _ in range(4):
                y = y @ self.w
            torch.cuda.synchronize()
            out.append(pb.InferenceResponse([pb.Tensor("y",
                pb.get_input_tensor_by_name(r, "x").as_numpy())]))
        return out
"""
SCENARIO = """
scenario: metrics
model: {{name: busy, source: {{triton: busy}}, inputs: [{{name: x, shape: [batch, 16]}}]}}
backends: [{{kind: triton, protocol: http, name: t, server: {{repository: {repository}}}}}]
load: {{batch_sizes: [1], concurrency: [2]}}
measurement: {{profile: quick, rounds: 1, rounds_max: 1, warmup: 1s, window: 8s,
              window_requests: 20, window_max: 9s}}
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "repository/busy/1").mkdir(parents=True)
    (folder / "repository/busy/config.pbtxt").write_text(CONFIG)
    (folder / "repository/busy/1/model.py").write_text(MODEL)
    (folder / "s.yaml").write_text(SCENARIO.format(repository=folder / "repository"))
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "s.yaml", "--output", "run"], cwd=folder,
        text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    found = read_run(folder / "run")
    assert len(found.measurements) == 1, done.stderr
    return found


def test_tritons_energy_and_utilisation_are_those_of_nvml(measured: RunData) -> None:
    (row,) = measured.measurements
    gpus = row.details["metrics"]["gpus"]
    assert row.gpu_energy_j is not None
    assert row.gpu_utilization_percent is not None
    ours = max(gpus.values(), key=lambda gpu: gpu.get("energy_j", 0.0))
    assert ours["energy_j"] == pytest.approx(row.gpu_energy_j, rel=0.08)  # 250 ms of 8 s, twice
    assert ours["utilization_percent"] == pytest.approx(row.gpu_utilization_percent, abs=15)
    expected = row.details["joules_per_inference"] * len(gpus)
    assert row.details["metrics"]["joules_per_inference"] < 1.15 * expected
    assert "metrics_disagree" not in row.flags


def test_the_servers_own_memory_counts(measured: RunData) -> None:
    (empty,) = measured.rows(ServerOnlyRow)
    (loaded,) = measured.loads
    assert empty.gpu_memory_mib is not None
    assert loaded.gpu_memory_mib is not None
    weights = 8192 * 8192 * 2 / 2**20
    assert 0 < empty.gpu_memory_mib < loaded.gpu_memory_mib - weights
    stages = loaded.details["gpu_stages"]
    assert stages["context"]["held_mib"] == pytest.approx(empty.gpu_memory_mib, rel=0.05)
    assert stages["weights"]["held_mib"] > stages["context"]["held_mib"] + weights
