"""Eager PyTorch in this process, on the CPU or a GPU.

Each caller has its own CUDA stream and synchronises it before its answer counts as complete. With
`io: host` the clock includes the copies from and to pinned host memory; on the CPU both settings
of `io` are the same, since there is nothing to copy.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Self

from harness.backends.base import BackendContext, LoadCost
from harness.backends.cuda.devices import select_gpu, set_tf32
from harness.backends.host_memory import collect
from harness.backends.torch.settings import TorchSettings
from harness.errors import BackendError, DeviceError, translate
from harness.models.tensors import Signature, Tensors
from harness.system.packages import require

require("torch", "torch")
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from harness.models.sources import open_model  # noqa: E402
from harness.models.torch_model import (  # noqa: E402
    TorchModel,
    flatten,
    output_names,
    to_array,
    to_tensors,
)

DTYPES = {"fp32": None, "tf32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
"""What weights and floating inputs are cast to; None leaves them in fp32."""


class Request(NamedTuple):
    """Arguments of forward: in pinned host memory for `io: host` on a GPU, else on the device."""

    args: list[Tensor]
    kwargs: dict[str, Tensor]


class TorchBackend:
    """The module in eval mode under inference_mode, weights and floating inputs cast."""

    def __init__(self, spec: TorchSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        self._model: TorchModel | None = None
        self._forward: Any = None
        self._compiled: set[tuple[tuple[int, ...], ...]] = set()
        self._device = torch.device("cpu")

    @property
    def signature(self) -> Signature:
        """As `prepare` found it."""
        return Signature(self.context.model.inputs, self.context.model.outputs)

    @property
    def model(self) -> TorchModel:
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
            torch.zeros(1, device=self._device)  # starts CUDA
            self._synchronise()
        context_ns = time.monotonic_ns()
        _set_tf32(self._device, self.spec.precision == "tf32")
        try:
            dtype = DTYPES[self.spec.precision]
            self._model = open_model(self.context.model, str(self._device), dtype)
            self._forward = (
                _compiled(self._model.module) if self.spec.compile else self._model.module
            )
            self._synchronise()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()  # what loading needed for a moment is no weight
        except Exception as error:
            raise translate(error, "loading the model") from error
        stages = {"context": context_ns, "weights": time.monotonic_ns()}
        details = {**self._details(), "stages_ns": stages}
        return LoadCost(time.monotonic() - start, self._bytes_on_disk(), details)

    def _bytes_on_disk(self) -> int | None:
        files = self.context.model.files
        format = "exported_program" if "exported_program" in files else "state_dict"
        return self.context.model.file(format).stat().st_size

    def _details(self) -> dict[str, Any]:
        details = {
            "torch": torch.__version__, "threads": torch.get_num_threads(),
            "compile": self.spec.compile,
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

    def prepare(self, inputs: Tensors) -> Request:
        """Tensors in the precision, pinned (`io: host`) or on the device (`io: device`)."""
        dtypes = {i.name: i.dtype for i in self.context.model.inputs}
        try:
            tensors = {k: self._place(t) for k, t in to_tensors(inputs, dtypes).items()}
            self._synchronise()
            request = Request(*self.model.arguments(tensors))
            if self.spec.compile:
                self._compile(request)
            return request
        except KeyError as error:
            raise BackendError(f"input {error} is missing") from None
        except Exception as error:
            raise translate(error, "preparing the inputs") from error

    def _compile(self, request: Request) -> None:
        """Compile for a new shape here: no caller waits for it, and no request times out."""
        shapes = tuple(tuple(t.shape) for t in (*request.args, *request.kwargs.values()))
        if shapes not in self._compiled:
            with self.caller() as caller:
                caller.infer(request)
            self._compiled.add(shapes)

    def _place(self, tensor: Tensor) -> Tensor:
        wanted = DTYPES[self.spec.precision]
        if wanted is None and tensor.dtype in (torch.float16, torch.bfloat16):
            wanted = torch.float32
        if wanted is not None and tensor.is_floating_point():
            tensor = tensor.to(wanted)
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory() if self.spec.io == "host" else tensor.to(self._device)

    def caller(self) -> TorchCaller | CudaCaller:
        """A caller with its own stream on a GPU."""
        if self._device.type == "cuda":
            return CudaCaller(self._module, self._device, copy=self.spec.io == "host")
        return TorchCaller(self._module)

    @property
    def _module(self) -> Any:
        return self.model.module if self._forward is None else self._forward

    def statistics(self) -> dict[str, float]:
        """None."""
        return {}

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._model = self._forward = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class TorchCaller:
    """Calls the module on the CPU."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._new = True

    def infer(self, request: Request) -> Any:
        """Whatever forward returns."""
        if self._new:  # set_num_threads reaches a new thread only once it asks for the number
            torch.get_num_threads()
            self._new = False
        try:
            with torch.inference_mode():
                return self._module(*request.args, **request.kwargs)
        except Exception as error:
            raise translate(error) from error

    def outputs(self, reply: Any) -> Tensors:
        """The reply's tensors as arrays; bfloat16 as float32."""
        tensors = flatten(reply)
        return dict(zip(output_names(len(tensors)), map(to_array, tensors), strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class CudaCaller:
    """Calls the module on its own stream; complete when the stream is."""

    def __init__(self, module: nn.Module, device: torch.device, *, copy: bool) -> None:
        self._module, self._device, self._copy = module, device, copy
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def infer(self, request: Request) -> list[Tensor]:
        """The outputs: in pinned host memory for `io: host`, else on the device."""
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                results = self._forward(request)
            self._stream.synchronize()
            return results
        except Exception as error:
            raise translate(error) from error

    def _forward(self, request: Request) -> list[Tensor]:
        if not self._copy:
            return flatten(self._module(*request.args, **request.kwargs))
        args = [t.to(self._device, non_blocking=True) for t in request.args]
        kwargs = {k: t.to(self._device, non_blocking=True) for k, t in request.kwargs.items()}
        return [_to_host(t) for t in flatten(self._module(*args, **kwargs))]

    def outputs(self, reply: list[Tensor]) -> Tensors:
        """The reply's tensors as arrays; bfloat16 as float32."""
        return dict(zip(output_names(len(reply)), map(to_array, reply), strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.synchronize()


def _to_host(tensor: Tensor) -> Tensor:
    """Copied asynchronously to a pinned buffer, which PyTorch's host allocator reuses."""
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _device(spec: TorchSettings) -> torch.device:
    """The device that was asked for. Raises DeviceError when it is not there."""
    if spec.device == "cpu":
        if spec.precision == "tf32":
            raise DeviceError(
                "tf32 is a mode of NVIDIA's tensor cores; the CPU has none",
                fix="use precision: fp32, or device: cuda",
            )
        return torch.device("cpu")
    index = select_gpu(spec.device)
    if not torch.cuda.is_available():
        build = (
            "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
        )
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


def _compiled(module: nn.Module) -> Any:
    """`module` compiled for each shape by itself, so that no shape depends on which came before.

    By default the second shape compiles kernels for any shape, and the ninth falls back to eager.
    """
    for name in ("recompile_limit", "cache_size_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, MOST_SHAPES)
            break
    return torch.compile(module, dynamic=False)


def _set_tf32(device: torch.device, allowed: bool) -> None:
    """Set TF32 for matrix products and convolutions alike: cuDNN's is on by default."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed
