"""Shapes and outputs around an export; exporters themselves are tested in integration."""

import logging
import sys
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from harness.errors import BackendError  # noqa: E402
from harness.models import export  # noqa: E402
from harness.models.export import fits, trace_outputs  # noqa: E402
from harness.models.tensors import TensorSpec  # noqa: E402
from harness.models.torch_model import TorchModel  # noqa: E402


class Shapes(torch.nn.Module):
    """[batch, 3] → itself, its transpose, a constant shape."""

    def forward(self, x):
        return x, x.T.half(), x.sum(0)


class Fixed(torch.nn.Module):
    def forward(self, x):
        return x.reshape(2, 3)


def inputs_of(batch):
    return {"x": np.ones((batch, 3), np.float32)}


def test_the_batch_is_found_wherever_it_is():
    inputs = (TensorSpec("x", "float32", ("batch", 3)),)
    outputs, fixed = trace_outputs(TorchModel(Shapes(), ("x",)), inputs, inputs_of, 2)
    assert fixed is None
    assert [(o.name, o.dtype, o.shape) for o in outputs] == [
        ("output_0", "float32", ("batch", 3)), ("output_1", "float16", (3, "batch")),
        ("output_2", "float32", (3,)),
    ]  # fmt: skip


def test_a_model_that_takes_one_batch_only_is_found_out():
    inputs = (TensorSpec("x", "float32", ("batch", 3)),)
    outputs, fixed = trace_outputs(TorchModel(Fixed(), ("x",)), inputs, inputs_of, 2)
    assert (outputs[0].shape, fixed) == (("batch", 3), 2)
    with pytest.raises(RuntimeError, match="invalid for input of size 9"):
        trace_outputs(TorchModel(Fixed(), ("x",)), inputs, inputs_of, 3)


def test_a_list_with_an_entry_a_sample_is_of_one_batch_size():
    """torchvision's detectors answer so: a dict for each image."""

    class Detector(torch.nn.Module):
        def forward(self, x):
            return [{"boxes": image.sum(0, keepdim=True)} for image in x]

    inputs = (TensorSpec("x", "float32", ("batch", 3)),)
    outputs, fixed = trace_outputs(TorchModel(Detector(), ("x",)), inputs, inputs_of, 1)
    assert ([o.name for o in outputs], fixed) == (["output_0_boxes"], 1)


def test_words_stand_for_any_size():
    assert fits((4, 3), [4, "n"])
    assert not fits((4, 3), [3, "n"])
    assert not fits((4, 3), [4])


@pytest.mark.parametrize("raises", [False, True])
def test_an_export_is_quiet_and_leaves_torch_as_it_was(tmp_path, monkeypatch, capfd, raises):
    """Its logger's level and its printer of graphs are the process's, not the export's."""

    def noisy(job, path):
        logging.getLogger("torch").warning("a warning of the exporter")
        warnings.warn("another", stacklevel=1)
        torch._C._jit_onnx_log("the whole graph")
        print("more", file=sys.stderr)
        if raises:
            raise ValueError("it can't")

    monkeypatch.setattr(export, "EXPORTERS", {"noisy": noisy})
    monkeypatch.setattr(export, "check_file", lambda path: None)
    monkeypatch.setattr(export, "verify", lambda *_: "")
    logger, printer = logging.getLogger("torch"), torch._C._jit_onnx_log
    logger.setLevel(logging.INFO)
    try:
        model, inputs = TorchModel(Fixed(), ("x",)), (TensorSpec("x", "float32", ("batch", 3)),)
        if raises:
            with pytest.raises(BackendError, match="noisy: ValueError: it can't"):
                export.export_onnx(model, inputs, (), inputs_of, [1], tmp_path)
        else:
            export.export_onnx(model, inputs, (), inputs_of, [1], tmp_path)
        assert (logger.level, torch._C._jit_onnx_log) == (logging.INFO, printer)
    finally:
        logger.setLevel(logging.NOTSET)
    assert capfd.readouterr() == ("", "")
