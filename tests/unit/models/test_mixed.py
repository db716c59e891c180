"""16 bits in models that cast to fp32 in the middle, on the kinds that people report."""

import numpy as np
import pytest
from support.paths import DATA

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from harness.errors import BackendError, OutOfMemoryError, translated  # noqa: E402
from harness.models.mixed import Mixed  # noqa: E402

HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


class Attention(nn.Module):
    """Its softmax is taken in fp32 and multiplied with values in 16 bits; `low` hides words."""

    def __init__(self, low=0.0):
        super().__init__()
        self.take, self.low = nn.Linear(8, 24), low

    def forward(self, x):
        query, key, value = self.take(x).chunk(3, -1)
        hidden = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool).fill_diagonal_(True)
        scores = (query @ key.mT).masked_fill(hidden, self.low)
        return scores.float().softmax(-1) @ value


class Encoder(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def half(module, dtype, forward=None):
    details = {}
    module = module.eval().to(dtype)
    return Mixed(forward or module, module, dtype, details), details


@HALVES
def test_what_casts_to_fp32_in_the_middle_runs_under_autocast_and_says_so(dtype):
    torch.manual_seed(0)
    module, x = Encoder(nn.Linear(8, 8), Attention()), torch.randn(2, 5, 8)
    expected = module(x)
    forward, details = half(module, dtype)
    with torch.inference_mode():
        first, again = (forward(x.to(dtype)).float() for _ in range(2))
    torch.testing.assert_close(first, expected, atol=0.02, rtol=0.02)
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert details["note"].startswith(
        "it runs under torch.autocast: forward mixes types (RuntimeErr"
    )
    assert {p.dtype for p in module.parameters()} == {dtype}


@HALVES
def test_what_runs_in_16_bits_does_so_without_autocast(dtype):
    inside = []

    class Looks(nn.Linear):
        def forward(self, x):
            inside.append(torch.is_autocast_enabled("cpu"))
            return super().forward(x)

    forward, details = half(Looks(8, 4), dtype)
    for _ in range(3):
        assert forward(torch.ones(2, 8, dtype=dtype)).dtype == dtype
    assert (inside, details) == ([False] * 3, {})


def test_what_runs_in_neither_way_is_refused_with_layer_line_and_way_out():
    """A value that fp16 has not: in bf16 the same model runs."""
    x = torch.randn(1, 5, 8)
    forward, details = half(Encoder(nn.Linear(8, 8), Attention(low=-1e9)), torch.float16)
    with pytest.raises(BackendError) as caught:
        forward(x.half())
    assert caught.value.message.startswith("layer 'layers.1' (test_mixed.py:")
    assert "does not run in float16: RuntimeError: value cannot be converted" in str(caught.value)
    assert "torch.finfo(x.dtype).min" in caught.value.fix
    assert details == {}
    other, _ = half(Encoder(nn.Linear(8, 8), Attention(low=-1e9)), torch.bfloat16)
    assert other(x.bfloat16()).isfinite().all()


def test_without_memory_it_is_not_tried_in_another_way():
    calls = []

    class Greedy(nn.Module):
        def forward(self, x):
            calls.append(x)
            return torch.empty(2**60, dtype=torch.uint8)

    called, _ = half(Greedy(), torch.float16)
    with pytest.raises(OutOfMemoryError), translated():
        called(torch.ones(1, 8))
    assert len(calls) == 1


def test_what_was_compiled_is_called_as_the_module_itself_has_to_be():
    """A compiler may fold the types away at batch 1, and meet them at the next size."""
    inside = []

    def compiled(x):
        inside.append(torch.is_autocast_enabled("cpu"))
        return x

    attention = half(Attention(), torch.float16, compiled)
    plain = half(nn.Linear(8, 4), torch.float16, compiled)
    for forward, _ in (attention, plain):
        for batch in (1, 4):
            x = torch.ones(batch, 5, 8, dtype=torch.float16)
            assert forward(x) is x
    assert inside == [True, True, False, False]
    assert (len(attention[1]), len(plain[1])) == (1, 0)


def test_the_model_of_a_sentence_encoder_agrees_in_every_precision(tmp_path):
    """microsoft/onnxconverter-common#320's kind, in eager PyTorch: `attention_mask.float()`."""
    from harness.backends.base import BackendContext
    from harness.backends.registry import open_backend
    from harness.backends.torch.settings import TorchSettings
    from harness.models.prepare import prepare
    from harness.models.reference import write_references
    from harness.run.worker.parity import check
    from harness.scenario.spec.model import ModelSpec, Parity

    spec = ModelSpec.model_validate({
        "name": "m", "source": {"torch": "sample_models:masked"},
        "inputs": [{"name": "ids", "dtype": "int64", "shape": ["batch", 6], "range": [0, 100]},
                   {"name": "mask", "dtype": "int64", "shape": ["batch", 6]}],
    })  # fmt: skip
    model, _ = prepare(spec, ["torch"], [1, 4], tmp_path, base=DATA / "models")
    folder = write_references(model, Parity(), [1, 4], tmp_path)
    for precision in ("fp32", "fp16", "bf16"):
        settings = TorchSettings(kind="torch", precision=precision)
        with open_backend(settings, BackendContext(model)) as backend:
            details = backend.load().details
            rows = check(backend, model, settings, Parity(), [1, 4], folder)
        assert [row.status for row in rows] == ["agrees", "agrees"]
        assert ("note" in details) == (precision != "fp32")
    assert np.isfinite(rows[0].max_abs_error)
