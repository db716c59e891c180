import ast
import json
from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from harness.errors import BackendError, ServerError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import NUMPY, TRITON, to_config
from harness.triton.repository.write import device_env, gpu_index, make_config, write_model


def spec(**settings):
    return TritonSettings.model_validate(
        {"kind": "triton", "protocol": "http", "serve": "onnxruntime", "name": "t", **settings}
    )


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.touch()
    return PreparedModel(
        name="resnet50",
        source={"onnx": str(path)},
        key="k",
        inputs=(
            TensorSpec("image", "float32", ("batch", 3, 224, 224)),
            TensorSpec("tokens", "int64", ("batch", "length")),
        ),
        outputs=(TensorSpec("logits", "float16", ("batch", 1000)),),
        files={"onnx": str(path), "onnx_fp16": str(path)},
    )


def read(directory):
    return text_format.Parse((directory / "config.pbtxt").read_text(), ModelConfig())


def test_the_config_reads_back(tmp_path, model):
    name = write_model(tmp_path / "repo", model, spec(), 16)
    config = read(tmp_path / "repo" / name)
    assert config == make_config(model, spec(), 16)
    assert (config.name, config.backend, config.max_batch_size) == ("resnet50", "python", 16)
    assert [(i.name, list(i.dims)) for i in config.input] == [
        ("image", [3, 224, 224]), ("tokens", [-1]),
    ]  # fmt: skip
    assert config.input[1].data_type == 9  # TYPE_INT64 in model_config.proto
    assert config.output[0].data_type == 10  # TYPE_FP16
    assert not config.HasField("dynamic_batching")
    assert config.parameters["onnx"].string_value == model.files["onnx"]


def test_settings_reach_the_config(model):
    config = make_config(model, spec(instances=3, dynamic_batching=True, threads=2), 4)
    assert config.instance_group[0].count == 3
    assert config.instance_group[0].kind == ModelInstanceGroup.KIND_CPU
    assert config.HasField("dynamic_batching")
    assert config.parameters["threads"].string_value == "2"


@pytest.mark.parametrize(
    ("device", "gpus", "env"),
    [
        ("cuda", [0], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ("cuda:1", [1], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ("GPU-12ab", [0], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-12ab"}),
    ],
)
def test_gpus(model, device, gpus, env):
    group = make_config(model, spec(device=device), 1).instance_group[0]
    assert (group.kind, list(group.gpus)) == (ModelInstanceGroup.KIND_GPU, gpus)
    assert device_env(device) == env


def test_cpu_needs_no_environment():
    assert gpu_index("cpu") is None
    assert device_env("cpu") == {}


def test_a_tensor_of_the_batch_alone_gets_a_1_more(model):
    flat = replace(model, outputs=(TensorSpec("label", "int64", ("batch",)),))
    output = make_config(flat, spec(), 8).output[0]
    assert list(output.dims) == [1]
    assert output.HasField("reshape")
    assert list(output.reshape.shape) == []


def test_a_scalar_is_served_as_one_number_and_only_the_model_sees_that_it_is_none(model):
    """Without batching Triton takes no empty reshape: triton-inference-server/server#3239."""
    loss, step = TensorSpec("loss", "float32", ()), TensorSpec("step", "int64", ())
    odd = replace(model, inputs=(*model.inputs, step), outputs=(*model.outputs, loss))
    config = make_config(odd, spec(), 8)
    assert config.max_batch_size == 0
    for found in (config.input[-1], config.output[-1]):
        assert (list(found.dims), found.HasField("reshape")) == ([1], False)
    assert config.parameters["scalars"].string_value == '["step"]'
    assert "scalars" not in make_config(model, spec(), 8).parameters


def test_the_batch_elsewhere_means_full_shapes_and_no_batching(model):
    odd = replace(model, outputs=(TensorSpec("y", "float32", (4, "batch")),))
    config = make_config(odd, spec(), 8)
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [-1, 3, 224, 224]
    assert list(config.output[0].dims) == [4, -1]
    with pytest.raises(ServerError, match=r"'y' is \[4, batch\]"):
        make_config(odd, spec(dynamic_batching=True), 8)


def test_a_size_of_0_may_be_any(model):
    """Triton takes no dimension of 0: an output that is empty always, a decoder's first past."""
    empty = replace(model, outputs=(TensorSpec("y", "float32", ("batch", 0, 4)),))
    assert list(make_config(empty, spec(), 8).output[0].dims) == [-1, 4]


def test_what_cannot_be_served_is_said(model):
    with pytest.raises(ServerError, match=r"no inputs or no outputs of .* are known"):
        make_config(replace(model, outputs=()), spec(), 1)
    with pytest.raises(ServerError, match="'h' is bfloat16"):
        make_config(replace(model, outputs=(TensorSpec("h", "bfloat16", ("batch",)),)), spec(), 1)
    with pytest.raises(BackendError, match="no onnx file: too odd"):
        make_config(
            replace(model, files={}, failures={"onnx": ("raised", "too odd", None)}), spec(), 1
        )


def test_names_are_quoted_by_protobuf_not_by_hand(tmp_path, model):
    name = 'a"b\\c\n} input {'
    write_model(tmp_path, replace(model, inputs=(TensorSpec(name, "bool", ("batch",)),)), spec(), 1)
    assert [i.name for i in read(tmp_path / "resnet50").input] == [name]


def test_writing_again_replaces(tmp_path, model):
    write_model(tmp_path, model, spec(), 1)
    write_model(tmp_path, model, spec(), 32)
    assert read(tmp_path / "resnet50").max_batch_size == 32
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "model.onnx", "resnet50/config.pbtxt", "resnet50/1/model.py", "resnet50/1/prepared.json",
    }  # fmt: skip


def test_the_model_directory_carries_the_prepared_model(tmp_path, model):
    write_model(tmp_path, model, spec(serve="torch"), 1)
    version = tmp_path / "resnet50" / "1"
    assert PreparedModel.from_json(json.loads((version / "prepared.json").read_text())) == model
    classes = [n.name for n in ast.parse((version / "model.py").read_text()).body
               if isinstance(n, ast.ClassDef)]  # fmt: skip
    assert "TritonPythonModel" in classes


def test_every_type_has_a_config_name():
    known = set(ModelConfig.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_name)
    assert {to_config(name, "x") for name in TRITON} <= known
    assert {NUMPY[TRITON[name]] for name in TRITON} == set(TRITON)
