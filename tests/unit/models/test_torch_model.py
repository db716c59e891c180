"""How the inputs of a scenario go into a module."""

from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.sample import ready, spec, torch_backend  # noqa: E402

from harness.backends.base import run_once  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.torch_model import output_names, to_array, to_tensors  # noqa: E402


def test_inputs_go_in_by_forwards_names_whatever_their_order(tmp_path):
    ids = {"name": "ids", "dtype": "int64", "shape": ["batch", "seq"], "range": [0, 11]}
    mask = {"name": "mask", "shape": ["batch", "seq"]}
    found = []
    for inputs in ([ids, mask], [mask, ids]):
        model, _ = ready(spec("two_inputs", inputs, {"seq": 6}), tmp_path)
        assert [(o.name, o.shape) for o in model.outputs] == [
            ("pooled", ("batch", 4)), ("count", ("batch",)),
        ]  # fmt: skip
        with torch_backend(model) as backend:
            backend.load()
            found.append(run_once(backend, make_inputs(model, 3, 0)))
    np.testing.assert_array_equal(found[0]["pooled"], found[1]["pooled"])
    assert found[0]["pooled"].shape == (3, 4)


def test_outputs_keep_the_names_that_forward_gives_them():
    class Pair(NamedTuple):
        left: torch.Tensor
        right: torch.Tensor

    one = torch.zeros(1)
    nested = {"losses": {"rec": one}, "output": [one, {"ids": one}], "hidden": None, "n": 3}
    assert output_names(nested) == ["losses_rec", "output_0", "output_1_ids"]
    assert output_names(Pair(one, one)) == ["left", "right"]
    assert output_names({"logits": one}) == ["logits"]
    assert output_names((one, {"a": one})) == ["output_0", "output_1_a"]
    assert output_names({"x": one, "x_out": one}, ["x"]) == ["x_out", "x_out_out"]
    assert (output_names(one), output_names((one, None))) == (["output"], ["output"])
    assert output_names((one, None, [one])) == ["output_0", "output_1"]


def test_bfloat16_goes_in_and_comes_out_as_float32():
    (tensor,) = to_tensors({"x": np.float32([1.5])}, {"x": "bfloat16"}).values()
    assert tensor.dtype == torch.bfloat16
    assert (to_array(tensor).dtype, to_array(tensor).tolist()) == (np.float32, [1.5])
