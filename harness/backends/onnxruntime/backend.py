"""ONNX Runtime in this process.

All callers share one session: `run` is thread-safe, and one session a process is how an
application serves a model (a session each would multiply the weights and the thread pools). With
the CUDA provider, `io: device` binds inputs and outputs in device memory; on the CPU both settings
of `io` are the same.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from harness.backends.base import Backend, BackendContext, Caller, LoadCost, collect
from harness.backends.cuda.devices import select_gpu, set_tf32
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.errors import BackendError, DeviceError, translate, translated
from harness.models.cache import parts
from harness.models.onnx_file import no_array
from harness.models.strings import STRING, all_plain
from harness.models.tensors import Array, Signature, Tensors, TensorSpec
from harness.system.packages import onnxruntime_gpu_command, require

require("onnxruntime")
import onnxruntime as ort  # noqa: E402

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
ON_GPU = (CUDA, TENSORRT)
DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}
"""ONNX Runtime's names of tensor types that aren't numpy's in `tensor(…)`."""
OrtRequest = Mapping[str, "Array | ort.OrtValue"]
OrtReply = Sequence["ort.OrtValue"]
"""Inputs by name, and outputs in order: values in device memory, or else arrays."""
Bound = tuple["ort.IOBinding", *tuple["ort.RunOptions", ...]]


class OnnxRuntimeBackend(Backend[OrtRequest, OrtReply]):
    """One session, whose first provider is the one that was asked for."""

    def __init__(self, spec: OnnxRuntimeSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        self._session: ort.InferenceSession | None = None
        self._open: Callable[[], ort.InferenceSession] | None = None
        self._signature = Signature((), ())
        self._device_id = 0
        self._graph_lock = threading.Lock()

    @property
    def session(self) -> ort.InferenceSession:
        """The ort.InferenceSession. Raises BackendError before `load`."""
        if self._session is None:
            raise BackendError("the onnxruntime backend is not loaded")
        return self._session

    @property
    def signature(self) -> Signature:
        """As the session tells it."""
        return self._signature

    @property
    def on_device(self) -> bool:
        """Whether inputs and outputs stay in device memory."""
        return self.spec.io == "device" and self.spec.provider in ON_GPU

    def load(self) -> LoadCost:
        """Create the session. Raises DeviceError when its provider is not the one asked for."""
        start = time.monotonic()
        fp16 = self.spec.precision == "fp16"
        path = self.context.model.file("onnx_fp16" if fp16 else "onnx")
        if self.spec.provider in ON_GPU:
            self._device_id = select_gpu(self.spec.device or "cuda")
            set_tf32(self.spec.precision)  # TensorRT's provider has no option for it
        providers = _providers(self.spec, self._device_id, _engines(self.context))
        _require_provider(self.spec.provider)
        self._open = partial(ort.InferenceSession, path, self._options(), providers=providers)
        self._session = self._create()
        self._signature = Signature(
            _specs(self._session.get_inputs()), _specs(self._session.get_outputs())
        )
        if odd := no_array((*self._signature.inputs, *self._signature.outputs)):
            raise BackendError(odd, fix="cast it to or from float32 in the file")
        size = sum(file.stat().st_size for file in parts(path))
        return LoadCost(time.monotonic() - start, size, self._details())

    def _create(self) -> ort.InferenceSession:
        assert self._open is not None, "load() comes first"
        with translated("creating the session"):
            session = self._open()
        assert_provider(session, self.spec.provider)
        return session

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        level = self.spec.graph_optimization_level
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        if self.spec.threads is not None:
            options.intra_op_num_threads = self.spec.threads
        return options

    def _details(self) -> dict[str, object]:
        return {
            "onnxruntime": ort.__version__, "providers": self.session.get_providers(),
            "threads": self.session.get_session_options().intra_op_num_threads or "default",
            "io": "device" if self.on_device else "host",
            "provider_options": self.session.get_provider_options().get(self.spec.provider, {}),
        }  # fmt: skip

    def prepare(self, inputs: Tensors) -> OrtRequest:
        """The session's inputs in its dtypes; in device memory for `io: device` with CUDA."""
        missing = [s.name for s in self._signature.inputs if s.name not in inputs]
        if missing:
            raise BackendError(f"the ONNX file wants an input '{missing[0]}', which has no data")
        arrays = {s.name: _array(s, inputs[s.name]) for s in self._signature.inputs}
        if not self.on_device:
            return arrays
        with translated("copying the inputs to the GPU"):
            return {
                name: ort.OrtValue.ortvalue_from_numpy(array, "cuda", self._device_id)
                for name, array in arrays.items()
            }

    def caller(self) -> SessionCaller:
        """A caller on the shared session; with `io: device` it has a binding of its own.

        Raises BackendError for a second caller with `cuda_graphs`.
        """
        names = [s.name for s in self._signature.outputs]
        if self.spec.cuda_graphs:
            if not self._graph_lock.acquire(blocking=False):
                raise BackendError(
                    "ONNX Runtime replays CUDA graphs for one caller at a time",
                    fix="use concurrency 1, or remove `cuda_graphs`",
                )
            return GraphCaller(self.session, names, self._device_id, self._graph_lock)
        if self.on_device:
            return BindingCaller(self.session, names, self._device_id)
        return SessionCaller(self.session, names)

    def release(self) -> None:
        """Make the session anew: what its arenas took, they keep as long as it lives.

        Raises BackendError, OutOfMemoryError, DeviceError as `load`.
        """
        if self._open is not None:
            self._session = None
            collect()
            self._session = self._create()

    def __exit__(self, *_: object) -> None:
        self._session = self._open = None


class SessionCaller(Caller[OrtRequest, OrtReply]):
    """`session.run` from and to host arrays."""

    def __init__(self, session: ort.InferenceSession, names: list[str]) -> None:
        self._session, self._names = session, names
        self._run = session.run

    def infer(self, request: OrtRequest) -> OrtReply:
        """The outputs: arrays, or values in device memory, complete when they are there."""
        try:
            outputs: OrtReply = self._run(self._names, request)
        except Exception as error:
            raise translate(error) from error
        return outputs

    def outputs(self, reply: OrtReply) -> Tensors:
        """Output name → array."""
        found = (v.numpy() if isinstance(v, ort.OrtValue) else v for v in reply)
        return all_plain(dict(zip(self._names, found, strict=True)))


class DeviceCaller(SessionCaller):
    """What callers from and to device memory share."""

    def __init__(self, session: ort.InferenceSession, names: list[str], device_id: int) -> None:
        super().__init__(session, names)
        self._device_id, self._run = device_id, self._run_bound

    def _run_bound(self, _: list[str], request: OrtRequest) -> OrtReply:
        binding, *options = self._bound(request)
        self._session.run_with_iobinding(binding, *options)
        binding.synchronize_outputs()
        outputs: OrtReply = binding.get_outputs()
        return outputs

    def _bound(self, request: OrtRequest) -> Bound:
        """The binding for a request, and run options if it has any."""
        raise NotImplementedError

    def _bind(self, binding: ort.IOBinding, request: OrtRequest) -> ort.IOBinding:
        for name, value in request.items():
            binding.bind_ortvalue_input(name, value)
        for name in self._names:
            binding.bind_output(name, "cuda", self._device_id)
        return binding


class BindingCaller(DeviceCaller):
    """One binding, for one request after the other."""

    def __init__(self, session: ort.InferenceSession, names: list[str], device_id: int) -> None:
        super().__init__(session, names, device_id)
        self._binding = session.io_binding()

    def _bound(self, request: OrtRequest) -> Bound:
        return (self._bind(self._binding, request),)

    def __exit__(self, *_: object) -> None:
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()


class GraphCaller(DeviceCaller):
    """Replays a CUDA graph for each request: a graph remembers the addresses it was captured with.

    The outputs have buffers of their own for each request too, so that they stay where they are.
    """

    _ids = itertools.count(1)

    def __init__(
        self, session: ort.InferenceSession, names: list[str], device_id: int, lock: threading.Lock
    ) -> None:
        super().__init__(session, names, device_id)
        self._lock = lock
        self._graphs: dict[int, tuple[Bound, object]] = {}
        """Each with what must live as long: the request, whose `id` is the key, and its outputs."""

    def _bound(self, request: OrtRequest) -> Bound:
        if id(request) not in self._graphs:
            self._graphs[id(request)] = self._first(request)
        return self._graphs[id(request)][0]

    def _first(self, request: OrtRequest) -> tuple[Bound, object]:
        """Binding and run options of one request; a run without a graph gives the shapes."""
        binding = self._bind(self._session.io_binding(), request)
        self._session.run_with_iobinding(binding, _graph("-1"))
        binding.synchronize_outputs()
        outputs = binding.get_outputs()
        binding.clear_binding_outputs()
        for name, value in zip(self._names, outputs, strict=True):
            binding.bind_ortvalue_output(name, value)
        return (binding, _graph(str(next(self._ids)))), (request, outputs)

    def __exit__(self, *_: object) -> None:
        self._graphs.clear()
        self._lock.release()


def _graph(number: str) -> ort.RunOptions:
    """Run options that name the graph to capture or replay; −1 does neither."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", number)
    return options


def _specs(values: Sequence[ort.NodeArg]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            v.name, DTYPES.get(v.type) or re.sub(r"tensor\((\w+)\)", r"\1", v.type),
            tuple(d if isinstance(d, int) else str(d or f"dim{i}") for i, d in enumerate(v.shape)),
        )
        for v in values
    )  # fmt: skip


def _array(spec: TensorSpec, array: Array) -> Array:
    """The array in the session's dtype: a file converted to fp16 may want another float."""
    if spec.dtype == STRING:
        return array.astype(object)
    wanted = np.dtype(spec.dtype)
    both_float = wanted.kind == array.dtype.kind == "f"
    return np.asarray(array.astype(wanted, copy=False) if both_float else array, order="C")


Provider = tuple[str, dict[str, str]]


def _engines(context: BackendContext) -> Path | None:
    """Where the TensorRT provider keeps its engines: a folder a model, by its key.

    ONNX Runtime's own name for an engine does not cover the weights.
    """
    if context.cache is None:
        return None
    return context.cache / "ort-tensorrt" / f"{context.model.name}-{context.model.key[:16]}"


def _providers(spec: OnnxRuntimeSettings, device_id: int, engines: Path | None) -> list[Provider]:
    """The provider asked for; CUDA behind TensorRT, for what TensorRT does not take."""
    if spec.provider not in ON_GPU:
        return [(spec.provider, {})]
    cuda = (CUDA, _cuda_options(spec, device_id))
    if spec.provider == CUDA:
        return [cuda]
    return [(TENSORRT, _tensorrt_options(spec, device_id, engines)), cuda]


def _cuda_options(spec: OnnxRuntimeSettings, device_id: int) -> dict[str, str]:
    options = {
        "gpu_mem_limit": spec.gpu_memory_limit,
        "arena_extend_strategy": spec.arena_extend_strategy,
        "cudnn_conv_algo_search": spec.cudnn_conv_algo_search,
    }
    written = {name: str(value) for name, value in options.items() if value is not None}
    graphs = spec.cuda_graphs and spec.provider == CUDA
    return {
        "device_id": str(device_id), "use_tf32": "1" if spec.precision == "tf32" else "0",
        **written, **({"enable_cuda_graph": "1"} if graphs else {}),
    }  # fmt: skip


def _tensorrt_options(
    spec: OnnxRuntimeSettings, device_id: int, engines: Path | None
) -> dict[str, str]:
    """fp16 is in the graph; engines are kept, or every round would build them again."""
    options = {"device_id": str(device_id)}
    if spec.cuda_graphs:
        options["trt_cuda_graph_enable"] = "1"
    if engines is not None:
        folder = engines / spec.precision
        folder.mkdir(parents=True, exist_ok=True)
        options |= {
            "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder),
        }  # fmt: skip
    return options


def _require_provider(provider: str) -> None:
    """Load CUDA's libraries from pip packages where ORT can, and refuse a provider it lacks."""
    if provider in ON_GPU and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    if provider not in ort.get_available_providers():
        raise DeviceError(
            f"{provider} is not in this build of ONNX Runtime {ort.__version__}, which has "
            f"{', '.join(ort.get_available_providers())}",
            fix=f"{onnxruntime_gpu_command()}, or use provider: CPUExecutionProvider",
        )


def assert_provider(session: ort.InferenceSession, provider: str) -> None:
    """Refuse a session that fell back: ONNX Runtime does so in silence.

    Raises DeviceError when the session's first provider is another than `provider`.
    """
    active = session.get_providers()
    if not active or active[0] != provider:
        raise DeviceError(
            f"ONNX Runtime fell back to {active[0] if active else 'nothing'}: "
            f"{provider} could not start",
            fix="check nvidia-smi, and that the CUDA and cuDNN versions fit this onnxruntime-gpu",
        )
