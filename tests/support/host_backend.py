"""A TensorRT backend with an engine in host memory."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from support.host_cuda import HostCuda, HostEngine, Mode

from harness.backends.base import BackendContext
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.backend import TensorRtBackend, _profiles
from harness.backends.tensorrt.bindings import (
    Loaded,
    bindings,
)
from harness.backends.tensorrt.settings import TensorRtSettings as Spec
from harness.models.tensors import PreparedModel, TensorSpec

MODEL = PreparedModel(
    name="m", source={"onnx": "m.onnx"}, key="k",
    inputs=(TensorSpec("x", "float32", ("batch", 4)),), outputs=(), max_batch_size=8,
)  # fmt: skip


TRT = SimpleNamespace(TensorIOMode=Mode, BuilderFlag=SimpleNamespace())


def backend(cuda: HostCuda, profiles=((1, 8, 8),), *, fails=False, **settings) -> TensorRtBackend:
    made = TensorRtBackend(Spec(kind="tensorrt", **settings), BackendContext(MODEL))
    engine = HostEngine(cuda, list(profiles), fails)
    inputs, outputs = bindings(TRT, engine)
    made._loaded = Loaded(
        trt.Flavor("tensorrt", "10.9.0.34", TRT), trt.Messages(), cuda, engine, inputs, outputs,
        _profiles(engine, inputs),
    )  # fmt: skip
    return made


def batch(size: int, start: float = 0.0) -> np.ndarray:
    return np.arange(start, start + size * 4, dtype=np.float32).reshape(size, 4)
