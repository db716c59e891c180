"""The built-in model from its factory to two runtimes that agree."""

from pathlib import Path

import pytest
import torch

from harness.backends.base import BackendContext
from harness.backends.onnxruntime.backend import OnnxRuntimeBackend
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.torch.backend import TorchBackend
from harness.backends.torch.settings import TorchSettings
from harness.models.prepare import prepare
from harness.models.reference import write_references
from harness.run.worker.parity import check
from harness.scenario.spec import model as schema

PARITY = schema.Parity(inputs=2)
BATCHES = (1, 4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    spec = schema.ModelSpec.model_validate({
        "name": "resnet50", "source": {"torch": "harness.models.resnet:resnet50"},
        "inputs": [{"name": "input", "shape": ["batch", 3, 224, 224]}],
    })  # fmt: skip
    model, rows = prepare(spec, ["onnx", "torch"], BATCHES, cache, base=cache)
    return model, {r.format: r for r in rows}, write_references(model, PARITY, BATCHES, cache)


def test_weights_and_export_have_resnet50s_size(prepared):
    model, rows, _ = prepared
    assert {r.details["parameters"] for r in rows.values()} == {25_557_032}
    state = torch.load(model.files["state_dict"], weights_only=True)
    weights = sum(t.numel() * t.element_size() for t in state.values())
    assert weights <= rows["state_dict"].bytes < 1.01 * weights
    assert rows["onnx"].details["exporter"] == "torch.export"
    assert 0.98 * weights < rows["onnx"].bytes < 1.02 * weights


@pytest.mark.parametrize(("cls", "settings"), [
    (TorchBackend, TorchSettings(kind="torch", name="t", device="cpu")),
    (OnnxRuntimeBackend, OnnxRuntimeSettings(kind="onnxruntime", name="o")),
])  # fmt: skip
def test_both_runtimes_agree_on_every_batch_size(prepared, cls, settings):
    model, rows, folder = prepared
    with cls(settings, BackendContext(model)) as backend:
        cost = backend.load()
        found = check(backend, model, settings, PARITY, BATCHES, folder)
    assert [(r.status, r.batch_size, r.top1_agreement) for r in found] == [
        ("agrees", 1, 1.0), ("agrees", 4, 1.0),
    ]  # fmt: skip
    assert cost.bytes_on_disk in {r.bytes for r in rows.values()}


@pytest.mark.slow
def test_other_weights_are_caught(prepared, tmp_path):
    model, _, folder = prepared
    spec = schema.ModelSpec.model_validate({
        "name": "resnet50", "source": {"torch": "harness.models.resnet:resnet50", "seed": 1},
        "inputs": [{"name": "input", "shape": ["batch", 3, 224, 224]}],
    })  # fmt: skip
    other, _ = prepare(spec, ["torch"], BATCHES, tmp_path, base=Path())
    settings = TorchSettings(kind="torch", name="t", device="cpu")
    with TorchBackend(settings, BackendContext(other)) as backend:
        backend.load()
        row = check(backend, model, settings, PARITY, [1], folder)[0]
    assert row.status == "disagrees"
    assert row.mean_abs_error > 0.01
