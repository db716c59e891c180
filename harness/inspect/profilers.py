"""Per-layer times by the runtimes' own profilers, on a session or context made for it alone.

Such runs are slower than others, and never mixed with timed ones.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.backends.base import BackendContext
from harness.errors import BackendError, UsageError
from harness.inspect.layers import LayerTimes, described, of_reports, of_trace
from harness.inspect.trace import kineto, onnxruntime, read_events
from harness.models.inputs import make_inputs
from harness.models.tensors import Tensors
from harness.scenario.spec.backend import BackendSettings

if TYPE_CHECKING:
    import onnxruntime as ort

    from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
    from harness.backends.tensorrt.settings import TensorRtSettings
    from harness.backends.torch.settings import TorchSettings

KINDS = ("onnxruntime", "tensorrt", "torch")
WARM = 5
"""Runs before those that count."""


def profile_layers(
    spec: BackendSettings, context: BackendContext, batch: int, runs: int, folder: Path
) -> LayerTimes:
    """The layers' times in `runs` runs at a batch size; traces go into `folder`.

    Raises UsageError for a backend whose runtime tells no layers, and what the backend raises.
    """
    inputs = make_inputs(context.model, batch, 0)
    if spec.kind == "onnxruntime":
        target = folder / "onnxruntime.json"
        onnxruntime_layers(cast("OnnxRuntimeSettings", spec), context, inputs, runs, target)
        return of_trace(onnxruntime(read_events(target), WARM)[0])
    if spec.kind == "tensorrt":
        return tensorrt_layers(cast("TensorRtSettings", spec), context, inputs, runs)
    if spec.kind == "torch":
        return torch_layers(cast("TorchSettings", spec), context, inputs, runs, folder)
    raise UsageError(f"a `{spec.kind}` backend tells no layers", fix=f"use {', '.join(KINDS)}")


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
        context.begin("work")
        request = backend.prepare(inputs)
        with backend.caller() as caller:
            for _ in range(WARM + runs):
                caller.infer(request)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(backend.session.end_profiling()).read_bytes())


def torch_layers(
    spec: TorchSettings, context: BackendContext, inputs: Tensors, runs: int, folder: Path
) -> LayerTimes:
    """By PyTorch Profiler: operators, and on a GPU the kernels that they launched."""
    from harness.backends.torch.backend import TorchBackend
    from harness.inspect.recording import record

    with TorchBackend(spec, context) as backend:
        backend.load()
        context.begin("work")
        request = backend.prepare(inputs)
        with backend.caller() as caller:
            for _ in range(WARM):
                caller.infer(request)
            path = record(folder, lambda: caller.infer(request), runs)
    return of_trace(kineto(read_events(path)))


def tensorrt_layers(
    spec: TensorRtSettings, context: BackendContext, inputs: Tensors, runs: int
) -> LayerTimes:
    """By TensorRT's IProfiler, in the engine's order, described by its engine inspector.

    A captured graph reports no layers, so none is used; the layers run one after the other, and
    their sum can be more than a request takes.
    """
    from harness.backends.tensorrt.backend import TensorRtBackend

    plain = spec.model_copy(update={"cuda_graphs": False})
    with TensorRtBackend(plain, context) as backend:
        backend.load()
        context.begin("work")
        request = backend.prepare(inputs)
        module, engine = backend.loaded.flavor.trt, backend.loaded.engine
        times = layer_times(module)
        reports, run_us = [], []
        with backend.caller() as caller:
            for _ in range(WARM):
                caller.infer(request)
            caller.report_layers(times)
            caller.infer(request)  # the first with a profiler may set it up
            for _ in range(runs):
                times.reported.clear()
                begin = time.monotonic_ns()
                caller.infer(request)
                run_us.append((time.monotonic_ns() - begin) / 1e3)
                reports.append(list(times.reported))
        inspector = engine.create_engine_inspector()
        text = str(inspector.get_engine_information(module.LayerInformationFormat.JSON))
        if not any(reports):
            raise BackendError(f"{backend.loaded.flavor.title} told its profiler of no layer")
        return of_reports(reports, run_us, described(text))


def layer_times(module: Any) -> Any:
    """An IProfiler of `tensorrt` or `tensorrt_rtx` that keeps what it is told, in `reported`."""

    class LayerReports(module.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.reported: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            """Called by TensorRT for each layer of each run."""
            self.reported.append((layer_name, ms))

    return LayerReports()
