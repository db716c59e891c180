"""How the inputs of a scenario go into a module."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.sample import ready, spec, torch_backend  # noqa: E402

from harness.backends.base import run_once  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.torch_model import (  # noqa: E402
    TakesDict,
    TorchModel,
    flatten,
    in_fp32,
    output_names,
    to_array,
    to_tensors,
)


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


def test_mappings_and_dataclasses_of_any_class_are_looked_into():
    """What EasyDict, addict and older transformers return, and a dataclass of one's own."""

    class Output(OrderedDict):
        pass

    @dataclass
    class Losses:
        rec: torch.Tensor
        kl: torch.Tensor | None = None

    a, b, c = (torch.full((1,), float(i)) for i in range(3))
    made = Output(logits=a, pooled=None, losses=Losses(b), states=(Output(last=c), "text"))
    assert output_names(made) == ["logits", "losses_rec", "states_0_last"]
    assert [t.item() for t in flatten(made)] == [0, 1, 2]
    assert (output_names(Losses(a)), flatten(Losses(a))) == (["rec"], [a])
    assert (output_names(Losses), flatten(Losses), flatten("text")) == ([], [], [])


def test_bfloat16_goes_in_and_comes_out_as_float32():
    (tensor,) = to_tensors({"x": np.float32([1.5])}, {"x": "bfloat16"}).values()
    assert tensor.dtype == torch.bfloat16
    assert (to_array(tensor).dtype, to_array(tensor).tolist()) == (np.float32, [1.5])


def test_half_weights_are_widened_and_8_bits_beside_them_stay():
    module = torch.nn.Module()
    module.register_buffer("eight", torch.ones(4, dtype=torch.float8_e4m3fn))
    module.register_buffer("table", torch.ones(4, dtype=torch.float16))
    module.scale = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    assert not TorchModel(module, ()).widened
    found = {name: value.dtype for name, value in in_fp32(module).state_dict().items()}
    assert found == {
        "eight": torch.float8_e4m3fn, "table": torch.float32, "scale": torch.float32,
    }  # fmt: skip
    assert TorchModel(TakesDict(module), ()).widened == "bf16"
    scripted = torch.jit.script(torch.nn.Linear(2, 2).half())
    assert TorchModel(in_fp32(scripted), ()).widened == "fp16"


@pytest.mark.filterwarnings("ignore")
def test_tensors_that_numpy_has_not_become_plain_ones():
    x = torch.tensor([[0.0, 1.5], [-2.0, 0.0]])
    for tensor in (x.to(torch.bfloat16), x.to(torch.float8_e4m3fn), x.to(torch.float8_e5m2)):
        found = to_array(tensor)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, x)
    for dtype in (torch.float64, torch.float16, torch.int8, torch.bool):
        assert str(to_array(x.to(dtype)).dtype) == str(dtype).removeprefix("torch.")


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_laid_out_as_a_plain_tensor_is_made_one():
    x = torch.tensor([[0.0, 1.5], [-2.0, 0.0]])
    with torch.inference_mode():  # as a forward gives them; they are read outside of it
        odd = [x.to_sparse(), x.to_sparse_csr(), x.to_sparse_bsc((1, 1)),
               torch.quantize_per_tensor(x, 0.5, 0, torch.qint8),
               torch.complex(x, -x).conj().imag]  # fmt: skip
        uneven = [torch.nested.nested_tensor([x[:1], x], layout=layout)
                  for layout in (torch.strided, torch.jagged)]  # fmt: skip
        both = torch.complex(x, x.mT)
    for tensor in flatten({"odd": odd}):
        np.testing.assert_array_equal(tensor.numpy(), x)
    for tensor in flatten(uneven):
        assert tensor.tolist() == [[[0, 1.5], [0, 0]], [[0, 1.5], [-2, 0]]]
    np.testing.assert_array_equal(flatten(both.conj())[0].numpy(), np.conj(both.numpy()))
    assert flatten(x)[0] is x
