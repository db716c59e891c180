"""TensorRT 10.x, 11.x and TensorRT-RTX 1.x in this process, by one path.

The engine is built here, in the worker, and cached, so that several TensorRT versions can live in
different environments; neither torch nor onnx is needed. Each caller has an execution context, a
stream, device buffers and pinned host buffers of its own. With `io: host` a request is both copies
and the computation, with `io: device` the computation alone.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.backends.base import Backend, BackendContext, LoadCost, collect
from harness.backends.cuda.devices import TF32_OVERRIDE, select_gpu, set_tf32
from harness.backends.cuda.memory import Cuda, open_cuda
from harness.backends.tensorrt import bindings
from harness.backends.tensorrt import build as engines
from harness.backends.tensorrt import cache as engine_cache
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.bindings import Binding, Loaded, TensorRtRequest
from harness.backends.tensorrt.caller import TensorRtCaller, TensorRtReply
from harness.backends.tensorrt.settings import TensorRtSettings
from harness.errors import BackendError
from harness.models.tensors import BatchSaid, Signature, Tensors, TensorSpec

if TYPE_CHECKING:
    import tensorrt


class Host(NamedTuple):
    """What an engine is opened with."""

    flavor: trt.Flavor
    cuda: Cuda
    runtime: tensorrt.Runtime
    messages: trt.Messages


class TensorRtBackend(Backend[TensorRtRequest, TensorRtReply]):
    """One engine, loaded once; a context for every caller."""

    def __init__(self, spec: TensorRtSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        self._loaded: Loaded | None = None
        fresh = spec.rebuild and context.cache is not None
        self._cache = Path(tempfile.mkdtemp(prefix="engines-")) if fresh else context.cache
        self._kept: list[object] = []  # logger, runtime: in use as long as the engine
        self._lock = threading.Lock()
        self._retired: list[tensorrt.IExecutionContext] = []
        self._callers: list[TensorRtCaller] = []
        self._runtime_cache: tuple[tensorrt.IRuntimeCache, Path] | None = None
        self._engine: engine_cache.Engine | None = None

    @property
    def loaded(self) -> Loaded:
        """The engine and what belongs to it. Raises BackendError before `load`."""
        if self._loaded is None:
            raise BackendError("the tensorrt backend is not loaded")
        return self._loaded

    @property
    def signature(self) -> Signature:
        """As the engine tells it; dynamic dimensions other than the batch have the best size."""
        loaded = self.loaded
        known = {t.name: t for t in (*self.context.model.inputs, *self.context.model.outputs)}
        specs = (
            tuple(
                known.get(b.name) or _spec(b, loaded.profiles, self.context.model.batch)
                for b in group
            )
            for group in (loaded.inputs, loaded.outputs)
        )
        return Signature(*specs)

    # -- loading ------------------------------------------------------------------------------

    def load(self) -> LoadCost:
        """Build the engine or take it from the cache, load it, and check its precision.

        Raises DeviceError, UsageError for an option the flavour lacks, BackendError with
        TensorRT's reason, OutOfMemoryError.
        """
        start = time.monotonic()
        if "engine" not in self.context.model.source:  # else it is as whoever built it set it
            set_tf32(self.spec.precision)
        flavor = trt.find(self.spec.flavor)
        cuda = open_cuda(select_gpu(self.spec.device))
        context_ns = time.monotonic_ns()
        messages = trt.Messages()
        log = trt.logger(flavor, messages)
        runtime = flavor.trt.Runtime(log)
        self._kept = [log, runtime]
        engine, path, facts = self._open(Host(flavor, cuda, runtime, messages))
        inputs, outputs = bindings.bindings(flavor.trt, engine)
        self._loaded = Loaded(
            flavor, messages, cuda, engine, inputs, outputs, _profiles(engine, inputs)
        )
        if flavor.rtx and hasattr(engine, "create_runtime_config"):
            self._configure_runtime(path)
        stages = {"context": context_ns, "weights": time.monotonic_ns()}
        seconds, details = time.monotonic() - start, self._details(path, facts)
        return LoadCost(seconds, path.stat().st_size, details, stages)

    def _open(self, host: Host) -> tuple[tensorrt.ICudaEngine, Path, dict[str, object]]:
        """The engine, its file, and facts about both."""
        if path := self.context.model.source.get("engine"):
            reason = trt.misfit(trt.engine_header(Path(path)), host.flavor)
            if reason and not self.spec.version_compatible:
                raise BackendError(
                    f"{path} can't be loaded: {reason}",
                    fix="use the TensorRT that built it, or give the ONNX file instead",
                )
            if self.spec.version_compatible:
                host.runtime.engine_host_code_allowed = True
            return _deserialize(host, Path(path)), Path(path), {}
        built = self._build(host)
        try:
            engine = _deserialize(host, built.path)
        except BackendError as error:
            if not built.cached:
                raise
            engine_cache.forget(built)  # the driver, say, has changed since it was built
            note = f"the engine in the cache was refused ({error.message}): built again"
            built = self._build(host)
            engine = _deserialize(host, built.path)
        else:
            note = built.note
        self._engine = built
        facts = {
            "built": not built.cached, "build_seconds": built.seconds, "sha256": built.sha256,
            "build_log": str(built.log), "types": built.types, **({"note": note} if note else {}),
        }  # fmt: skip
        return engine, built.path, facts

    def _build(self, host: Host) -> engine_cache.Engine:
        if self._cache is None:
            raise BackendError("the tensorrt backend needs a cache folder")
        model = self.context.model
        onnx = model.file(onnx_format(host.flavor, self.spec.precision))
        target = engine_cache.EngineTarget(
            model.name, model.key, onnx, host.cuda.gpu.key, build_options(self.spec, self.context)
        )
        self.context.begin("build")
        engine = engine_cache.get(host.flavor, target, self._cache, host.messages)
        self.context.begin("load")
        return engine

    def _configure_runtime(self, path: Path) -> None:
        """TensorRT-RTX compiles kernels when it runs: eagerly, so that no request waits later."""
        loaded, module = self.loaded, self.loaded.flavor.trt
        config = loaded.engine.create_runtime_config()
        if hasattr(module, "DynamicShapesKernelSpecializationStrategy"):
            config.dynamic_shapes_kernel_specialization_strategy = (
                module.DynamicShapesKernelSpecializationStrategy.EAGER
            )
        if self._cache is not None and hasattr(config, "create_runtime_cache"):
            cache = config.create_runtime_cache()
            file = engine_cache.runtime_cache(
                loaded.flavor, self._engine or path, loaded.cuda.gpu.key, self._cache
            )
            if file.exists():
                cache.deserialize(file.read_bytes())  # False when it does not fit: starts empty
            config.set_runtime_cache(cache)
            self._runtime_cache = (cache, file)
        loaded.runtime_config = config

    def _details(self, path: Path, facts: Mapping[str, object]) -> dict[str, object]:
        loaded = self.loaded
        types = engines.inspect(loaded.flavor, loaded.engine)
        types = types or (dict(self._engine.types) if self._engine else {})
        share = engines.check_precision(self.spec.precision, types, loaded.flavor.title)
        return {
            "tensorrt": loaded.flavor.version, "flavor": loaded.flavor.name,
            "gpu": loaded.cuda.gpu.name, "gpu_uuid": loaded.cuda.gpu.uuid,
            "compute_capability": loaded.cuda.gpu.capability,
            "device_memory_library": loaded.cuda.name, "engine": str(path), **facts,
            "layer_types": types, "precision_share": share,
            "tf32_override": os.environ.get(TF32_OVERRIDE, ""),
            "cuda_graphs": self.spec.cuda_graphs, "profiles": len(loaded.profiles),
            "context_bytes": context_bytes(loaded.engine),
            "weights_bytes": weights_bytes(loaded.flavor, loaded.engine),
            "warnings": loaded.messages.warnings[:10],
        }  # fmt: skip

    @property
    def streams(self) -> bool:
        """As the settings say."""
        return self.spec.callers == "streams"

    # -- requests -----------------------------------------------------------------------------

    def prepare(self, inputs: Tensors) -> TensorRtRequest:
        """The inputs in pinned host memory (`io: host`) or on the device (`io: device`)."""
        loaded = self.loaded
        on_device = self.spec.io == "device"
        return bindings.make_request(loaded.cuda, loaded.inputs, inputs, on_device=on_device)

    def caller(self) -> TensorRtCaller:
        """A caller with its own context, stream and buffers, for the thread that asks."""
        with self._lock:  # contexts are made one at a time
            made = TensorRtCaller(
                self.loaded, copy=self.spec.io == "host", graphs=self.spec.cuda_graphs,
                closed=self._closed,
            )  # fmt: skip
            self._callers.append(made)
        return made

    def _closed(self, caller: TensorRtCaller) -> None:
        with self._lock:
            self._callers.remove(caller)
            self._retired.append(caller.give_up_context())

    def statistics(self) -> dict[str, float]:
        """`h2d_ns`, `compute_ns`, `d2h_ns`, `enqueue_ns` and `gpu_timed`, over all callers."""
        return {} if self._loaded is None else self._loaded.timing.counters()

    def memory(self) -> dict[str, int]:
        """Bytes on the device that TensorRT and the callers' buffers are known to take."""
        if self._loaded is None:
            return {}
        with self._lock:
            buffers = sum(caller.buffer_bytes for caller in self._callers)
            count = len(self._callers) + len(self._retired)
        contexts = count * (context_bytes(self._loaded.engine) or 0)
        weights = weights_bytes(self._loaded.flavor, self._loaded.engine)
        return {
            "tensorrt_contexts": contexts, "tensorrt_buffers": buffers,
            **({"tensorrt_weights": weights} if weights else {}),
        }  # fmt: skip

    def release(self) -> None:
        """Destroy the contexts of closed callers; a caller frees its buffers when it is closed.

        Contexts are destroyed here, by one thread while no other runs the engine: workers with
        several callers crashed in TensorRT-RTX 1.6.1 on an H200, less often since.
        """
        with self._lock:
            self._retired.clear()
        collect()

    def keep_kernels(self) -> None:
        """Save what TensorRT-RTX compiled so far, for the next load; others have nothing."""
        if self._runtime_cache is not None and self._loaded is not None:
            cache, file = self._runtime_cache
            with contextlib.suppress(Exception):  # the cache saves time, it is never needed
                engine_cache.save(file, bytes(cache.serialize()))

    def __exit__(self, *_: object) -> None:
        self.keep_kernels()
        self._retired.clear()
        self._runtime_cache = self._loaded = None
        self._kept.clear()


# ------------------------------------------------------------------------------------------ facts


def _deserialize(host: Host, path: Path) -> tensorrt.ICudaEngine:
    host.messages.errors.clear()
    data, gpu = path.read_bytes(), host.cuda.gpu
    engine = host.runtime.deserialize_cuda_engine(data)
    if engine is None:
        where = f"{gpu.name} (compute capability {gpu.capability})"
        error = host.messages.error(f"{host.flavor.title} refuses the engine on {where}")
        if why := trt.diagnose(host.flavor, host.runtime, data):
            error.message += f" [{why}]"
        raise error
    return engine


def onnx_format(flavor: trt.Flavor, precision: str) -> str:
    """Which file of the prepared model an engine of this precision is built from."""
    in_graph = precision in ("fp16", "bf16") and not flavor.weakly_typed
    return f"onnx_{precision}" if in_graph else "onnx"


def build_options(spec: TensorRtSettings, context: BackendContext) -> engines.BuildOptions:
    """The scenario's settings as build options. Raises UsageError when they contradict."""
    model, profile = context.model, spec.profile
    sizes = context.batch_sizes or (1, model.max_batch_size)
    batches = engines.batch_ranges(
        sizes, each=profile.each, low=profile.min, opt=profile.opt, high=profile.max
    )
    dynamic = {}
    for name, largest in model.dynamic.items():
        dynamic[name] = engines.Range(
            min(sizes.get(name, largest) for sizes in model.sizes), largest, largest
        )
    dynamic |= {name: engines.Range(*sizes) for name, sizes in profile.dynamic.items()}
    same = ("precision", "workspace", "optimization_level", "version_compatible",
            "hardware_compatible")  # fmt: skip
    return engines.BuildOptions(
        profiles=engines.make_profiles(model.inputs, batches, dynamic),
        compute_capability=spec.compute_capability or "",
        tf32_override=os.environ.get(TF32_OVERRIDE, ""),
        **{name: getattr(spec, name) for name in same},
    )


def _profiles(
    engine: tensorrt.ICudaEngine, inputs: tuple[Binding, ...]
) -> tuple[engines.Profile, ...]:
    return tuple(
        {
            b.name: engines.Shapes(*(tuple(s) for s in engine.get_tensor_profile_shape(b.name, i)))
            if -1 in b.shape
            else engines.Shapes(b.shape, b.shape, b.shape)
            for b in inputs
        }
        for i in range(engine.num_optimization_profiles)
    )


def _spec(binding: Binding, profiles: tuple[engines.Profile, ...], said: BatchSaid) -> TensorSpec:
    """A tensor of an engine nothing else is known about; its batch is first unless it is said."""
    batch = said.get(binding.name) if isinstance(said, Mapping) else None if said == "none" else 0
    best = profiles[0][binding.name].opt if profiles and binding.name in profiles[0] else None
    shape = tuple(
        engines.BATCH
        if axis == batch and (n < 0 or said)
        else n
        if n >= 0
        else best[axis]
        if best
        else f"dim{axis}"
        for axis, n in enumerate(binding.shape)
    )
    return TensorSpec(binding.name, binding.dtype, shape)


def context_bytes(engine: tensorrt.ICudaEngine) -> int | None:
    """Device memory that each execution context takes."""
    for name in ("device_memory_size_v2", "device_memory_size"):
        if hasattr(engine, name):
            return int(getattr(engine, name))
    return None


def weights_bytes(flavor: trt.Flavor, engine: tensorrt.ICudaEngine) -> int | None:
    """Size of the engine's weights, where this version tells."""
    kinds = getattr(flavor.trt, "EngineStat", None)
    if kinds is None or not hasattr(engine, "get_engine_stat"):
        return None
    size = int(engine.get_engine_stat(kinds.TOTAL_WEIGHTS_SIZE))
    return size if size >= 0 else None
