"""The model repository: its checked-in configurations, and what fills them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from support.paths import ROOT
from support.tiny_onnx import tiny_onnx
from tritonclient.grpc.model_config_pb2 import ModelConfig

from harness.backends.base import LoadCost
from harness.backends.tensorrt.backend import TensorRtBackend
from harness.errors import MissingPackageError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.scenario.reading.loader import load
from harness.triton.repository.able import split_models
from harness.validate.repository import PRECISION, fill, variant_config


def read(path: Path) -> Any:
    return text_format.Parse(path.read_text(), ModelConfig())


@pytest.fixture
def model(tmp_path: Path) -> PreparedModel:
    path = str(tiny_onnx(tmp_path / "cache" / "model.onnx"))
    return PreparedModel(
        name="tiny", source={"onnx": path}, key="k",
        inputs=(TensorSpec("input", "float32", ("batch", 3, 16, 16)),),
        outputs=(TensorSpec("output", "float32", ("batch", 10)),), files={"onnx": path},
        max_batch_size=8,
    )  # fmt: skip


@pytest.fixture
def no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: TensorRtBackend) -> LoadCost:
        raise MissingPackageError("tensorrt is not installed", fix="install it")

    monkeypatch.setattr(TensorRtBackend, "load", load)


@pytest.mark.parametrize("variant", PRECISION)
def test_the_checked_in_configurations_are_what_would_be_written(variant: str) -> None:
    scenario = load(ROOT / "scenarios" / "resnet50-gpu.yaml").scenario
    model = PreparedModel(
        name=scenario.model.name, source={"torch": "x"}, key="k",
        inputs=tuple(TensorSpec(i.name, i.dtype, i.shape) for i in scenario.model.inputs),
        outputs=(TensorSpec("output", "float32", ("batch", 1000)),), files={"onnx": "model.onnx"},
    )  # fmt: skip
    expected = variant_config(model, variant, max(scenario.load.batch_sizes))
    there = read(ROOT / "model_repository" / f"{model.name}_{variant}" / "config.pbtxt")
    assert there == expected


def test_batching_is_asked_for_only_where_the_model_can_have_it(
    tmp_path: Path, model: PreparedModel, no_tensorrt: None
) -> None:
    for name in ("tiny_python", "tiny_onnxruntime"):
        config = variant_config(model, name.removeprefix("tiny_"), 8)
        assert (config.max_batch_size, config.HasField("dynamic_batching")) == (8, True)
    fixed = tiny_onnx(tmp_path / "fixed.onnx", batch=4)
    pooled = replace(model, outputs=(TensorSpec("output", "float32", (10,)),))
    for odd, sizes in (
        (replace(model, files={"onnx": str(fixed)}), [[4, 3, 16, 16], [4, 10]]),
        (pooled, [[-1, 3, 16, 16], [10]]),
    ):
        repository = tmp_path / str(sizes[1][0])
        fill(repository, odd, tmp_path / "cache")
        for name in ("tiny_python", "tiny_onnxruntime"):
            config = read(repository / name / "config.pbtxt")
            assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
            assert [[*t.dims] for t in (*config.input, *config.output)] == sizes


def test_a_quantized_model_is_called_so(model: PreparedModel) -> None:
    config = variant_config(replace(model, precision="int8"), "python", 8)
    assert config.parameters["precision"].string_value == "int8"


def test_files_land_where_triton_looks_and_what_is_missing_has_a_reason(
    tmp_path: Path, model: PreparedModel, no_tensorrt: None
) -> None:
    repository = tmp_path / "repository"
    rows = {row.name: row for row in fill(repository, model, tmp_path / "cache")}
    assert rows["tiny_tensorrt"].missing == "tensorrt is not installed"
    for name in ("tiny_python", "tiny_onnxruntime"):
        file = repository / name / "1" / "model.onnx"
        assert rows[name].bytes == file.stat().st_size > 0
    files = {p.name for p in (repository / "tiny_python" / "1").iterdir()}
    assert files == {"model.onnx", "model.py", "prepared.json"}
    assert [read(repository / n / "config.pbtxt").name for n in sorted(rows)] == sorted(rows)


def test_the_engine_becomes_the_plan_for_the_batches_of_the_configuration(
    tmp_path: Path, model: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(self: TensorRtBackend) -> LoadCost:
        asked.append((self.spec.flavor, self.spec.precision, self.context.batch_sizes))
        (tmp_path / "model.engine").write_bytes(b"plan")
        details = {"engine": str(tmp_path / "model.engine"), "build_seconds": 2.5}
        return LoadCost(3.0, 4, details)

    monkeypatch.setattr(TensorRtBackend, "load", load)
    *_, row = fill(tmp_path / "repository", model, tmp_path / "cache")
    plan = tmp_path / "repository" / "tiny_tensorrt" / "1" / "model.plan"
    assert plan.read_bytes() == b"plan"
    assert (row.bytes, row.seconds, row.missing) == (4, 2.5, "")
    assert asked == [("tensorrt", "fp16", (1, 8))]


def test_a_configuration_that_is_there_stays(
    tmp_path: Path, model: PreparedModel, no_tensorrt: None
) -> None:
    config = tmp_path / "tiny_python" / "config.pbtxt"
    config.parent.mkdir()
    config.write_text('name: "tiny_python"  # mine\nbackend: "python"\n')
    fill(tmp_path, model, tmp_path)
    assert "# mine" in config.read_text()


def test_of_the_three_the_embedded_server_runs_one(
    tmp_path: Path, model: PreparedModel, no_tensorrt: None
) -> None:
    fill(tmp_path, model, tmp_path)
    able, unable = split_models(tmp_path)
    assert (able, sorted(unable)) == (["tiny_python"], ["tiny_onnxruntime", "tiny_tensorrt"])


def test_a_model_without_an_onnx_file_has_nothing_to_serve(
    tmp_path: Path, model: PreparedModel, no_tensorrt: None
) -> None:
    bare = replace(model, files={}, failures={"onnx": ("raised", "an operator is missing", None)})
    from harness.errors import BackendError

    with pytest.raises(BackendError, match="an operator is missing"):
        fill(tmp_path, bare, tmp_path)
