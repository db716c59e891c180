"""How the inputs of a scenario go into a module."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.sample import ready, spec, torch_backend  # noqa: E402

from harness.backends.base import run_once  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.torch_model import bind, output_names, to_array, to_tensors  # noqa: E402


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


class Mixed(torch.nn.Module):
    def forward(self, a, extra=None, b=None):
        return {"sum": a + b, "pair": (a, [b]), "words": "none"}


def test_inputs_behind_one_that_has_no_data_go_in_by_keyword():
    model = bind(Mixed(), ["b", "a"])
    assert (model.positional, dict(model.keywords)) == (("a",), {"b": "b"})
    one, two = np.float32([[1]]), np.float32([[2]])
    assert [float(t) for t in model({"a": one, "b": two})] == [3.0, 1.0, 2.0]
    other = bind(Mixed(), ["x", "y"])
    assert (other.positional, other.names) == (("x", "y"), ("x", "y"))


def test_bfloat16_goes_in_and_comes_out_as_float32():
    (tensor,) = to_tensors({"x": np.float32([1.5])}, {"x": "bfloat16"}).values()
    assert tensor.dtype == torch.bfloat16
    assert (to_array(tensor).dtype, to_array(tensor).tolist()) == (np.float32, [1.5])
    assert (output_names(1), output_names(2)) == (["output"], ["output_0", "output_1"])
