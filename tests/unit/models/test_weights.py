import pickle

import pytest

torch = pytest.importorskip("torch")

from harness.errors import UsageError  # noqa: E402
from harness.models.weights import (  # noqa: E402
    load_weights,
    parameter_count,
    read_weights,
    weights_hash,
    weights_precision,
)


@pytest.fixture
def module():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def test_weights_go_to_a_file_and_back(module, tmp_path):
    torch.save(module.state_dict(), tmp_path / "w.pt")
    other = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    assert weights_hash(other) != weights_hash(module)
    load_weights(other, tmp_path / "w.pt")
    assert weights_hash(other) == weights_hash(module)


def test_what_a_state_dict_knows_of_its_modules_versions_comes_along(tmp_path):
    """Quantized modules read theirs by it: without, `KeyError: 0.weight`."""
    from torch.ao.quantization import quantize_dynamic

    def made():
        plain = torch.nn.Sequential(torch.nn.Linear(3, 2)).eval()
        return quantize_dynamic(plain, {torch.nn.Linear}, dtype=torch.qint8)

    one, other = made(), made()
    torch.save(one.state_dict(), tmp_path / "w.pt")
    load_weights(other, tmp_path / "w.pt")
    x = torch.ones(1, 3)
    assert torch.equal(one(x), other(x))


def test_a_checkpoint_with_a_state_dict_in_it_is_read(module, tmp_path):
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").keys() == module.state_dict().keys()


def test_keys_that_do_not_fit_are_named(module, tmp_path):
    state = module.state_dict()
    state["0.weight"] = torch.zeros(3, 5)
    state["extra"] = state.pop("0.bias")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UsageError) as caught:
        load_weights(module, tmp_path / "w.pt")
    text = str(caught.value)
    assert "1 missing (0.bias)" in text
    assert "1 unexpected (extra)" in text
    assert "0.weight: [3, 5] in the file, [3, 4] in the model" in text


class Evil:
    def __reduce__(self):
        return print, ("ran code",)


@pytest.mark.parametrize("content", [b"", b"nothing", pickle.dumps({"w": Evil()})])
def test_what_is_no_state_dict_is_refused_without_running_it(module, tmp_path, content, capsys):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(UsageError, match="is not a state dict"):
        load_weights(module, tmp_path / "w.pt")
    assert "ran code" not in capsys.readouterr().out


def test_other_objects_are_refused(module, tmp_path):
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(UsageError, match="holds a list"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(UsageError, match="no such file"):
        read_weights(tmp_path / "none.pt")


def test_the_hash_sees_a_single_bit_and_every_dtype(module):
    before = weights_hash(module)
    with torch.no_grad():
        module[0].weight[0, 0] = torch.nextafter(module[0].weight[0, 0], torch.tensor(9.0))
    changed = weights_hash(module)
    assert changed != before
    assert weights_hash(module.to(torch.bfloat16)) != changed


def quantized(weight):
    from torch.ao.quantization import quantize_dynamic

    plain = torch.nn.Sequential(torch.nn.Linear(100, 100)).eval()
    plain[0].weight.data.copy_(weight)
    plain[0].bias.data.zero_()
    return quantize_dynamic(plain, {torch.nn.Linear}, dtype=torch.qint8)


def test_the_hash_sees_the_middle_of_a_quantized_weight():
    """As text both look alike: PyTorch prints the corners of a large tensor."""
    weight = torch.linspace(-1, 1, 10_000).reshape(100, 100)
    one, same = quantized(weight), quantized(weight)
    weight[50, 50] += 0.5
    assert weights_hash(one) == weights_hash(same) != weights_hash(quantized(weight))


def test_a_quantized_convolution_is_hashed_too():
    from torch.ao.nn.quantized import Conv2d

    assert weights_hash(Conv2d(3, 4, 3)) != weights_hash(Conv2d(3, 4, 5))


def test_what_a_module_is_in_is_what_its_weights_are():
    plain = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).eval()
    assert weights_precision(plain) == weights_precision(torch.nn.ReLU()) == "fp32"
    for dtype, found in ((torch.float64, "fp64"), (torch.float16, "fp16"),
                         (torch.bfloat16, "bf16"), (torch.float8_e5m2, "fp8")):  # fmt: skip
        assert weights_precision(plain.to(dtype)) == found
    by_hand = torch.nn.Module()
    by_hand.register_buffer("weight", torch.ones(8, 8, dtype=torch.int8))
    by_hand.register_buffer("scale", torch.ones(8))
    assert weights_precision(by_hand) == "int8"
    by_hand.register_buffer("mask", torch.ones(99, 99, dtype=torch.uint8))
    by_hand.register_buffer("count", torch.ones(99, dtype=torch.int64))
    assert weights_precision(by_hand) == "int8"
    by_hand.register_parameter("more", torch.nn.Parameter(torch.ones(99)))
    assert weights_precision(by_hand) == "fp32"


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 4)

    def forward(self, x):
        return self.lstm(x)[0]


@pytest.mark.parametrize(("dtype", "found"), [(torch.float16, "fp16"), (torch.qint8, "int8")])
@pytest.mark.parametrize(("make", "shape"), [
    (lambda: torch.nn.Sequential(torch.nn.Linear(4, 4)), (2, 4)), (Recurrent, (3, 2, 4)),
])  # fmt: skip
def test_what_is_quantized_dynamically_is_what_its_layers_say(make, shape, dtype, found):
    kinds = {torch.nn.Linear, torch.nn.LSTM}
    module = torch.ao.quantization.quantize_dynamic(make().eval(), kinds, dtype=dtype)
    assert weights_precision(module) == found
    if make is not Recurrent:
        assert weights_precision(torch.jit.trace(module, torch.zeros(shape))) == found


def test_a_table_in_four_bits_is_int4_and_what_only_waits_to_be_quantized_is_not():
    config = torch.ao.quantization.float_qparams_weight_only_qconfig_4bit
    table = torch.nn.Sequential(torch.nn.Embedding(4, 4))
    found = torch.ao.quantization.quantize_dynamic(table, {torch.nn.Embedding: config})
    assert weights_precision(found) == "int4"
    ready = torch.nn.Sequential(torch.ao.nn.quantized.FloatFunctional(), torch.nn.Linear(4, 4))
    assert weights_precision(ready) == "fp32"


def test_a_quantized_layer_is_found_in_the_module_in_torchscript_and_in_a_program():
    module = quantized(torch.ones(100, 100))
    scripted = torch.jit.trace(module, torch.ones(1, 100))
    assert weights_precision(module) == weights_precision(scripted) == "int8"
    assert weights_precision(torch.jit.script(torch.nn.Linear(4, 3))) == "fp32"

    class Fake(torch.nn.Module):
        def forward(self, x):
            return torch.ops.quantized_decomposed.quantize_per_tensor(
                x, 0.1, 0, -128, 127, torch.int8
            )

    from torch.ao.quantization.fx import _decomposed  # noqa: F401 - registers the operators

    program = torch.export.export(Fake(), (torch.ones(2, 3),))
    assert weights_precision(program.module()) == "int8"


def test_shared_weights_count_once(module):
    tied = torch.nn.ModuleList([module[0], module[0]])
    assert parameter_count(tied) == 4 * 3 + 3
