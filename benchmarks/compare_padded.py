"""ONNX Runtime with one matrix product more after each request: 5 % more, for compare_aa."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import onnxruntime as ort
from pydantic import Field

from harness.backends.base import BackendContext, Caller, LoadCost
from harness.backends.onnxruntime.backend import OnnxRuntimeBackend, OrtReply, OrtRequest
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.models.tensors import Tensors

ONE = "one.onnx"
"""The product, in the folder of the scenario's model."""


class PaddedSettings(OnnxRuntimeSettings):
    """As ONNX Runtime's, and where the product is."""

    sources: ClassVar[tuple[str, ...]] = ("onnx",)  # type: ignore[assignment]

    kind: Literal["padded"] = Field(description="which backend")  # type: ignore[assignment]
    one: str = Field(description="the ONNX file with one product")


class PaddedCaller(Caller[OrtRequest, OrtReply]):
    """Calls the session, then the product."""

    def __init__(self, inner: Caller[OrtRequest, OrtReply], one: ort.InferenceSession) -> None:
        self._inner, self._one = inner, one
        shape = [d for d in one.get_inputs()[0].shape if isinstance(d, int)]
        self._input = {"x": np.ones(shape, np.float32)}

    def infer(self, request: OrtRequest) -> OrtReply:
        """The session's outputs."""
        found = self._inner.infer(request)
        self._one.run(None, self._input)
        return found

    def outputs(self, reply: OrtReply) -> Tensors:
        """As the session's."""
        return self._inner.outputs(reply)


class PaddedBackend(OnnxRuntimeBackend):
    """A session for the model, and one for the product."""

    def __init__(self, spec: PaddedSettings, context: BackendContext) -> None:
        super().__init__(spec, context)
        self._one = Path(spec.one)

    def load(self) -> LoadCost:
        """Both."""
        cost = super().load()
        self._product = ort.InferenceSession(str(self._one), self._options())
        return cost

    def caller(self) -> PaddedCaller:  # type: ignore[override]
        """A caller that does both."""
        return PaddedCaller(super().caller(), self._product)
