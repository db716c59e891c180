"""A loaded backend's outputs against the reference, as rows."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.backends.base import BackendContext
from harness.backends.fake import FakeBackend, FakeSettings
from harness.models.parity import compare
from harness.models.reference import write_references
from harness.models.tensors import PreparedModel, TensorSpec
from harness.run.worker.parity import _hint, check
from harness.scenario.spec.model import Parity

DEFAULT = Parity()


@pytest.fixture
def fake():
    model = PreparedModel(
        "m", {"fake": {}}, "k" * 64, (TensorSpec("x", "float32", ("batch", 3)),), ()
    )
    spec = FakeSettings(kind="fake", name="f", service_time_ms=0.0)
    return FakeBackend(spec, BackendContext(model)), model, spec


@pytest.mark.parametrize(
    ("settings", "error", "hinted"),
    [
        ({"kind": "tensorrt"}, 0.015, True),
        ({"kind": "tensorrt"}, 0.5, False),  # far too much for TF32
        ({"kind": "tensorrt", "precision": "tf32"}, 0.5, False),
        ({"kind": "triton", "serve": "tensorrt"}, 0.015, True),
        ({"kind": "onnxruntime", "provider": "TensorrtExecutionProvider"}, 0.015, True),
        ({"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}, 0.015, False),
    ],
)
def test_errors_of_tf32s_size_in_tensorrts_fp32_are_said_to_be(settings, error, hinted):
    spec = SimpleNamespace(**settings)
    b = {"y": np.ones((2, 3))}
    precision = settings.get("precision", "fp32")
    total = compare({"y": b["y"] + error}, b, precision, DEFAULT)
    assert not total.agrees
    hint = _hint(spec, precision, total)
    assert hint.endswith("; TensorRT may have used TF32: ask for precision: tf32") == hinted
    assert f"off by up to {error:.3g}, which model.parity.max_abs_error may allow" in hint
    assert _hint(spec, precision, compare(b, b, precision, DEFAULT)) == ""


def test_the_tolerance_that_is_named_is_enough():
    b = {"y": np.zeros((2, 3))}
    total = compare({"y": b["y"] + 0.12341}, b, "fp32", DEFAULT)
    hint = _hint(SimpleNamespace(kind="torch"), "fp32", total)
    assert "off by up to 0.124, which" in hint
    assert compare({"y": b["y"] + 0.12341}, b, "fp32", Parity(max_abs_error=0.124)).agrees


def test_no_tolerance_is_named_where_none_would_help():
    b = {"y": np.ones((2, 3))}
    for wrong in (b["y"] * np.nan, b["y"][:1]):
        total = compare({"y": wrong}, b, "fp32", DEFAULT)
        assert not total.agrees
        assert _hint(SimpleNamespace(kind="torch"), "fp32", total) == ""


def test_without_a_reference_the_row_says_why(fake, tmp_path):
    backend, model, spec = fake
    folder = write_references(model, DEFAULT, [1, 2], tmp_path)
    rows = check(backend, model, spec, DEFAULT, [1, 2], folder)
    assert [(r.backend, r.batch_size, r.status) for r in rows] == [
        ("f", 1, "unavailable"), ("f", 2, "unavailable"),
    ]  # fmt: skip
    assert "nothing to compare with" in rows[0].message
