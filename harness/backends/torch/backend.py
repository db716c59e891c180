"""Eager PyTorch in this process, on the CPU or a GPU.

Each caller has its own CUDA stream and synchronises it before its answer counts as complete. With
`io: host` the clock includes the copies from and to pinned host memory; on the CPU both settings
of `io` are the same, since there is nothing to copy.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from harness.backends.base import Backend, BackendContext, Caller, LoadCost, StreamCaller, collect
from harness.backends.cuda.devices import select_gpu, set_tf32
from harness.backends.timing import Timing
from harness.backends.torch.settings import TorchSettings
from harness.errors import BackendError, DeviceError, translate, translated
from harness.models.tensors import Signature, Tensors
from harness.system.packages import require

require("torch")
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from harness.models import torch_model  # noqa: E402
from harness.models.mixed import Mixed  # noqa: E402
from harness.models.sources import open_model  # noqa: E402

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
"""What weights and floating inputs are cast to; for any other precision nothing is."""
Forward = Callable[..., object]
"""A module, compiled or not: tensors to a tensor, or nested tuples, lists and dicts of them."""


class TorchRequest(NamedTuple):
    """Arguments of forward: in pinned host memory for `io: host` on a GPU, else on the device."""

    args: list[Tensor]
    kwargs: dict[str, Tensor]


class InPlace:
    """Whether forward changes its inputs; a request is sent many times, and stays as it was made.

    The first forward is watched, on copies. Where it changed them, each gets copies, and the clock
    includes that; else none does.
    """

    def __init__(self) -> None:
        self.found: bool | None = None
        """None before the first forward."""

    def call(self, forward: Forward, request: TorchRequest) -> object:
        """What forward returns for the request, under inference mode."""
        args, kwargs = request
        if self.found is not False:  # before the mode, in which none has a version
            args, kwargs = [t.clone() for t in args], {k: t.clone() for k, t in kwargs.items()}
        with torch.inference_mode():
            result = forward(*args, **kwargs)
        if self.found is None:
            self.found = any(t._version for t in (*args, *kwargs.values()))
        return result


class TorchBackend(Backend[TorchRequest, object]):
    """The module in eval mode under inference_mode, weights and floating inputs cast."""

    def __init__(self, spec: TorchSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        own = spec.precision == context.model.precision  # also where its layers are quantized to it
        self._dtype = None if own else DTYPES.get(spec.precision)
        self._model: torch_model.TorchModel | None = None
        self._forward: Forward | None = None
        self._compiled: set[tuple[tuple[int, ...], ...]] = set()
        self._device = torch.device("cpu")
        self._in_place = InPlace()
        self._timing = Timing()

    @property
    def signature(self) -> Signature:
        """As `prepare` found it."""
        return Signature(self.context.model.inputs, self.context.model.outputs)

    @property
    def model(self) -> torch_model.TorchModel:
        """The loaded model. Raises BackendError before `load`."""
        if self._model is None:
            raise BackendError("the torch backend is not loaded")
        return self._model

    def load(self) -> LoadCost:
        """Rebuild the module with the prepared weights on the device, in the precision."""
        start = time.monotonic()
        if self.spec.threads is not None:
            torch.set_num_threads(self.spec.threads)
        self._device = _device(self.spec)
        if self._device.type == "cuda":
            set_tf32(self.spec.precision)
            allowed = self.spec.precision == "tf32"  # cuDNN's is on by default
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
            torch.zeros(1, device=self._device)  # starts CUDA
            _limit(self._device, self.spec.gpu_memory_limit)
            self._synchronise()
        context_ns = time.monotonic_ns()
        try:
            dtype = self._dtype
            self._model = open_model(self.context.model, str(self._device), dtype)
            module = self._model.module
            if self.spec.channels_last:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._forward = _compiled(module) if self.spec.compile else module
            self._synchronise()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()  # what loading needed for a moment is no weight
        except Exception as error:
            raise translate(error, "loading the model") from error
        stages = {"context": context_ns, "weights": time.monotonic_ns()}
        seconds = time.monotonic() - start
        file = self.context.model.file(
            "exported_program" if "exported_program" in self.context.model.files else "state_dict"
        )
        details = self._details()
        if dtype is not None:
            self._forward = Mixed(self._forward, module, dtype, details)
        return LoadCost(seconds, file.stat().st_size, details, stages)

    def _details(self) -> dict[str, object]:
        details: dict[str, object] = {
            "torch": torch.__version__, "threads": torch.get_num_threads(),
            "compile": self.spec.compile, "channels_last": self.spec.channels_last,
        }  # fmt: skip
        if self._device.type == "cuda":
            details |= {
                "device": torch.cuda.get_device_name(self._device), "cuda": torch.version.cuda,
                "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
                "tf32": torch.backends.cudnn.allow_tf32,
            }  # fmt: skip
        return details

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def prepare(self, inputs: Tensors) -> TorchRequest:
        """Tensors in the precision, pinned (`io: host`) or on the device (`io: device`)."""
        dtypes = {i.name: i.dtype for i in self.context.model.inputs}
        try:
            tensors = {k: self._place(t) for k, t in torch_model.to_tensors(inputs, dtypes).items()}
            self._synchronise()
            request = TorchRequest(*self.model.arguments(tensors))
            if self.spec.compile:
                self._compile(request)
            return request
        except KeyError as error:
            raise BackendError(f"input {error} is missing") from None
        except Exception as error:
            raise translate(error, "preparing the inputs") from error

    def _compile(self, request: TorchRequest) -> None:
        """Compile for a new shape here: no caller waits for it, and no request times out."""
        shapes = tuple(tuple(t.shape) for t in (*request.args, *request.kwargs.values()))
        if shapes not in self._compiled:
            with self.caller() as caller:
                caller.infer(request)
            self._compiled.add(shapes)

    def _place(self, tensor: Tensor) -> Tensor:
        if self._dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(self._dtype)
        if self.spec.channels_last and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory() if self.spec.io == "host" else tensor.to(self._device)

    @property
    def streams(self) -> bool:
        """As the settings say, or for what is compiled; on a GPU."""
        usual = "streams" if self.spec.compile else "threads"
        return self.spec.on_gpu and (self.spec.callers or usual) == "streams"

    def caller(self) -> TorchCaller:
        """A caller with its own stream on a GPU."""
        module = self.model.module if self._forward is None else self._forward
        names = [o.name for o in self.context.model.outputs]
        if self._device.type == "cuda":
            return CudaCaller(
                module, names, self._in_place, self._device, self._timing,
                copy=self.spec.io == "host",
            )  # fmt: skip
        return TorchCaller(module, names, self._in_place)

    def release(self) -> None:
        """Empty PyTorch's caches: freed blocks, workspaces of each stream, pinned host memory.

        Its peaks start again from what is left.
        """
        collect()
        if self._device.type == "cuda":
            self._synchronise()
            for name in ("_cuda_clearCublasWorkspaces", "_host_emptyCache"):  # not in all versions
                getattr(torch._C, name, lambda: None)()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)

    def statistics(self) -> dict[str, float]:
        """Of a GPU: `h2d_ns`, `compute_ns`, `d2h_ns`, `enqueue_ns`, `gpu_timed`, of all callers."""
        return self._timing.counters() if self._device.type == "cuda" else {}

    def memory(self) -> dict[str, int]:
        """What PyTorch's caching allocator holds on the GPU, now and at its peak."""
        if self._device.type != "cuda":
            return {}
        return {
            "torch_allocated": torch.cuda.memory_allocated(self._device),
            "torch_reserved": torch.cuda.memory_reserved(self._device),
            "torch_peak_allocated": torch.cuda.max_memory_allocated(self._device),
            "torch_peak_reserved": torch.cuda.max_memory_reserved(self._device),
        }

    def __exit__(self, *_: object) -> None:
        self._model = self._forward = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class TorchCaller(Caller[TorchRequest, object]):
    """Calls the module on the CPU."""

    def __init__(self, module: Forward, names: Sequence[str], in_place: InPlace) -> None:
        self._module, self._names, self._in_place = module, names, in_place
        self._new = True

    def infer(self, request: TorchRequest) -> object:
        """Whatever forward returns."""
        if self._new:  # set_num_threads reaches a new thread only once it asks for the number
            torch.get_num_threads()
            self._new = False
        with translated():
            return self._in_place.call(self._module, request)

    def outputs(self, reply: object) -> Tensors:
        """The reply's tensors as arrays; bfloat16 as float32."""
        return torch_model.named(torch_model.flatten(reply), self._names)


class CudaCaller(TorchCaller, StreamCaller[TorchRequest, object]):
    """Calls the module on its own stream; complete when the stream is."""

    def __init__(
        self, module: Forward, names: Sequence[str], in_place: InPlace, device: torch.device,
        timing: Timing, *, copy: bool,
    ) -> None:  # fmt: skip
        super().__init__(module, names, in_place)
        self._device, self._copy, self._timing = device, copy, timing
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]  # type: ignore[no-untyped-call]
        self._enqueued_ns = 0
        """What launching the computation took, of a request that is timed; else 0."""
        self._results: list[Tensor] = []

    def infer(self, request: TorchRequest) -> list[Tensor]:
        """The outputs: in pinned host memory for `io: host`, else on the device."""
        self.begin(request)
        with translated():
            self._stream.synchronize()
        return self.finish()

    def begin(self, request: TorchRequest) -> None:
        """Launch everything, from the copies in to the copies out."""
        with translated(), torch.cuda.stream(self._stream):
            due = self._timing.due()
            self._results, launched_ns = self._forward(request, self._marks if due else ())
            self._enqueued_ns = launched_ns if due else 0
            self._end.record(self._stream)

    def ready(self) -> bool:
        """Whether all of it is done."""
        with translated():
            return bool(self._end.query())  # type: ignore[no-untyped-call]

    def finish(self) -> list[Tensor]:
        """The outputs, which are the reader's from now on; a timed request's events are read."""
        if self._enqueued_ns:
            h2d, compute, d2h = (
                1e6 * a.elapsed_time(b) for a, b in itertools.pairwise(self._marks)
            )
            self._timing.add(h2d, compute, d2h, self._enqueued_ns)
        results, self._results = self._results, []
        return results

    def _forward(
        self, request: TorchRequest, marks: Sequence[torch.cuda.Event]
    ) -> tuple[list[Tensor], int]:
        """The outputs, and the ns in which the computation was launched; `marks` are recorded at
        the ends of its parts.
        """
        self._mark(marks, 0)
        with torch.inference_mode() if self._copy else contextlib.nullcontext():
            moved = self._to_device(request) if self._copy else request
            self._mark(marks, 1)
            begin = time.monotonic_ns()
            outputs = (
                self._module(*moved.args, **moved.kwargs) if self._copy
                else self._in_place.call(self._module, moved)
            )  # fmt: skip
            launched = time.monotonic_ns() - begin
            self._mark(marks, 2)
            results = torch_model.flatten(outputs)
            results = [_to_host(t) for t in results] if self._copy else results
            self._mark(marks, 3)
        return results, launched

    def _mark(self, marks: Sequence[torch.cuda.Event], which: int) -> None:
        if marks:
            marks[which].record(self._stream)

    def _to_device(self, request: TorchRequest) -> TorchRequest:
        return TorchRequest(
            [t.to(self._device, non_blocking=True) for t in request.args],
            {k: t.to(self._device, non_blocking=True) for k, t in request.kwargs.items()},
        )

    def __exit__(self, *_: object) -> None:
        self._stream.synchronize()


def _to_host(tensor: Tensor) -> Tensor:
    """Copied asynchronously to a pinned buffer, which PyTorch's host allocator reuses."""
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _limit(device: torch.device, size: int | None) -> None:
    """Let the caching allocator take no more than `size` bytes; None for no limit."""
    if size is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), device)


def _device(spec: TorchSettings) -> torch.device:
    """The device that was asked for. Raises DeviceError when it is not there."""
    if spec.device == "cpu":
        return torch.device("cpu")
    index = select_gpu(spec.device)
    if not torch.cuda.is_available():
        cuda = torch.version.cuda
        build = f"built for CUDA {cuda}" if cuda else "a CPU build"
        raise DeviceError(
            f"device {spec.device}: PyTorch sees no GPU (torch {torch.__version__} is {build})",
            fix="check the driver with nvidia-smi and install a CUDA build of torch, "
            "or use device: cpu",
        )
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError(
            f"device {spec.device}: PyTorch sees {count} GPU{'s' if count > 1 else ''}",
            fix=f"use one of {', '.join(f'cuda:{i}' for i in range(count))}",
        )
    return torch.device("cuda", index)


MOST_SHAPES = 64


def _compiled(module: nn.Module) -> Forward:
    """`module` compiled for each shape by itself, so that no shape depends on which came before.

    By default the second shape compiles kernels for any shape, and the ninth falls back to eager.
    """
    for name in ("recompile_limit", "cache_size_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, MOST_SHAPES)
            break
    return torch.compile(module, dynamic=False)
