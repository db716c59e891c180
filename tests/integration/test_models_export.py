"""PyTorch → ONNX for real: both exporters, ONNX Runtime's answers, the cache."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.paths import DATA

from harness.backends.base import BackendContext, run_once
from harness.backends.onnxruntime.backend import OnnxRuntimeBackend
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.torch.backend import TorchBackend
from harness.backends.torch.settings import TorchSettings
from harness.errors import BackendError
from harness.models import export
from harness.models.inputs import make_inputs
from harness.models.onnx_file import cpu_session
from harness.models.prepare import prepare
from harness.models.reference import write_references
from harness.run.worker.parity import check
from harness.scenario.spec import model as schema

MODELS = DATA / "models"
VECTOR = {"name": "x", "shape": ["batch", 8]}
IDS = {"name": "ids", "dtype": "int64", "shape": ["batch", "seq"], "range": [0, 11]}
MASK = {"name": "mask", "shape": ["batch", "seq"]}
TORCH = TorchSettings(kind="torch", name="t", device="cpu")
ORT = OnnxRuntimeSettings(kind="onnxruntime", name="o")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def ready(
    cache, factory, inputs=(VECTOR,), dynamic=None, batches=(1, 4), formats=("onnx", "torch")
):
    spec = schema.ModelSpec.model_validate({
        "name": factory.replace("_", "-"), "source": {"torch": f"sample_models:{factory}"},
        "inputs": list(inputs), "dynamic": dynamic or {},
    })  # fmt: skip
    model, rows = prepare(spec, formats, batches, cache, base=MODELS)
    return model, {row.format: row for row in rows}


def agree(model, cache, batches=(1, 4)):
    folder = write_references(model, schema.Parity(), batches, cache)
    with OnnxRuntimeBackend(ORT, BackendContext(model)) as backend:
        backend.load()
        rows = check(backend, model, ORT, schema.Parity(), batches, folder)
    return [row.status for row in rows], rows


def dims(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_torch_export_gives_a_dynamic_batch_and_the_scenarios_names(cache):
    model, rows = ready(cache, "mlp")
    details = rows["onnx"].details
    assert details["exporter"] == "torch.export"
    assert "fallback_reason" not in details
    assert details["verified"].endswith("at batch 1 and 4")
    assert details["parameters"] == rows["state_dict"].details["parameters"]
    assert rows["onnx"].bytes == Path(model.files["onnx"]).stat().st_size
    graph = onnx.load(model.files["onnx"])
    assert [(i.name, dims(i)) for i in graph.graph.input] == [("x", ["batch", 8])]
    assert [(o.name, dims(o)) for o in graph.graph.output] == [("output", ["batch", 5])]
    assert {o.version for o in graph.opset_import if o.domain == ""} == {details["opset"]}
    assert agree(model, cache, (1, 4, 7))[0] == ["agrees"] * 3


def test_the_second_export_is_the_first_ones_file_and_a_damaged_one_is_made_again(cache):
    model, _ = ready(cache, "mlp")
    path = Path(model.files["onnx"])
    assert ready(cache, "mlp")[1]["onnx"].cached
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again, rows = ready(cache, "mlp")
    assert not rows["onnx"].cached
    assert again.key == model.key
    assert agree(again, cache)[0] == ["agrees", "agrees"]


@pytest.mark.parametrize("inputs", [(IDS, MASK), (MASK, IDS)], ids=["in-order", "swapped"])
def test_several_inputs_integers_and_dynamic_dimensions(cache, inputs):
    model, rows = ready(cache, "two_inputs", inputs, {"seq": 6})
    assert rows["onnx"].details["exporter"] == "torch.export"
    graph = onnx.load(model.files["onnx"], load_external_data=False).graph
    assert {i.name: dims(i) for i in graph.input} == {
        "ids": ["batch", "seq"], "mask": ["batch", "seq"],
    }  # fmt: skip
    statuses, parity = agree(model, cache)
    assert statuses == ["agrees", "agrees"]
    assert parity[0].max_abs_error < 1e-5


def test_what_torch_export_refuses_falls_back_to_the_legacy_exporter_and_says_so(cache, capfd):
    model, rows = ready(cache, "data_dependent")
    assert "def forward" not in capfd.readouterr().err, "the graphs that it prints"
    details = rows["onnx"].details
    assert details["exporter"] == "legacy"
    assert "GuardOnDataDependentSymNode" in details["fallback_reason"]
    assert agree(model, cache)[0] == ["agrees", "agrees"]


def test_a_torchscript_module_is_exported_as_it_is(cache):
    """What `torch.jit.load` gives a factory: torch.export can't look into it."""
    model, rows = ready(cache, "scripted")
    assert rows["onnx"].details["exporter"] == "legacy"
    assert agree(model, cache)[0] == ["agrees", "agrees"]


def test_what_neither_exporter_can_stops_only_the_backends_that_need_it(cache):
    model, rows = ready(cache, "numpy_inside")
    assert set(rows) == {"state_dict"}
    _, why, _ = model.failures["onnx"]
    assert "torch.export: " in why
    assert "legacy: " in why
    with pytest.raises(BackendError, match="can't be exported to ONNX"):
        OnnxRuntimeBackend(ORT, BackendContext(model)).load()
    with TorchBackend(TORCH, BackendContext(model)) as backend:
        backend.load()
        assert run_once(backend, make_inputs(model, 2, 0))["output"].shape == (2, 3)


def test_an_operator_that_onnx_has_not_is_named_with_its_source_line_and_nothing_is_printed(
    cache, capfd
):
    model, _ = ready(cache, "bessel", formats=("onnx",))
    source = (MODELS / "sample_models.py").read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(source) if "bessel_j0(" in text)
    assert f"(node bessel_j0, {MODELS / 'sample_models.py'}:{line})" in model.failures["onnx"][1]
    assert capfd.readouterr().out == ""


def test_several_outputs_and_integer_outputs(cache):
    model, _ = ready(cache, "half_precision")
    assert [(o.name, o.dtype) for o in model.outputs] == [
        ("left", "float32"), ("right", "int64"),
    ]  # fmt: skip
    assert agree(model, cache)[0] == ["agrees", "agrees"]


def test_a_dict_goes_in_and_the_keys_of_what_comes_out_are_the_outputs_names(cache):
    model, _ = ready(cache, "takes_dict")
    assert [o.name for o in model.outputs] == ["x_out", "heads_0", "heads_1_mean"]
    session = cpu_session(model.file("onnx"))
    assert [o.name for o in session.get_outputs()] == [o.name for o in model.outputs]
    assert agree(model, cache)[0] == ["agrees", "agrees"]


def test_weights_too_large_for_one_file_go_colocated_it(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "EXTERNAL_BYTES", 0)
    model, rows = ready(tmp_path, "mlp")
    path = Path(model.files["onnx"])
    files = sorted(p.name for p in path.parent.iterdir())
    assert files == ["entry.json", "model.onnx", "model.onnx.data"]
    colocated = path.with_name("model.onnx.data").stat().st_size
    assert rows["onnx"].bytes == path.stat().st_size + colocated
    assert agree(model, tmp_path)[0] == ["agrees", "agrees"]
    with OnnxRuntimeBackend(ORT, BackendContext(model)) as backend:
        assert backend.load().bytes_on_disk == rows["onnx"].bytes


def test_an_exported_file_serves_as_an_onnx_source(cache, tmp_path):
    exported, _ = ready(cache, "two_inputs", (IDS, MASK), {"seq": 6})
    spec = schema.ModelSpec.model_validate({
        "name": "again", "source": {"onnx": exported.files["onnx"]}, "dynamic": {"seq": 6},
    })  # fmt: skip
    model, _ = prepare(spec, ["onnx"], [1, 4], tmp_path, base=MODELS)
    assert {(i.name, i.dtype, i.shape) for i in model.inputs} == {
        ("ids", "int64", ("batch", "seq")), ("mask", "float32", ("batch", "seq")),
    }  # fmt: skip
    statuses, rows = agree(model, tmp_path)
    assert statuses == ["agrees", "agrees"]
    assert rows[0].reference.startswith("ONNX Runtime")


def test_fp16_is_really_fp16_and_agrees_at_its_own_tolerance(cache):
    model, rows = ready(cache, "mlp", formats=("onnx_fp16", "torch"))
    assert rows["onnx_fp16"].bytes < rows["onnx"].bytes * 1.2
    graph = onnx.load(model.files["onnx_fp16"]).graph
    types = {t.data_type for t in graph.initializer if len(t.dims) == 2}
    assert types == {onnx.TensorProto.FLOAT16}
    spec = ORT.model_copy(update={"precision": "fp16"})
    folder = write_references(model, schema.Parity(), (1, 4), cache)
    with OnnxRuntimeBackend(spec, BackendContext(model)) as backend:
        backend.load()
        row = check(backend, model, spec, schema.Parity(), [4], folder)[0]
        assert run_once(backend, make_inputs(model, 1, 0))["output"].dtype == np.float32
    assert row.status == "agrees"
    assert row.max_abs_error > 1e-5
