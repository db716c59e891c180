import json
from pathlib import Path

import numpy as np
import pytest
from support.paths import DATA
from support.tiny_onnx import tiny_onnx

torch = pytest.importorskip("torch")

from harness.backends.base import BackendContext, run_once  # noqa: E402
from harness.backends.torch.backend import TorchBackend  # noqa: E402
from harness.backends.torch.settings import TorchSettings  # noqa: E402
from harness.errors import BackendError, UsageError  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.parity import write_references  # noqa: E402
from harness.models.prepare import prepare  # noqa: E402
from harness.models.reference import Reference  # noqa: E402
from harness.models.tensors import PreparedModel  # noqa: E402
from harness.run.worker.parity import check  # noqa: E402
from harness.scenario.spec import scenario as schema  # noqa: E402

MODELS = DATA / "models"
VECTOR = {"name": "x", "shape": ["batch", 8]}


def spec(factory="mlp", inputs=(VECTOR,), dynamic=None, **source):
    source = source or {"torch": f"sample_models:{factory}"}
    return schema.ModelSpec.model_validate(
        {"name": "m", "source": source, "inputs": list(inputs), "dynamic": dynamic or {}}
    )


def ready(model_spec, cache, formats=("torch",), batches=(1, 4), base=MODELS):
    return prepare(model_spec, formats, batches, cache, base=base)


def torch_backend(model, **settings):
    settings = {"kind": "torch", "name": "t", "device": "cpu", **settings}
    return TorchBackend(TorchSettings(**settings), BackendContext(model))


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


def test_weights_that_no_seed_reaches_are_still_the_same_for_every_backend(tmp_path):
    first, _ = ready(spec("unseeded"), tmp_path)
    second, _ = ready(spec("unseeded"), tmp_path)
    assert first.key != second.key
    folder = write_references(first, schema.Parity(), [2], tmp_path)
    with torch_backend(first) as backend:
        backend.load()
        assert (
            check(backend, first, backend.spec, schema.Parity(), [2], folder)[0].max_abs_error == 0
        )


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


def test_inputs_go_in_by_forwards_names_whatever_their_order(tmp_path):
    ids = {"name": "ids", "dtype": "int64", "shape": ["batch", "seq"], "range": [0, 11]}
    mask = {"name": "mask", "shape": ["batch", "seq"]}
    found = []
    for inputs in ([ids, mask], [mask, ids]):
        model, _ = ready(spec("two_inputs", inputs, {"seq": 6}), tmp_path)
        assert [(o.name, o.shape) for o in model.outputs] == [
            ("output_0", ("batch", 4)), ("output_1", ("batch",)),
        ]  # fmt: skip
        with torch_backend(model) as backend:
            backend.load()
            found.append(run_once(backend, make_inputs(model, 3, 0)))
    np.testing.assert_array_equal(found[0]["output_0"], found[1]["output_0"])
    assert found[0]["output_0"].shape == (3, 4)


def test_the_prepared_model_survives_json(tmp_path):
    model, _ = ready(spec(), tmp_path)
    assert PreparedModel.from_json(json.loads(json.dumps(model.to_json()))) == model


# ---------------------------------------------------------------------------- exported programs


@pytest.fixture
def program(tmp_path):
    from harness.models.factory import build

    def write(factory, args, kwargs=None, dynamic=True):
        module = build({"torch": f"sample_models:{factory}", "base": str(MODELS), "seed": 0})
        tensors = (*args, *(kwargs or {}).values())
        shapes = [{0: torch.export.Dim("batch")} for _ in tensors] if dynamic else None
        names = list(kwargs or {})
        if shapes and kwargs:
            shapes = {"ids": shapes[0], **dict(zip(names, shapes[1:], strict=True))}
        path = tmp_path / f"{factory}.pt2"
        exported = torch.export.export(
            module, args, kwargs,
            dynamic_shapes=tuple(shapes) if isinstance(shapes, list) else shapes,
        )  # fmt: skip
        torch.export.save(exported, path)
        return path, module

    return write


def test_an_exported_program_runs_with_its_own_argument_names(tmp_path, program):
    ids, mask = torch.zeros(2, 6, dtype=torch.int64), torch.ones(2, 6)
    path, module = program("two_inputs", (ids,), {"mask": mask})
    inputs = [
        {"name": "mask", "shape": ["batch", 6]},
        {"name": "ids", "dtype": "int64", "shape": ["batch", 6], "range": [0, 11]},
    ]
    model, rows = ready(spec(inputs=inputs, exported_program=str(path)), tmp_path)
    assert rows[0].format == "exported_program"
    arrays = make_inputs(model, 5, 0)
    with torch_backend(model) as backend:
        backend.load()
        found = run_once(backend, arrays)["output_0"]
    expected = module(torch.from_numpy(arrays["ids"]), mask=torch.from_numpy(arrays["mask"]))
    np.testing.assert_allclose(found, expected["pooled"], rtol=1e-6)


def test_a_program_with_a_fixed_batch_takes_that_batch_only(tmp_path, program):
    path, _ = program("mlp", (torch.zeros(3, 8),), dynamic=False)
    with pytest.raises(UsageError, match=r"batch fixed at 3, load\.batch_sizes asks for 1"):
        ready(spec(exported_program=str(path)), tmp_path)
    model, _ = ready(spec(exported_program=str(path)), tmp_path, batches=(3,))
    assert model.outputs[0].shape == ("batch", 5)


def test_a_program_may_have_its_batch_elsewhere_than_first(tmp_path):
    path = tmp_path / "p.pt2"
    shapes = ({1: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(torch.nn.Linear(8, 5), (torch.zeros(3, 2, 8),), dynamic_shapes=shapes),
        path,
    )
    inputs = [{"name": "x", "shape": [3, "batch", 8]}]
    model, _ = ready(spec(inputs=inputs, exported_program=str(path)), tmp_path)
    assert model.outputs[0].shape == (3, "batch", 5)


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


def test_a_wrong_number_of_inputs_or_no_program_is_refused(tmp_path, program):
    path, _ = program("mlp", (torch.zeros(3, 8),))
    two = [VECTOR, {"name": "y", "shape": ["batch", 8]}]
    with pytest.raises(UsageError, match=r"takes 1 inputs \(input\), model.inputs has 2 \(x, y\)"):
        ready(spec(inputs=two, exported_program=str(path)), tmp_path)
    (tmp_path / "junk.pt2").write_bytes(b"junk")
    with pytest.raises(UsageError, match="is not an exported program"):
        ready(spec(exported_program=str(tmp_path / "junk.pt2")), tmp_path)


# -------------------------------------------------------------------------------- other sources


def test_fake_and_triton_sources_have_nothing_to_prepare(tmp_path):
    fake, rows = ready(spec(inputs=(), fake={}), tmp_path, formats=())
    assert rows == []
    assert make_inputs(fake, 4, 0)["input"].shape == (4, 1)
    triton, _ = ready(spec(inputs=(), triton="served"), tmp_path, formats=())
    assert (triton.inputs, triton.outputs, triton.files) == ((), (), {})
    for model, reason in ((fake, "nothing to compare"), (triton, "lives on a server")):
        folder = write_references(model, schema.Parity(), [1], tmp_path)
        assert reason in Reference.open(folder).unavailable


def test_a_format_that_a_source_does_not_have_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs the model as onnx, which a triton source"):
        ready(spec(inputs=(), triton="served"), tmp_path, formats=("onnx",))


def test_missing_files_are_named_before_anything_is_made(tmp_path):
    for source in ({"onnx": "no.onnx"}, {"exported_program": "no.pt2"},
                   {"torch": "sample_models:mlp", "weights": "no.pt"}):  # fmt: skip
        with pytest.raises(UsageError, match=r"no such file: .*/no\."):
            ready(spec(**source), tmp_path)
    data = {**VECTOR, "data": {"files": ["no.npy"]}}
    with pytest.raises(UsageError, match=r"x: no such file: .*/no\.npy"):
        ready(spec(inputs=[data]), tmp_path)


def test_a_missing_format_says_why_when_a_backend_asks_for_it():
    model = PreparedModel("m", {"torch": "a:b"}, "k", (), (), failures={"onnx": "no operator"})
    with pytest.raises(BackendError, match="m has no onnx file: no operator"):
        model.file("onnx")
    with pytest.raises(BackendError, match="a torch source has none"):
        model.file("engine")


def test_formats_follow_from_the_backends():
    def of(**settings):
        return (schema.Scenario.model_validate(
            {"scenario": "s", "model": spec().model_dump(), "backends": [settings]}
        ).backends[0].formats)  # fmt: skip

    assert of(kind="torch", device="cpu") == {"torch"}
    assert of(kind="onnxruntime") == {"onnx"}
    assert of(kind="triton", protocol="http", serve="onnxruntime") == {"onnx"}


# ----------------------------------------------------------------------------------- references


def test_references_are_kept_made_again_when_damaged_and_follow_the_data(tmp_path):
    model, _ = ready(spec(), tmp_path)
    parity = schema.Parity(inputs=2)
    folder = write_references(model, parity, [1, 4], tmp_path)
    reference = Reference.open(folder)
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
    assert "ONNX Runtime 1.0 " in Reference.open(other).words


def test_a_reference_that_was_not_computed_is_an_error(tmp_path):
    model, _ = ready(spec(), tmp_path)
    reference = Reference.open(write_references(model, schema.Parity(), [1], tmp_path))
    with pytest.raises(UsageError, match="no reference for batch 9"):
        reference.outputs(9, 0)
    with pytest.raises(UsageError, match="holds no reference outputs"):
        Reference.open(tmp_path)


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
