"""Per-layer times by the runtimes' own profilers, on a session or context made for it alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.backends.base import BackendContext
from harness.models.tensors import Tensors

if TYPE_CHECKING:
    import onnxruntime as ort

    from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
    from harness.backends.tensorrt.settings import TensorRtSettings

WARM = 5
"""Runs before those that count."""


def onnxruntime_layers(
    spec: OnnxRuntimeSettings, context: BackendContext, inputs: Tensors, runs: int, target: Path
) -> None:
    """Write ONNX Runtime's profile of `WARM + runs` runs, a Chrome trace, to `target`."""
    from harness.backends.onnxruntime.backend import OnnxRuntimeBackend

    class Profiled(OnnxRuntimeBackend):
        """The same session, with its profiler on."""

        def _options(self) -> ort.SessionOptions:
            options = super()._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            return options

    with tempfile.TemporaryDirectory() as folder, Profiled(spec, context) as backend:
        backend.load()
        request = backend.prepare(inputs)
        with backend.caller() as caller:
            for _ in range(WARM + runs):
                caller.infer(request)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(backend.session.end_profiling()).read_bytes())


def tensorrt_layers(
    spec: TensorRtSettings, context: BackendContext, inputs: Tensors, runs: int
) -> list[tuple[str, float]]:
    """Layer → mean microseconds by TensorRT's IProfiler, in the engine's order.

    A captured graph reports no layers, so none is used; the layers run one after the other, and
    their sum can be more than a request takes.
    """
    from harness.backends.tensorrt.backend import TensorRtBackend

    plain = spec.model_copy(update={"cuda_graphs": False})
    with TensorRtBackend(plain, context) as backend:
        backend.load()
        request = backend.prepare(inputs)
        times = layer_times(backend.loaded.flavor.trt)
        with backend.caller() as caller:
            for _ in range(WARM):
                caller.infer(request)
            caller.report_layers(times)
            for _ in range(runs):
                caller.infer(request)
        return mean_us(times.reported, runs)


def layer_times(module: Any) -> Any:
    """An IProfiler of `tensorrt` or `tensorrt_rtx` that keeps what it is told, in `reported`."""

    class LayerTimes(module.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.reported: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            """Called by TensorRT for each layer of each run."""
            self.reported.append((layer_name, ms))

    return LayerTimes()


def mean_us(reported: Iterable[tuple[str, float]], runs: int) -> list[tuple[str, float]]:
    """Layer → microseconds a run, in the order in which they were first told."""
    found: dict[str, float] = {}
    for name, ms in reported:
        found[name] = found.get(name, 0.0) + ms * 1e3 / runs
    return list(found.items())
