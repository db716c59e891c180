"""Backends under limits of memory: one that is enough is recorded, one that is not is named."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.tiny_onnx import tiny_onnx

from harness.results.rows import LoadedRow
from harness.results.store import read_run

pytestmark = pytest.mark.triton
SCENARIO = """
scenario: limited
model: {name: tiny, source: {onnx: tiny.onnx}}
backends:
  - {kind: onnxruntime, name: enough, limits: {host_memory: 1GiB}}
  - {kind: onnxruntime, name: little, limits: {host_memory: 20MiB}}
  - {kind: triton, protocol: grpc, serve: onnxruntime, name: served, limits: {host_memory: 2GiB}}
  - {kind: triton, protocol: grpc, serve: onnxruntime, name: starved, limits: {host_memory: 20MiB}}
load: {concurrency: [1]}
measurement: {profile: quick, rounds: 1, warmup: 20ms, warmup_requests: 2, window: 100ms,
              window_requests: 5, load_timeout: 60s}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limited")
    tiny_onnx(folder / "tiny.onnx")
    (folder / "s.yaml").write_text(SCENARIO)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "s.yaml", "-o", "run", "-q", "--no-report"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (folder / "run" / "journal.jsonl").exists(), done.stderr
    return read_run(folder / "run")


def test_what_is_enough_is_measured_and_recorded_with_its_control(run):
    assert {row.backend for row in run.measurements} == {"enough", "served"}
    for row in run.rows(LoadedRow):
        facts = row.details["limits"]["host_memory"]
        assert facts["mib"] == {"enough": 1024, "served": 2048, "little": 20}[row.backend]
        assert facts["how"] in ("cgroup v1", "cgroup v2", "RLIMIT_DATA")
        assert str(facts["mib"] + 64) in facts["control"]


def test_what_is_too_little_is_named_with_its_limit(run):
    found = {failure.backend: failure for failure in run.failures}
    assert set(found) == {"little", "starved"}
    limits = {f["host_memory"]["how"] for f in (r.details["limits"] for r in run.rows(LoadedRow))}
    if limits <= {"cgroup v1", "cgroup v2"}:
        assert {failure.reason for failure in run.failures} == {"out_of_memory"}
        assert "at the limit of 20 MiB of host memory" in found["little"].message
        assert "at the limit of 20 MiB of host memory" in found["starved"].message


def test_a_limit_is_refused_where_it_could_not_hold(run_cli, tmp_path):
    tiny_onnx(tmp_path / "tiny.onnx")
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("name: served,", "name: served, server: {url: 'h:1'},"))
    done = run_cli("validate", path)
    assert done.returncode == 2
    assert "only a server that the harness starts itself can be limited" in done.stderr
    path.write_text(SCENARIO.replace("host_memory: 1GiB", "gpu_memory: 2GiB"))
    done = run_cli("validate", path)
    assert done.returncode == 2
    assert (
        "a limit of GPU memory needs a GPU; write `provider: CUDAExecutionProvider`" in done.stderr
    )
