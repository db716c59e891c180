"""Models that run in PyTorch: from what `prepare` left to something to call.

A factory's weights are drawn once, by `prepare`, and kept as a state-dict file; whoever rebuilds
the module later loads that file, so every backend has identical weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.models.binding import bind
from harness.models.factory import build
from harness.models.program import open_program
from harness.models.tensors import PreparedModel
from harness.models.torch_model import TorchModel
from harness.models.weights import load_weights

if TYPE_CHECKING:
    import torch


def open_model(
    model: PreparedModel, device: str = "cpu", dtype: torch.dtype | None = None
) -> TorchModel:
    """Rebuild what `prepare` saw, in eval mode on `device`, in fp32 or cast to `dtype`.

    A module is cast before it is moved, so that the device never holds both.
    Raises UsageError when the user's code or weights do not fit, BackendError when the source has
    nothing that PyTorch can run.
    """
    names = [spec.name for spec in model.inputs]
    if "exported_program" in model.files:
        trust = bool(model.source.get("trust"))
        program = open_program(Path(model.file("exported_program")), names, device, trust=trust)
        program.module.to(dtype=dtype)
        return program
    module = build(model.source)
    load_weights(module, model.file("state_dict"))
    return bind(module.to(dtype=dtype).to(device), names, model.source.get("call", ""))
