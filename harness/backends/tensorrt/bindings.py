"""Tensors of an engine, and requests: inputs encoded and placed before the clock starts."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from harness.backends.cuda.memory import Bytes, Cuda
from harness.backends.tensorrt import build as engines
from harness.backends.tensorrt import library as trt
from harness.backends.timing import Timing
from harness.errors import BackendError
from harness.models import bfloat16
from harness.models.tensors import Array, Tensors

if TYPE_CHECKING:
    import tensorrt

T = TypeVar("T")
Shape = tuple[int, ...]
DTYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT32": "int32", "INT64": "int64",
    "INT8": "int8", "UINT8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""TensorRT's names of types and the harness's."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One input or output of an engine; −1 in the shape is a dynamic dimension."""

    name: str
    dtype: str
    shape: Shape

    @property
    def storage(self) -> np.dtype[np.generic]:
        """The numpy type whose bytes lie in the buffer; uint16 for bfloat16."""
        return np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype)

    def nbytes(self, shape: Shape) -> int:
        """Size of the tensor with this shape."""
        return math.prod(shape) * self.storage.itemsize


def bindings(
    trt: ModuleType, engine: tensorrt.ICudaEngine
) -> tuple[tuple[Binding, ...], tuple[Binding, ...]]:
    """Inputs and outputs of a loaded engine. Raises BackendError for a type we can't feed."""
    found: dict[object, list[Binding]] = {trt.TensorIOMode.INPUT: [], trt.TensorIOMode.OUTPUT: []}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = engine.get_tensor_dtype(name).name
        if kind not in DTYPES:
            raise BackendError(f"tensor {name} of the engine is {kind}, which can't be fed")
        binding = Binding(name, DTYPES[kind], tuple(engine.get_tensor_shape(name)))
        found[engine.get_tensor_mode(name)].append(binding)
    return tuple(found[trt.TensorIOMode.INPUT]), tuple(found[trt.TensorIOMode.OUTPUT])


# ------------------------------------------------------------------------------------- requests


class TensorRtRequest:
    """Input shapes, and where the inputs lie; gives its memory back when nothing holds it."""

    __slots__ = ("__weakref__", "addresses", "buffers", "shapes")

    def __init__(
        self, shapes: tuple[Shape, ...], buffers: tuple[Bytes, ...], addresses: tuple[int, ...]
    ) -> None:
        self.shapes, self.buffers, self.addresses = shapes, buffers, addresses


def make_request(
    cuda: Cuda, inputs: Sequence[Binding], tensors: Tensors, *, on_device: bool
) -> TensorRtRequest:
    """Encode the tensors and put them into pinned host memory or onto the device.

    Raises BackendError when an input is missing or has the wrong number of dimensions.
    """
    arrays = [_encode(b, tensors) for b in inputs]
    shapes = tuple(tuple(a.shape) for a in arrays)
    buffers = tuple(_pin(cuda, array) for array in arrays)
    if not on_device:
        request = TensorRtRequest(shapes, buffers, ())
        weakref.finalize(request, _each, cuda.unpin, buffers).atexit = False
        return request
    addresses = tuple(_upload(cuda, buffer) for buffer in buffers)
    _each(cuda.unpin, buffers)
    request = TensorRtRequest(shapes, (), addresses)
    weakref.finalize(request, _each, cuda.free, addresses).atexit = False
    return request


def borrow_request(inputs: Sequence[Binding], tensors: Tensors) -> TensorRtRequest:
    """The tensors where they lie, in ordinary host memory, for one call while they live.

    Copied once, by the driver: staging them in pinned memory first would copy them twice.
    Raises as `make_request`.
    """
    arrays = [_encode(b, tensors) for b in inputs]
    buffers = tuple(a.reshape(-1).view(np.uint8) for a in arrays)
    return TensorRtRequest(tuple(tuple(a.shape) for a in arrays), buffers, ())


def _encode(binding: Binding, tensors: Tensors) -> Array:
    if binding.name not in tensors:
        raise BackendError(f"the engine wants an input '{binding.name}', which has no data")
    array = np.asarray(tensors[binding.name])
    fits = len(array.shape) == len(binding.shape) and all(
        want in (-1, have) for want, have in zip(binding.shape, array.shape, strict=True)
    )
    if not fits:
        raise BackendError(
            f"input {binding.name} has the shape {list(array.shape)}, "
            f"the engine takes {list(binding.shape)}"
        )
    if binding.dtype == "bfloat16":
        return bfloat16.to_bits(array.astype(np.float32))
    return np.asarray(array, binding.storage, order="C")


def decode(binding: Binding, data: Bytes, shape: Shape) -> Array:
    """A copy of a buffer's beginning as an array; bfloat16 as float32."""
    array = data[: binding.nbytes(shape)].view(binding.storage).reshape(shape).copy()
    return bfloat16.from_bits(array) if binding.dtype == "bfloat16" else array


def _pin(cuda: Cuda, array: Array) -> Bytes:
    buffer = cuda.pinned(array.nbytes)
    buffer[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return buffer


def _upload(cuda: Cuda, buffer: Bytes) -> int:
    stream = cuda.stream()
    address = cuda.allocate(buffer.nbytes)
    cuda.to_device(address, buffer, stream)
    cuda.synchronize(stream)
    cuda.give_back(stream, ())
    return address


def _each(give_back: Callable[[T], None], held: Sequence[T]) -> None:
    for one in held:
        give_back(one)


@dataclass(slots=True)
class Loaded:
    """What all callers share."""

    flavor: trt.Flavor
    messages: trt.Messages
    cuda: Cuda
    engine: tensorrt.ICudaEngine
    inputs: tuple[Binding, ...]
    outputs: tuple[Binding, ...]
    profiles: tuple[engines.Profile, ...]
    runtime_config: tensorrt.IRuntimeConfig | None = None
    """TensorRT-RTX: kernel cache, specialisation and CUDA graphs."""
    first_use: threading.Lock = field(default_factory=threading.Lock)
    """Held by a caller for its first request of a shape; see `TensorRtCaller.begin`."""
    timing: Timing = field(default_factory=Timing)
