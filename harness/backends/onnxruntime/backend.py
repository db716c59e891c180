"""ONNX Runtime in this process.

All callers share one session: `run` is thread-safe, and one session a process is how an
application serves a model (a session each would multiply the weights and the thread pools). With
the CUDA provider, `io: device` binds inputs and outputs in device memory; on the CPU both settings
of `io` are the same.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from harness.backends.base import BackendContext, LoadCost
from harness.backends.cuda.devices import select_gpu, set_tf32
from harness.backends.host_memory import collect
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.errors import BackendError, DeviceError, translate
from harness.models.cache import parts
from harness.models.tensors import Signature, Tensors, TensorSpec
from harness.system.packages import require

require("onnxruntime", "onnxruntime")
import onnxruntime as ort  # noqa: E402

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
ON_GPU = (CUDA, TENSORRT)
DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    **{f"tensor({t})": t for t in
       ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
        "bfloat16")},
}  # fmt: skip
"""ONNX Runtime's names of tensor types."""


class OnnxRuntimeBackend:
    """One session, whose first provider is the one that was asked for."""

    def __init__(self, spec: OnnxRuntimeSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        self._session: Any = None
        self._open: Callable[[], Any] | None = None
        self._signature = Signature((), ())
        self._device_id = 0
        self._graph_lock = threading.Lock()

    @property
    def session(self) -> Any:
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
        if self.spec.precision == "tf32" and self.spec.provider not in ON_GPU:
            raise DeviceError(
                "tf32 is a mode of NVIDIA's tensor cores; the CPU has none",
                fix="use precision: fp32, or provider: CUDAExecutionProvider",
            )
        self._open = partial(ort.InferenceSession, path, self._options(), providers=providers)
        self._session = self._create()
        self._signature = Signature(
            _specs(self._session.get_inputs()), _specs(self._session.get_outputs())
        )
        size = sum(file.stat().st_size for file in parts(path))
        return LoadCost(time.monotonic() - start, size, self._details())

    def _create(self) -> Any:
        assert self._open is not None, "load() comes first"
        try:
            session = self._open()
        except Exception as error:
            raise translate(error, "creating the session") from error
        assert_provider(session, self.spec.provider)
        return session

    def _options(self) -> Any:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if self.spec.threads is not None:
            options.intra_op_num_threads = self.spec.threads
        return options

    def _details(self) -> dict[str, Any]:
        return {
            "onnxruntime": ort.__version__, "providers": self.session.get_providers(),
            "threads": self.session.get_session_options().intra_op_num_threads or "default",
            "io": "device" if self.on_device else "host",
            "provider_options": self.session.get_provider_options().get(self.spec.provider, {}),
        }  # fmt: skip

    def prepare(self, inputs: Tensors) -> dict[str, Any]:
        """The session's inputs in its dtypes; in device memory for `io: device` with CUDA."""
        missing = [s.name for s in self._signature.inputs if s.name not in inputs]
        if missing:
            raise BackendError(f"the ONNX file wants an input '{missing[0]}', which has no data")
        arrays = {s.name: _array(s, inputs[s.name]) for s in self._signature.inputs}
        if not self.on_device:
            return arrays
        try:
            return {
                name: ort.OrtValue.ortvalue_from_numpy(array, "cuda", self._device_id)
                for name, array in arrays.items()
            }
        except Exception as error:
            raise translate(error, "copying the inputs to the GPU") from error

    def caller(self) -> SessionCaller | BindingCaller | GraphCaller:
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

    def statistics(self) -> dict[str, float]:
        """None."""
        return {}

    def release(self) -> None:
        """Make the session anew: what its arenas took, they keep as long as it lives.

        Raises BackendError, OutOfMemoryError, DeviceError as `load`.
        """
        if self._open is not None:
            self._session = None
            collect()
            self._session = self._create()

    def memory(self) -> dict[str, int]:
        """None: the Python package does not tell what its arenas hold."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session = self._open = None


class SessionCaller:
    """`session.run` from and to host arrays."""

    def __init__(self, session: Any, names: list[str]) -> None:
        self._run, self._names = session.run, names

    def infer(self, request: dict[str, Any]) -> Any:
        """The outputs as a list of arrays."""
        try:
            return self._run(self._names, request)
        except Exception as error:
            raise translate(error) from error

    def outputs(self, reply: Any) -> Tensors:
        """Output name → array."""
        return dict(zip(self._names, reply, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class BindingCaller:
    """`run_with_iobinding` from and to device memory, complete when the outputs are there."""

    def __init__(self, session: Any, names: list[str], device_id: int) -> None:
        self._session, self._names, self._device_id = session, names, device_id
        self._binding = session.io_binding()

    def infer(self, request: dict[str, Any]) -> Any:
        """The outputs as OrtValues in device memory."""
        binding = self._binding
        try:
            for name, value in request.items():
                binding.bind_ortvalue_input(name, value)
            for name in self._names:
                binding.bind_output(name, "cuda", self._device_id)
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return binding.get_outputs()
        except Exception as error:
            raise translate(error) from error

    def outputs(self, reply: Any) -> Tensors:
        """Output name → array."""
        return {name: value.numpy() for name, value in zip(self._names, reply, strict=True)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()


class GraphCaller:
    """Replays a CUDA graph for each request: a graph remembers the addresses it was captured with.

    The outputs have buffers of their own for each request too, so that they stay where they are.
    """

    _ids = itertools.count(1)

    def __init__(
        self, session: Any, names: list[str], device_id: int, lock: threading.Lock
    ) -> None:
        self._session, self._names, self._device_id, self._lock = session, names, device_id, lock
        self._graphs: dict[int, tuple[Any, Any, Any]] = {}

    def infer(self, request: dict[str, Any]) -> Any:
        """The outputs as OrtValues in device memory."""
        try:
            if id(request) not in self._graphs:
                self._graphs[id(request)] = self._bind(request)
            binding, options, _ = self._graphs[id(request)]
            self._session.run_with_iobinding(binding, options)
            binding.synchronize_outputs()
            return binding.get_outputs()
        except Exception as error:
            raise translate(error) from error

    def _bind(self, request: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Binding and run options of one request; a run without a graph gives the shapes."""
        binding = self._session.io_binding()
        for name, value in request.items():
            binding.bind_ortvalue_input(name, value)
        for name in self._names:
            binding.bind_output(name, "cuda", self._device_id)
        self._session.run_with_iobinding(binding, _graph("-1"))
        binding.synchronize_outputs()
        outputs = binding.get_outputs()
        binding.clear_binding_outputs()
        for name, value in zip(self._names, outputs, strict=True):
            binding.bind_ortvalue_output(name, value)
        return binding, _graph(str(next(self._ids))), (request, outputs)

    def outputs(self, reply: Any) -> Tensors:
        """Output name → array."""
        return {name: value.numpy() for name, value in zip(self._names, reply, strict=True)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._graphs.clear()
        self._lock.release()


def _graph(number: str) -> Any:
    """Run options that name the graph to capture or replay; −1 does neither."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", number)
    return options


def _specs(values: Any) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            v.name, DTYPES.get(v.type, v.type),
            tuple(d if isinstance(d, int) else str(d or f"dim{i}") for i, d in enumerate(v.shape)),
        )
        for v in values
    )  # fmt: skip


def _array(spec: TensorSpec, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array in the session's dtype: a file converted to fp16 may want another float."""
    if spec.dtype == "bfloat16":
        raise BackendError(
            f"input {spec.name}: ONNX Runtime's Python package takes no bfloat16 tensors"
        )
    wanted = np.dtype(spec.dtype)
    both_float = wanted.kind == array.dtype.kind == "f"
    return np.ascontiguousarray(array.astype(wanted, copy=False) if both_float else array)


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
            fix="pip uninstall onnxruntime; pip install 'inference-harness[onnxruntime-gpu]', "
            "or use provider: CPUExecutionProvider",
        )


def assert_provider(session: Any, provider: str) -> None:
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
