import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.sample import MODELS, VECTOR, ready, spec, torch_backend  # noqa: E402
from support.tiny_onnx import tiny_onnx  # noqa: E402

from harness.backends.base import run_once  # noqa: E402
from harness.errors import MissingPackageError, SetupError, UsageError  # noqa: E402
from harness.models import prepare as preparing  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.onnx_file import cpu_session  # noqa: E402
from harness.models.reference import ReferenceOutputs, write_references  # noqa: E402
from harness.models.tensors import PreparedModel  # noqa: E402
from harness.run.worker.parity import check  # noqa: E402
from harness.scenario.spec import scenario as schema  # noqa: E402
from harness.scenario.spec.model import Parity  # noqa: E402
from harness.system.paths import PACKAGE  # noqa: E402


def test_a_factory_gives_weights_outputs_and_a_row(tmp_path):
    model, rows = ready(spec(), tmp_path)
    assert [(o.name, o.dtype, o.shape) for o in model.outputs] == [
        ("output", "float32", ("batch", 5))
    ]
    assert [(r.format, r.cached, r.details["parameters"]) for r in rows] == [
        ("state_dict", False, 8 * 16 + 16 + 2 * 16 + 16 * 5 + 5)
    ]
    assert rows[0].bytes == Path(model.files["state_dict"]).stat().st_size
    assert model.max_batch_size == 4


def test_the_second_time_comes_from_the_cache_with_the_same_key(tmp_path):
    first, made = ready(spec(), tmp_path)
    second, read = ready(spec(), tmp_path)
    assert (first, made[0].seconds) == (second, read[0].seconds)
    assert read[0].cached


def test_a_damaged_weights_file_is_written_again(tmp_path):
    model, _ = ready(spec(), tmp_path)
    path = Path(model.files["state_dict"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    _, rows = ready(spec(), tmp_path)
    assert not rows[0].cached
    assert path.stat().st_size == len(whole)


def test_what_changes_the_model_changes_the_key(tmp_path):
    torch.save(torch.nn.Linear(8, 5).state_dict(), tmp_path / "w.pt")
    name = {"torch": "sample_models:mlp"}
    specs = [
        spec(), spec(**name, seed=1), spec(**name, kwargs={"classes": 6}),
        spec(inputs=[{"name": "z", "shape": ["batch", 8]}]),
    ]  # fmt: skip
    assert len({ready(s, tmp_path)[0].key for s in specs}) == len(specs)


def test_another_opset_is_another_key(tmp_path, monkeypatch):
    first, _ = ready(spec(), tmp_path)
    monkeypatch.setattr("harness.models.onnx_file.OPSET", 17)
    assert ready(spec(), tmp_path)[0].key != first.key


@pytest.mark.parametrize("package", ["onnx", "torch"])
def test_another_version_of_what_exports_is_another_key(tmp_path, monkeypatch, package):
    first, _ = ready(spec(), tmp_path)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda n: "9" if n == package else real(n))
    second, rows = ready(spec(), tmp_path)
    assert second.files != first.files
    assert not rows[0].cached


def test_weights_that_no_seed_reaches_are_still_the_same_for_every_backend(tmp_path):
    first, _ = ready(spec("unseeded"), tmp_path)
    second, _ = ready(spec("unseeded"), tmp_path)
    assert first.key != second.key
    folder = write_references(first, Parity(), [2], tmp_path)
    with torch_backend(first) as backend:
        backend.load()
        assert check(backend, first, backend.spec, Parity(), [2], folder)[0].max_abs_error == 0


CONVERT = """
from harness.models.prepare import prepare
from harness.scenario.spec.model import ModelSpec
spec = ModelSpec(name="m", source={"onnx": "tiny.onnx"})
rows = prepare(spec, ["onnx_fp16"], [1], Path("cache"), base=Path("."))[1]
print([(row.cached, row.details["kept_in_fp32"]) for row in rows if row.format == "onnx_fp16"])
"""


def test_two_versions_of_the_harness_share_a_cache_and_take_nothing_from_each_other(tmp_path):
    tiny_onnx(tmp_path / "tiny.onnx")
    found = []
    for version in ("one", "other", "one"):
        folder = tmp_path / version
        if not folder.exists():
            shutil.copytree(PACKAGE, folder / "harness", ignore=shutil.ignore_patterns("*.pyc"))
        if version == "other":
            half = folder / "harness" / "models" / "half.py"
            half.write_text(half.read_text().replace('"TopK",', '"TopK", "MatMul",'))
        code = f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(folder)!r}){CONVERT}"
        command = [sys.executable, "-P", "-c", code]
        found.append(subprocess.check_output(command, cwd=tmp_path, text=True, env={"HOME": "/"}))
    assert found == ["[(False, [])]\n", "[(False, ['MatMul'])]\n", "[(True, [])]\n"]


def test_a_weights_file_is_loaded_and_part_of_the_key(tmp_path):
    from harness.models.factory import build

    module = build({"torch": "sample_models:mlp", "base": str(MODELS), "seed": 3})
    torch.save(module.state_dict(), tmp_path / "w.pt")
    found, _ = ready(spec(torch="sample_models:mlp", weights=str(tmp_path / "w.pt")), tmp_path)
    plain, _ = ready(spec(), tmp_path)
    assert found.key != plain.key
    with torch_backend(found) as backend:
        backend.load()
        x = make_inputs(found, 2, 0)
        expected = module(torch.from_numpy(x["x"]))
        np.testing.assert_array_equal(run_once(backend, x)["output"], expected)


def test_a_wrong_weights_file_is_refused_with_its_keys(tmp_path):
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"does not fit the model: .* missing \(0\.bias"):
        ready(spec(torch="sample_models:mlp", weights=str(tmp_path / "w.pt")), tmp_path)


@pytest.mark.parametrize(("factory", "width", "message"), [
    ("raises_on_forward", 8, "RuntimeError: the forward gave up"),
    ("mlp", 9, "mat1 and mat2 shapes cannot be multiplied"),
])  # fmt: skip
def test_a_model_that_fails_on_its_own_inputs_is_refused(tmp_path, factory, width, message):
    with pytest.raises(UsageError) as caught:
        ready(spec(factory, [{"name": "x", "shape": ["batch", width]}]), tmp_path)
    assert message in str(caught.value)
    assert "fails on its own inputs at batch 1" in str(caught.value)
    assert not list(tmp_path.rglob("*.pt"))


# ---------------------------------------------------------------------------- exported programs


def test_an_onnx_file_may_have_its_batch_elsewhere_than_first(tmp_path):
    onnx = pytest.importorskip("onnx")
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [16, "N", 8])
        for name in ("x", "y")
    ]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", tensors[:1], tensors[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset), tmp_path / "m.onnx")
    inputs = [{"name": "x", "shape": [16, "batch", 8]}]
    model, _ = ready(spec(inputs=inputs, onnx=str(tmp_path / "m.onnx")), tmp_path, ("onnx",))
    assert make_inputs(model, 4, 0)["x"].shape == (16, 4, 8)


# -------------------------------------------------------------------------------- other sources


def test_fake_and_triton_sources_have_nothing_to_prepare(tmp_path):
    fake, rows = ready(spec(inputs=(), fake={}), tmp_path, formats=())
    assert rows == []
    assert make_inputs(fake, 4, 0)["input"].shape == (4, 1)
    triton, _ = ready(spec(inputs=(), triton="served"), tmp_path, formats=())
    assert (triton.inputs, triton.outputs, triton.files) == ((), (), {})
    for model, reason in ((fake, "nothing to compare"), (triton, "lives on a server")):
        folder = write_references(model, Parity(), [1], tmp_path)
        assert reason in ReferenceOutputs.open(folder).unavailable


def test_a_format_that_a_source_does_not_have_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs the model as onnx, which a triton source"):
        ready(spec(inputs=(), triton="served"), tmp_path, formats=("onnx",))


def test_trust_in_a_program_travels_with_its_source(tmp_path):
    from harness.models.prepare import _resolve

    (tmp_path / "p.pt2").touch()
    for trust in (True, False):
        source = _resolve(spec(exported_program="p.pt2", trust=trust), tmp_path)
        assert next(iter(source)) == "exported_program" and bool(source.get("trust")) == trust


def test_missing_files_are_named_before_anything_is_made(tmp_path):
    for source in ({"onnx": "no.onnx"}, {"exported_program": "no.pt2"},
                   {"torch": "sample_models:mlp", "weights": "no.pt"}):  # fmt: skip
        with pytest.raises(UsageError, match=r"no such file: .*/no\."):
            ready(spec(**source), tmp_path)
    data = {**VECTOR, "data": {"files": ["no.npy"]}}
    with pytest.raises(UsageError, match=r"x: no such file: .*/no\.npy"):
        ready(spec(inputs=[data]), tmp_path)


def test_formats_follow_from_the_backends():
    def of(**settings):
        return (schema.Scenario.model_validate(
            {"scenario": "s", "model": spec().model_dump(), "backends": [settings]}
        ).backends[0].formats)  # fmt: skip

    assert of(kind="torch", device="cpu") == {"torch"}
    assert of(kind="onnxruntime") == {"onnx"}
    assert of(kind="triton", protocol="http", serve="onnxruntime") == {"onnx"}


# ----------------------------------------------------------------------------------- references


def test_an_input_that_forward_does_not_have_is_refused_before_anything_is_run(tmp_path):
    inputs = [{"name": "mask", "shape": ["batch", 8]}, {"name": "token", "shape": ["batch", 8]}]
    with pytest.raises(UsageError, match="no argument 'token'; did you mean 'tokens'"):
        ready(spec("swapped", inputs), tmp_path)
    with pytest.raises(UsageError, match="returned dict, in which there is no tensor"):
        ready(spec("no_tensors"), tmp_path)


def test_how_a_forward_is_called_is_found_once_and_kept(tmp_path):
    for cached in (False, True):
        model, rows = ready(spec("takes_dict"), tmp_path)
        assert rows[0].cached == cached
        assert model.source["call"] == "as a dict"
        state = torch.load(model.files["state_dict"], weights_only=True)
        assert set(state) == {"linear.weight", "linear.bias"}
        arrays = make_inputs(model, 3, 0)
        with torch_backend(model) as backend:
            backend.load()
            found = run_once(backend, arrays)
        assert list(found) == ["x_out", "heads_0", "heads_1_mean"]
    with pytest.raises(UsageError, match=r"by position: .*; as a dict: .*"):
        ready(spec("takes_dict", [{"name": "z", "shape": ["batch", 8]}]), tmp_path)


SCALED = """
import torch

class Scaled(torch.nn.Module):
    def forward(self, x, k):
        return x * k, k + 1

def make():
    return Scaled()
"""


@pytest.mark.parametrize(("shape", "batch", "out"), [
    (["batch", 3], None, [("batch", 3), ()]), ([1, 3], "none", [(1, 3), ()])
])  # fmt: skip
def test_scalars_and_models_without_a_batch_are_traced_and_exported(tmp_path, shape, batch, out):
    (tmp_path / f"scaled_{batch}.py").write_text(SCALED)
    model_spec = schema.ModelSpec.model_validate({
        "name": "m", "source": {"torch": f"scaled_{batch}:make"}, "batch": batch,
        "inputs": [{"name": "x", "shape": shape},
                   {"name": "k", "shape": [], "value": 20}],
    })  # fmt: skip
    sizes = (1, 4) if batch is None else (1,)
    model, _ = ready(model_spec, tmp_path, ("onnx", "torch"), sizes, base=tmp_path)
    assert [o.shape for o in model.outputs] == out
    assert not model.failures
    session = cpu_session(model.file("onnx"))
    assert [len(i.shape) for i in session.get_inputs()] == [2, 0]
    with torch_backend(model) as backend:
        backend.load()
        for size in sizes:
            inputs = make_inputs(model, size, 0)
            outputs = run_once(backend, inputs)
            assert list(outputs.values())[1] == 21
            np.testing.assert_allclose(next(iter(outputs.values())), inputs["x"] * 20, rtol=1e-6)


def test_how_the_batch_of_a_file_was_read_is_kept(tmp_path):
    path = tiny_onnx(tmp_path / "m.onnx", batch="rows")
    guessed, _ = ready(spec(inputs=(), onnx=str(path)), tmp_path, (), base=tmp_path)
    read = "the batch is axis 0 of input (a free first axis); `model.batch` can say otherwise"
    assert guessed.notes == (read,)
    said = schema.ModelSpec.model_validate(
        {"name": "m", "source": {"onnx": str(path)}, "batch": {"input": 0}}
    )
    assert not ready(said, tmp_path, (), base=tmp_path)[0].notes


def test_a_half_module_says_what_it_was_in_and_a_strange_name_where_it_goes(tmp_path):
    model, _ = ready(spec("half_precision", [{**VECTOR, "name": "pixels"}]), tmp_path)
    assert (model.widened, model.precision) == ("fp16", "fp32")
    assert model.notes == ("forward has no argument 'pixels': it goes in as 'x', the only one",)
    assert PreparedModel.from_json(json.loads(json.dumps(model.to_json()))) == model


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_half_module_takes_the_half_inputs_that_it_is_made_for(tmp_path, precision):
    half = {**VECTOR, "dtype": "float16"}
    model, rows = ready(spec("half_precision", [half]), tmp_path, ("torch", "onnx"))
    assert [row.format for row in rows] == ["state_dict", "onnx"]
    inputs = make_inputs(model, 3, 0)
    assert inputs["x"].dtype == np.float16
    with torch_backend(model, precision=precision) as backend:
        backend.load()
        found = run_once(backend, inputs)
    session = cpu_session(model.file("onnx"))
    for name, expected in zip(found, session.run(None, dict(inputs)), strict=True):
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found[name], expected, atol=0.05)


def test_layers_quantized_to_fp16_run_as_they_are(tmp_path):
    model, _ = ready(spec("quantized_half"), tmp_path)
    assert (model.widened, model.precision) == ("", "fp16")
    with torch_backend(model, precision="fp16") as backend:
        backend.load()
        (found,) = run_once(backend, make_inputs(model, 3, 0)).values()
    assert found.dtype == np.float32


GROWING = """
import torch

class Growing(torch.nn.Module):
    def forward(self, x, past):
        present = torch.cat([past, x], 1)
        return present, present.sum(1)

def make():
    return Growing()
"""


def test_the_first_step_of_a_decoder_has_an_empty_past(tmp_path):
    (tmp_path / "growing.py").write_text(GROWING)
    inputs = [{"name": "x", "shape": ["batch", 1, 4]}, {"name": "past", "shape": ["batch", "p", 4]}]
    empty = spec(inputs=inputs, dynamic={"p": 0}, torch="growing:make")
    model, _ = ready(empty, tmp_path, ("onnx", "torch"), base=tmp_path)
    assert not model.failures
    session = cpu_session(model.file("onnx"))
    arrays = make_inputs(model, 4, 0)
    assert arrays["past"].shape == (4, 0, 4)
    present, total = session.run(None, arrays)
    assert present.shape == (4, 1, 4)
    np.testing.assert_allclose(total, arrays["x"][:, 0])
    onnx = spec(inputs=(), dynamic={"p": 0}, onnx=str(model.file("onnx")))
    assert ready(onnx, tmp_path, (), base=tmp_path)[0].outputs[1].shape == ("batch", 4)


def test_an_output_that_grows_with_a_size_that_varies_has_no_fixed_one(tmp_path):
    (tmp_path / "growing.py").write_text(GROWING)
    inputs = [{"name": "x", "shape": ["batch", 1, 4]}, {"name": "past", "shape": ["batch", "p", 4]}]
    once = spec(inputs=inputs, dynamic={"p": 8}, torch="growing:make")
    assert ready(once, tmp_path, base=tmp_path)[0].outputs[0].shape == ("batch", 9, 4)
    varied = spec(inputs=inputs, dynamic={"p": [0, 8]}, torch="growing:make")
    model, _ = ready(varied, tmp_path, ("onnx", "torch"), base=tmp_path)
    assert not model.failures
    assert [o.shape for o in model.outputs] == [("batch", "output_0_dim1", 4), ("batch", 4)]


@pytest.mark.parametrize(("lack", "raised"), [
    (ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript"), MissingPackageError),
    (OSError(28, "No space left on device", "model.onnx"), SetupError),
])  # fmt: skip
def test_what_one_format_lacks_leaves_the_others_and_is_raised_as_what_it_is(
    tmp_path, monkeypatch, lack, raised
):
    def write(*_args, **_more):
        raise lack

    monkeypatch.setattr(preparing, "_write_onnx", write)
    model, rows = ready(spec(), tmp_path, ("torch", "onnx"))
    assert [row.format for row in rows] == ["state_dict"]
    with pytest.raises(raised, match=f"{model.name} has no onnx file: ") as caught:
        PreparedModel.from_json(json.loads(json.dumps(model.to_json()))).file("onnx")
    assert caught.value.fix
