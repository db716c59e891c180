"""`serve: tensorrt` in a real Triton without a GPU: what the user is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_onnx import tiny_onnx

from harness.errors import ServerError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import launch
from harness.triton.repository.write import write_model
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = [
    pytest.mark.triton,
    pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU: see tests/gpu"),
]
SPEC = TritonSettings.model_validate({
    "kind": "triton", "protocol": "http", "serve": "tensorrt", "device": "cuda", "name": "t",
})  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> PreparedModel:
    path = str(tiny_onnx(tmp_path / "model.onnx"))
    return PreparedModel(
        name="tiny", source={"onnx": path}, key="k",
        inputs=(TensorSpec("input", "float32", ("batch", 3, 16, 16)),),
        outputs=(TensorSpec("output", "float32", ("batch", 10)),), files={"onnx": path},
    )  # fmt: skip


def one_sentence(error: ServerError) -> bool:
    return "\n" not in error.message and "Traceback" not in error.message


def test_a_server_that_sees_no_gpu(model: PreparedModel, tmp_path: Path) -> None:
    with pytest.raises(
        ServerError, match="for GPU 0, and the server sees these GPUs: none"
    ) as seen:
        launch(SPEC, model, max_batch_size=4, base=tmp_path, log=tmp_path / "log",
               repository=tmp_path / "repository", cache=tmp_path / "cache")  # fmt: skip
    assert one_sentence(seen.value)


def test_an_instance_that_finds_no_driver(model: PreparedModel, tmp_path: Path) -> None:
    """The stub process imports the harness and gets as far as opening the GPU."""
    write_model(tmp_path / "repository", model, SPEC, 4, tmp_path / "cache")
    directory = tmp_path / "repository" / "tiny"
    replace(directory / "config.pbtxt", "  gpus: 0\n  kind: KIND_GPU", "  kind: KIND_CPU")
    replace(directory / "1" / "model.py", 'int(args["model_instance_device_id"]) if on_gpu'
            " else None", "0")  # fmt: skip
    with TritonServer.start(
        find(), tmp_path / "repository", log=tmp_path / "log", prepared=True
    ) as server:
        with pytest.raises(ServerError, match=r"looking for GPUs: cuda|is not installed") as seen:
            server.load("tiny")
        assert one_sentence(seen.value)
    assert not list((directory / "1").glob("loaded-*"))


def replace(path: Path, old: str, new: str) -> Any:
    text = path.read_text()
    assert old in text
    return path.write_text(text.replace(old, new))
