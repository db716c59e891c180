"""From what was prepared to something to call."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.sample import MODELS, ready, spec  # noqa: E402

from harness.errors import BackendError  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.sources import open_model  # noqa: E402
from harness.models.tensors import PreparedModel  # noqa: E402


def test_every_opening_has_the_prepared_weights(tmp_path):
    model, _ = ready(spec("unseeded"), tmp_path)
    inputs = make_inputs(model, 3, 0)
    (one,), (two,) = open_model(model)(inputs), open_model(model)(inputs)
    np.testing.assert_array_equal(one.numpy(), two.numpy())
    assert one.shape == (3, 3)


def test_it_is_cast_and_ready_to_infer(tmp_path):
    model, _ = ready(spec(), tmp_path)
    opened = open_model(model, dtype=torch.bfloat16).module
    assert {p.dtype for p in opened.parameters()} == {torch.bfloat16}
    assert not opened.training and not any(p.requires_grad for p in opened.parameters())


def test_what_pytorch_can_not_run_says_so():
    model = PreparedModel("m", {"torch": "sample_models:mlp", "base": str(MODELS)}, "k", (), ())
    with pytest.raises(BackendError, match="m has no state_dict file: a torch source has none"):
        open_model(model)
