"""Models that run in PyTorch: from what `prepare` left to something to call.

A factory's weights are drawn once, by `prepare`, and kept as a state-dict file; whoever rebuilds
the module later loads that file, so every backend has identical weights.
"""

from __future__ import annotations

from pathlib import Path

from harness.backends.base import PreparedModel
from harness.models.factory import build
from harness.models.program import open_program
from harness.models.torch_model import TorchModel, bind
from harness.models.weights import load_weights


def open_model(model: PreparedModel, device: str = "cpu") -> TorchModel:
    """Rebuild what `prepare` saw, in fp32 and eval mode, on `device`.

    Raises UsageError when the user's code or weights do not fit, BackendError when the source has
    nothing that PyTorch can run.
    """
    names = [spec.name for spec in model.inputs]
    if "exported_program" in model.files:
        return open_program(Path(model.file("exported_program")), names, device)
    module = build(model.source)
    load_weights(module, model.file("state_dict"))
    return bind(module.to(device), names)
