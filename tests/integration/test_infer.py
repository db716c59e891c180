"""`harness infer` through every kind of backend that runs here, and to a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support import watched_triton
from support.tiny_onnx import tiny_onnx
from support.watched_triton import served

from harness.errors import BackendError, ServerError, UsageError
from harness.infer.command import command
from harness.models.onnx_file import cpu_session
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
SCENARIO = """
scenario: infer
model: {name: net, source: {onnx: net.onnx}}
backends:
  - {kind: onnxruntime, name: ort}
  - {kind: triton, name: served, protocol: grpc, serve: onnxruntime, instances: [1, 2]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("infer") / "repository"
    with served(watched_triton.write(repository)) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario, an image, and labels of its ten classes."""
    path = tmp_path_factory.mktemp("scenario")
    tiny_onnx(path / "net.onnx", scale=1.0)
    (path / "s.yaml").write_text(SCENARIO)
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(path / "a.png")
    (path / "labels.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    return path


def call(*args: object) -> str:
    result = CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )
    return result.output


@pytest.mark.parametrize("backend", ["ort", "served"])
def test_an_image_has_the_classes_that_the_runtime_alone_gives(
    folder: Path, tmp_path: Path, backend: str
) -> None:
    text = call(
        folder / "s.yaml", folder / "a.png", "--backend", backend, "--json", "--labels",
        folder / "labels.txt", "-o", tmp_path / "o.npz",
    )  # fmt: skip
    found = json.loads(text)
    with Image.open(folder / "a.png") as image:
        pixels = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR), np.float32) / 255
    given = np.moveaxis(pixels, 2, 0)[None]
    (scores,) = cpu_session(folder / "net.onnx").run(None, {"input": given})
    order = np.argsort(-scores[0])[:5]
    (row,) = found["top"]["output"]
    assert [c["index"] for c in row] == order.tolist()
    assert [c["label"] for c in row] == [f"class {i}" for i in order]
    assert [c["score"] for c in row] == pytest.approx(scores[0][order], rel=1e-4)
    with np.load(tmp_path / "o.npz") as written:
        assert written["output"] == pytest.approx(scores, rel=1e-4)


def test_without_data_a_scenario_sends_its_own(folder: Path) -> None:
    text = call(folder / "s.yaml")
    assert "net by ort: input float32 [1, 3, 16, 16]" in text
    assert "[1, 10]" in text


def test_what_does_not_match_a_scenarios_model_is_said(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no input 'inptu'; did you mean 'input'\?") as caught:
        call(folder / "s.yaml", "--input", "inptu=1")
    assert "input float32 (FP32) [batch, 3, 16, 16]" in str(caught.value.fix)
    with pytest.raises(UsageError, match="no backend 'x'; it has ort, served"):
        call(folder / "s.yaml", "--backend", "x")
    env = ["--set", "environments={e: {python: /usr/bin/python3}}", "--set",
           "backends[0].environment=e"]  # fmt: skip
    with pytest.raises(UsageError, match="runs in the environment 'e'"):
        call(folder / "s.yaml", *env)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_values_to_a_server(server: TritonServer, scheme: str) -> None:
    url = f"{scheme}://{getattr(server, scheme)}"
    found = json.loads(call(url, "--model", "echo", "--input", "x=[[1, 2], [3, 4.5]]", "--json"))
    assert found["outputs"]["y"]["head"] == [1, 2, 3, 4.5]
    assert found["outputs"]["y"]["shape"] == [2, 2]
    assert (found["by"], found["version"], found["top"]) == (url, "1", {})
    with pytest.raises(UsageError, match="several models or none ready: echo, quiet"):
        call(url, "--input", "x=[1, 2]")
    with pytest.raises(ServerError, match="no model 'eco'; did you mean 'echo'"):
        call(url, "--model", "eco", "--input", "x=[1, 2]")
    with pytest.raises(BackendError, match="too low"):
        call(url, "--model", "echo", "--input", "x=[-99, 2]")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "input 'x' is not given"),
        (("--input", "x=[1, 2, 3]"), r"shape \[3\] here, \[batch, 2\] is wanted"),
        (("--input", 'x=["a", "b"]'), r"is string here, float32 \(FP32\) is wanted"),
        (("--input", "x=[[1,2],[1,2],[1,2],[1,2],[1,2]]"), "batch 5 is more than max_batch_size 4"),
        (("--input", "x=[1,2]", "--input", "z=1"), "there is no input 'z'"),
    ],
)
def test_what_does_not_match_is_said_before_anything_is_sent(
    server: TritonServer, args: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        call(f"grpc://{server.grpc}", "--model", "echo", *args)
    assert "'echo' wants x float32 (FP32) [batch, 2]; batches up to 4" in str(caught.value.fix)
