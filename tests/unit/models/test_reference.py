"""Reference outputs, computed, kept and read."""

import os
import subprocess

import numpy as np
import pytest
from support.tiny_onnx import quantized_onnx, tiny_onnx

torch = pytest.importorskip("torch")

from support.sample import VECTOR, ready, spec, torch_backend  # noqa: E402

from harness.backends.base import BackendContext  # noqa: E402
from harness.backends.onnxruntime.backend import OnnxRuntimeBackend  # noqa: E402
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings  # noqa: E402
from harness.errors import UsageError  # noqa: E402
from harness.models.reference import ReferenceOutputs, write_references  # noqa: E402
from harness.run.worker.parity import check  # noqa: E402
from harness.scenario.spec import model as schema  # noqa: E402


def test_references_are_kept_made_again_when_damaged_and_follow_the_data(tmp_path):
    model, _ = ready(spec(), tmp_path)
    parity = schema.Parity(inputs=2)
    folder = write_references(model, parity, [1, 4], tmp_path)
    reference = ReferenceOutputs.open(folder)
    assert reference.words.startswith("eager PyTorch")
    expected = reference.outputs(4, 1)["output"]
    assert expected.shape == (4, 5)
    written = {p: p.stat().st_mtime_ns for p in folder.glob("*.npz")}
    assert len(written) == 4
    (folder / "b4-v1.npz").write_bytes(b"junk")
    assert write_references(model, parity, [1, 4], tmp_path) == folder
    np.testing.assert_array_equal(reference.outputs(4, 1)["output"], expected)
    kept = folder / "b1-v0.npz"
    assert kept.stat().st_mtime_ns == written[kept]
    zeros, _ = ready(spec(inputs=[{**VECTOR, "data": "zeros"}]), tmp_path)
    assert zeros.key == model.key
    assert write_references(zeros, parity, [1], tmp_path) != folder


def test_what_a_killed_writer_left_is_gone_and_what_another_writes_stays(tmp_path):
    model, _ = ready(spec(), tmp_path)
    folder = write_references(model, schema.Parity(inputs=1), [1], tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, alive = (folder / f".b1-v0.npz.{pid}.1.tmp" for pid in (ended.pid, os.getpid()))
    dead.touch()
    alive.touch()
    write_references(model, schema.Parity(inputs=1), [1], tmp_path)
    assert not dead.exists()
    assert alive.exists()


def test_another_onnxruntime_computes_the_reference_of_an_onnx_file_anew(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = {
        "source": {"onnx": str(tiny_onnx(tmp_path / "m.onnx"))},
        "inputs": [{"name": "input", "shape": ["batch", 3, 16, 16]}],
    }
    model, _ = ready(schema.ModelSpec.model_validate({"name": "m", **model}), tmp_path, ("onnx",))
    folder = write_references(model, schema.Parity(), [1], tmp_path)
    assert write_references(model, schema.Parity(), [1], tmp_path) == folder
    monkeypatch.setattr(onnxruntime, "__version__", "1.0")
    other = write_references(model, schema.Parity(), [1], tmp_path)
    assert other != folder
    assert "ONNX Runtime 1.0 " in ReferenceOutputs.open(other).words


def test_a_reference_that_was_not_computed_is_an_error(tmp_path):
    model, _ = ready(spec(), tmp_path)
    reference = ReferenceOutputs.open(write_references(model, schema.Parity(), [1], tmp_path))
    with pytest.raises(UsageError, match="no reference b9-v0"):
        reference.outputs(9, 0)
    with pytest.raises(UsageError, match="holds no reference outputs"):
        ReferenceOutputs.open(tmp_path)


def test_another_model_disagrees_with_the_reference(tmp_path):
    one, _ = ready(spec(), tmp_path)
    other, _ = ready(spec(torch="sample_models:mlp", seed=9), tmp_path)
    folder = write_references(one, schema.Parity(), [4], tmp_path)
    with torch_backend(other) as backend:
        backend.load()
        row = check(backend, one, backend.spec, schema.Parity(), [4], folder)[0]
    assert row.status == "disagrees"
    assert "values break |a−b| ≤ 0.001·rms(b) + 0.001·|b|" in row.message
    assert row.max_abs_error > 0.01


def test_noise_among_the_outputs_is_known_and_said_and_not_compared(tmp_path):
    """The reference runs twice; forward doubles its input in place, which reaches no other run."""
    model, _ = ready(spec("restless"), tmp_path)
    folder = write_references(model, schema.Parity(), [1, 4], tmp_path)
    assert ReferenceOutputs.open(folder).unstable == ("output_1",)
    assert write_references(model, schema.Parity(), [1, 4, 8], tmp_path) == folder
    assert ReferenceOutputs.open(folder).unstable == ("output_1",)
    with torch_backend(model) as backend:
        backend.load()
        rows = check(backend, model, backend.spec, schema.Parity(), [1, 4], folder)
        only = schema.Parity(ignore=("output_0",))
        nothing = check(backend, model, backend.spec, only, [1], folder)
    assert [row.status for row in rows] == ["agrees", "agrees"]
    assert rows[0].message.startswith("not compared: output_1, which the reference itself gives")
    assert nothing[0].status == "unavailable"
    assert nothing[0].message == rows[0].message


def test_an_output_to_ignore_must_be_one(tmp_path):
    model, _ = ready(spec(), tmp_path)
    wrong = schema.Parity(ignore=("outputs",))
    with pytest.raises(
        UsageError, match=r"parity\.ignore: m has no output 'outputs'; it has output"
    ):
        write_references(model, wrong, [1], tmp_path)


def test_a_quantized_file_is_known_and_judged_as_one(tmp_path):
    """Fused and unfused, ONNX Runtime may round a QDQ model to other steps."""
    pytest.importorskip("onnxruntime")
    source = quantized_onnx(tmp_path / "int8.onnx")
    model = schema.ModelSpec.model_validate({"name": "m", "source": {"onnx": str(source)}})
    model, rows = ready(model, tmp_path, ("onnx",))
    assert model.precision == rows[0].details["precision"] == "int8"
    folder = write_references(model, schema.Parity(), [4], tmp_path)
    assert ReferenceOutputs.open(folder).words.endswith("optimisations, int8, CPU")
    settings = OnnxRuntimeSettings(kind="onnxruntime", name="o")
    with OnnxRuntimeBackend(settings, BackendContext(model)) as backend:
        backend.load()
        row = check(backend, model, settings, schema.Parity(), [4], folder)[0]
    assert (row.status, row.tolerance) == ("agrees", "|a−b| ≤ 0.25·rms(b) + 0.08·|b|")
