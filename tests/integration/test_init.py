"""`harness init` for each kind of source: what it writes is valid, and runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support import watched_triton
from support.tiny_onnx import tiny_onnx
from support.watched_triton import served
from torch import nn

import harness
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.doctor import backends
from harness.errors import UsageError
from harness.init.command import command as init
from harness.system.check import BACKENDS, OK, Check
from harness.triton.client.settings import TritonSettings
from harness.triton.server.process import TritonServer
from harness.validate.command import command as validate

pytestmark = pytest.mark.triton
SHORT = (
    "load={batch_sizes: [1], concurrency: [1]}",
    "measurement={profile: quick, rounds: 1, rounds_max: 1, warmup: 20ms, warmup_requests: 1, "
    "window: 100ms, window_requests: 3, window_max: 3s}",
)
FACTORY = """
from torch import nn
def make(): return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
"""


@pytest.fixture(scope="module", autouse=True)
def looked_once() -> Iterator[None]:
    """The doctor looks at ONNX Runtime and Triton for real, once; torch is imported already."""
    checks = [
        Check(BACKENDS, "torch (cpu)", OK, torch.__version__, runs=True),
        *OnnxRuntimeSettings.checks(gpu=False), *TritonSettings.checks(gpu=False),
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "backend_checks", lambda gpu: checks)
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("init") / "repository"
    with served(watched_triton.write(repository)) as found:
        yield found


def call(command: object, *args: object) -> str:
    result = CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )  # type: ignore[arg-type]
    return result.output


def written(folder: Path, source: object, *options: str, more: Sequence[str] = ()) -> str:
    """Init, validate and a short run; the scenario's text."""
    output = folder / "s.yaml"
    call(init, source, "--yes", "-o", output, *options)
    assert ": fine: " in call(validate, output)
    run = harness.run(output, output=folder / "run", overrides=[*SHORT, *more])
    assert [f.message for f in run.failures] == []
    assert len(run.summary()) >= 1
    return output.read_text()


def test_an_onnx_file(tmp_path: Path) -> None:
    more = ["backends={kind: onnxruntime}"]
    text = written(tmp_path, tiny_onnx(tmp_path / "net.onnx"), more=more)
    for kind in ("onnxruntime", "triton, protocol: http", "triton, protocol: grpc"):
        assert f"- {{kind: {kind}" in text


def test_a_python_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "front_made.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    try:
        text = written(tmp_path, "front_made:make", more=["backends={kind: torch}"])
    finally:
        sys.modules.pop("front_made", None)
    assert "shape: [batch, 6]" in text


@pytest.mark.slow
def test_an_exported_program(tmp_path: Path) -> None:
    axes = ({0: torch.export.Dim("items", max=64)},)
    program = torch.export.export(nn.Linear(4, 2), (torch.zeros(3, 4),), dynamic_shapes=axes)
    torch.export.save(program, tmp_path / "net.pt2")
    text = written(tmp_path, tmp_path / "net.pt2", more=["backends={kind: torch}"])
    assert "shape: [batch, 4]" in text


def test_a_server_that_runs(tmp_path: Path, server: TritonServer) -> None:
    url = f"grpc://{server.grpc}"
    with pytest.raises(UsageError, match="several models: echo, quiet"):
        call(init, url, "--yes", "-o", tmp_path / "s.yaml")
    with pytest.raises(UsageError, match="no model 'eco'; it has echo, quiet"):
        call(init, url, "--yes", "-o", tmp_path / "s.yaml", "--model", "eco")
    text = written(tmp_path, url, "--model", "quiet")
    assert "batch_sizes: [1, 4] # items in one request, at most 4" in text


@pytest.mark.slow
def test_a_repository(tmp_path: Path) -> None:
    repository = watched_triton.write(tmp_path / "models", ["quiet"])
    more = [
        "backends={kind: triton, protocol: grpc, server: {repository: " + f"{repository}" + "}}"
    ]
    text = written(tmp_path, repository, more=more)
    assert "source: {triton: quiet}" in text
