"""Exported programs."""

import io
import re
import zipfile
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.sample import MODELS, VECTOR, ready, spec, torch_backend  # noqa: E402

from harness.backends.base import run_once  # noqa: E402
from harness.errors import UsageError  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.program import read_program, scenario_names  # noqa: E402


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
        found = run_once(backend, arrays)["pooled"]
    expected = module(torch.from_numpy(arrays["ids"]), mask=torch.from_numpy(arrays["mask"]))
    np.testing.assert_allclose(found, expected["pooled"], rtol=1e-6)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_program_is_not_held_to_the_types_that_it_was_exported_in(tmp_path, precision):
    """torch.export writes `scores.float()` of fp32 down as: this must be fp32."""

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, x):
            y = self.linear(x)
            return (y @ y.mT).float().softmax(-1) @ y

    shapes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(
        Attention().eval(), (torch.randn(2, 5, 8),), dynamic_shapes=shapes
    )
    assert "_assert_tensor_metadata" in str(exported.graph)
    torch.export.save(exported, tmp_path / "a.pt2")
    inputs = [{"name": "x", "shape": ["batch", 5, 8]}]
    model, _ = ready(spec(inputs=inputs, exported_program=str(tmp_path / "a.pt2")), tmp_path)
    arrays = make_inputs(model, 3, 0)
    with torch_backend(model, precision=precision) as backend:
        details = backend.load().details
        (found,) = run_once(backend, arrays).values()
    with torch_backend(model) as backend:
        backend.load()
        (expected,) = run_once(backend, arrays).values()
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert "under torch.autocast" in details["note"]  # as eager code that casts so


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


def test_a_wrong_number_of_inputs_or_no_program_is_refused(tmp_path, program):
    path, _ = program("mlp", (torch.zeros(3, 8),))
    two = [VECTOR, {"name": "y", "shape": ["batch", 8]}]
    with pytest.raises(UsageError, match=r"takes 1 input \(input\), model.inputs has 2 \(x, y\)"):
        ready(spec(inputs=two, exported_program=str(path)), tmp_path)
    (tmp_path / "junk.pt2").write_bytes(b"junk")
    with pytest.raises(UsageError, match="is not an exported program"):
        ready(spec(exported_program=str(tmp_path / "junk.pt2")), tmp_path)


def test_names_go_by_name_and_never_into_anothers_place():
    path = MODELS / "p.pt2"
    assert scenario_names(path, ["a", "b"], ["b", "a"]) == {"a": "a", "b": "b"}
    assert scenario_names(path, ["a"], ["x"]) == {"a": "x"}
    with pytest.raises(UsageError, match=r"the program p.pt2 has no argument 'x'; did you mean"):
        scenario_names(path, ["a", "b"], ["x", "a"])


class Writes:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def spoiled(tmp_path, program):
    """An exported program with one part replaced: the end of its name → bytes to bytes."""

    def write(end, change):
        path, _ = program("two_inputs", (torch.zeros(2, 6, dtype=torch.int64),),
                          {"mask": torch.ones(2, 6)})  # fmt: skip
        with zipfile.ZipFile(path) as whole:
            parts = {name: whole.read(name) for name in whole.namelist()}
        (name,) = [name for name in parts if name.endswith(end)]
        changed = change(parts[name])
        assert changed != parts[name]
        with zipfile.ZipFile(path, "w") as whole:  # stored, as torch's reader wants it
            for part, data in parts.items():
                whole.writestr(part, changed if part == name else data)
        return path

    return write


def malicious(value):
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


SAMPLES = "sample_inputs/model.pt"


def test_a_program_whose_pickle_would_write_a_file_is_refused_and_nothing_ran(spoiled, tmp_path):
    path = spoiled(SAMPLES, lambda _: malicious((Writes(tmp_path / "ran"), {})))
    with pytest.raises(UsageError, match="would run code") as caught:
        read_program(path)
    assert caught.value.fix is not None and "trust: true" in caught.value.fix
    assert not (tmp_path / "ran").exists()
    with mock.patch("torch._export.serde.serialize.log"):  # its warning has a wrong format
        read_program(path, trust=True)
    assert (tmp_path / "ran").exists(), "it is malicious indeed"


@pytest.mark.parametrize(("old", "new"), [
    (rb'"target": ?"torch\.ops\.aten[^"]*"', b'"target": "torch.os.system"'),
    (rb'"target": ?"torch\.ops\.aten[^"]*"', b'"target": "torch.ops.load_library"'),
    (rb'"expr_str": ?"[^"]*"', b'"expr_str": "exec(chr(1))"'),
    (rb'"expr_str": ?"[^"]*"', b'"expr_str": "s0.__class__"'),
])  # fmt: skip
def test_a_program_that_calls_what_is_no_operator_is_refused(spoiled, old, new):
    path = spoiled("models/model.json", lambda text: re.sub(old, new, text, count=1))
    with pytest.raises(UsageError, match="would run code"):
        read_program(path)


def test_a_constant_that_is_a_pickle_is_refused(spoiled):
    entry = b'{"config": {"c": {"path_name": "anything", "use_pickle": true}}}'
    with pytest.raises(UsageError, match="would run code"):
        read_program(spoiled("model_constants_config.json", lambda _: entry))
