"""Configurations for full server images, read back by Triton's own message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from harness.models.cache import fetch
from harness.models.tensors import PreparedModel, TensorSpec
from harness.triton.client.settings import TritonSettings
from harness.triton.repository.native import make_native_config, place, write_native
from harness.triton.repository.write import make_config

MODEL = PreparedModel(
    name="net", source={"onnx": "m"}, key="k",
    inputs=(TensorSpec("x", "float16", ("batch", 3)), TensorSpec("flat", "int32", ("batch",))),
    outputs=(TensorSpec("y", "float32", ("batch", "n")),), files={"onnx": "m"},
)  # fmt: skip


def spec(**settings: Any) -> TritonSettings:
    return TritonSettings.model_validate(
        {"kind": "triton", "protocol": "http", "device": "cuda", "name": "t", **settings}
    )


def read(path: Path) -> Any:
    return text_format.Parse(path.read_text(), ModelConfig())


@pytest.mark.parametrize(
    ("serve", "platform", "file"),
    [
        ("onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ("tensorrt", "tensorrt_plan", "model.plan"),
    ],
)
def test_the_directory_is_complete_and_reads_back(
    tmp_path: Path, serve: str, platform: str, file: str
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"model")
    settings = spec(serve=serve, instances=2, dynamic_batching=True)
    name = write_native(tmp_path, MODEL, settings, 16, name="other", file=source)
    assert name == "other"
    config = read(tmp_path / "other" / "config.pbtxt")
    assert (config.name, config.platform, config.backend) == ("other", platform, "")
    assert config.max_batch_size == 16
    assert config.HasField("dynamic_batching")
    (group,) = config.instance_group
    assert (group.count, group.kind, list(group.gpus)) == (2, ModelInstanceGroup.KIND_GPU, [0])
    assert (tmp_path / "other" / "1" / file).read_bytes() == b"model"


def test_tensors_are_those_of_the_python_backend() -> None:
    native = make_native_config(MODEL, spec(serve="onnxruntime"), 8)
    python = make_config(MODEL, spec(serve="onnxruntime"), 8)
    assert list(native.input) == list(python.input)
    assert list(native.output) == list(python.output)
    assert list(native.input[1].dims) == [1]


def test_settings_that_native_backends_have() -> None:
    config = make_native_config(MODEL, spec(serve="onnxruntime", threads=3), 8)
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    assert not config.optimization.cuda.graphs
    config = make_native_config(MODEL, spec(serve="tensorrt", cuda_graphs=True), 8)
    assert config.optimization.cuda.graphs


def test_weights_colocated_the_file_come_along_under_the_name_that_it_knows(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    assert place(tmp_path / "model.onnx", tmp_path / "1" / "model.onnx") == 12
    assert (tmp_path / "1" / "model.onnx.data").read_bytes() == b"weights"


def test_weights_of_any_name_come_along_from_the_cache_and_nothing_else(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "weights").mkdir()
        for name in ("model.onnx", "big.bin", "weights/more.bin"):
            (folder / name).write_bytes(name.encode())
        return {}

    entry = fetch(tmp_path / "entry", build)
    target = tmp_path / "1" / "model.onnx"
    assert place(entry.path / "model.onnx", target) == entry.bytes
    copied = {str(f.relative_to(target.parent)) for f in target.parent.rglob("*") if f.is_file()}
    assert copied == set(entry.files)
    assert (target.parent / "weights" / "more.bin").read_bytes() == b"weights/more.bin"


def test_what_lies_colocated_an_engine_stays_there(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "model.engine").write_bytes(b"engine")
        (folder / "build.log").write_text("log")
        return {}

    entry = fetch(tmp_path / "entry", build)
    assert place(entry.path / "model.engine", tmp_path / "1" / "model.plan") == len(b"engine")
    assert [f.name for f in (tmp_path / "1").iterdir()] == ["model.plan"]
