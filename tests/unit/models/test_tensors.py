"""The prepared model as it travels."""

import json

import pytest

torch = pytest.importorskip("torch")

from support.sample import ready, spec  # noqa: E402

from harness.errors import BackendError  # noqa: E402
from harness.models.tensors import PreparedModel  # noqa: E402


def test_the_prepared_model_survives_json(tmp_path):
    model, _ = ready(spec(), tmp_path)
    assert PreparedModel.from_json(json.loads(json.dumps(model.to_json()))) == model


def test_a_missing_format_says_why_when_a_backend_asks_for_it():
    model = PreparedModel(
        "m", {"torch": "a:b"}, "k", (), (), failures={"onnx": ("raised", "no operator", None)}
    )
    with pytest.raises(BackendError, match="m has no onnx file: no operator"):
        model.file("onnx")
    with pytest.raises(BackendError, match="a torch source has none"):
        model.file("engine")
