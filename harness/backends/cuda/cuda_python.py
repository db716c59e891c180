"""`harness.backends.cuda.memory` through cuda-python's runtime API, and CUDA graphs.

The runtime API uses the primary context by itself; a thread only says which device it means.
"""

from __future__ import annotations

import contextlib
import ctypes
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import SupportsInt, TypeVar, cast

import numpy as np
from cuda.bindings import runtime

from harness.backends.cuda.memory import Bytes, CudaDevice
from harness.errors import translate

_OK = runtime.cudaError_t.cudaSuccess
_NOT_READY = runtime.cudaError_t.cudaErrorNotReady
_TO_DEVICE = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
_TO_HOST = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
_MODE = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
_NON_BLOCKING = 1
"""cudaStreamNonBlocking."""
_HANDLE_BYTES = 64
"""CUDA_IPC_HANDLE_SIZE."""


Value = TypeVar("Value")


def check(answer: Sequence[Value], doing: str) -> Value:
    """The value of a runtime call, which returns its error first. Raises what fits the error."""
    error: runtime.cudaError_t = answer[0]
    if error == _OK:
        return answer[1] if len(answer) > 1 else cast("Value", None)
    raise translate(f"{error.name}: {_words(error)}", doing)


def _words(error: runtime.cudaError_t) -> str:
    """CUDA's sentence for an error; asking for it may fail where there is no driver."""
    with contextlib.suppress(Exception):
        status, text = runtime.cudaGetErrorString(error)
        if status == _OK:
            return str(text.decode())
    return "unknown"


class CudaBindings:
    """One device."""

    def __init__(self, ordinal: int) -> None:
        count = check(runtime.cudaGetDeviceCount(), "looking for GPUs")
        if ordinal >= count:
            raise translate("invalid device ordinal", f"opening GPU {ordinal} of {count}")
        check(runtime.cudaSetDevice(ordinal), f"opening GPU {ordinal}")
        check(runtime.cudaFree(0), "starting CUDA")  # makes the primary context
        self.name = f"cuda-python {_version()}"
        self.gpu = _describe(ordinal)

    @contextlib.contextmanager
    def attach(self) -> Iterator[None]:
        """Say which device this thread means."""
        check(runtime.cudaSetDevice(self.gpu.ordinal), "choosing the GPU")
        yield

    def allocate(self, size: int) -> int:
        """The address of `size` new bytes on the device. Raises OutOfMemoryError."""
        return int(check(runtime.cudaMalloc(max(size, 1)), f"allocating {size} bytes on the GPU"))

    def free(self, address: int) -> None:
        """Give an allocation back."""
        check(runtime.cudaFree(address), "freeing device memory")

    def share(self, address: int) -> bytes:
        """The CUDA inter-process handle of an allocation."""
        handle = check(runtime.cudaIpcGetMemHandle(address), "sharing device memory")
        return ctypes.string_at(handle.getPtr(), _HANDLE_BYTES)

    def pinned(self, size: int) -> Bytes:
        """Page-locked host memory, uint8 [size]. Raises OutOfMemoryError."""
        address = int(check(runtime.cudaHostAlloc(max(size, 1), 0), f"pinning {size} bytes"))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def unpin(self, array: Bytes) -> None:
        """Give page-locked memory back."""
        check(runtime.cudaFreeHost(array.ctypes.data), "unpinning memory")

    def stream(self) -> object:
        """A new non-blocking stream."""
        return check(runtime.cudaStreamCreateWithFlags(_NON_BLOCKING), "creating a stream")

    def handle(self, stream: SupportsInt) -> int:
        """The stream's handle."""
        return int(stream)

    def to_device(self, address: int, array: Bytes, stream: object) -> None:
        """Enqueue a copy to the device."""
        copied = runtime.cudaMemcpyAsync(
            address, array.ctypes.data, array.nbytes, _TO_DEVICE, stream
        )
        check(copied, "copying to the GPU")

    def to_host(self, array: Bytes, address: int, stream: object) -> None:
        """Enqueue a copy to the host."""
        copied = runtime.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, _TO_HOST, stream)
        check(copied, "copying from the GPU")

    def event(self, *, timed: bool = True) -> object:
        """A new event."""
        flags = runtime.cudaEventDefault if timed else runtime.cudaEventDisableTiming
        return check(runtime.cudaEventCreateWithFlags(flags), "creating an event")

    def record(self, event: object, stream: object) -> None:
        """Enqueue the event."""
        check(runtime.cudaEventRecord(event, stream), "recording an event")

    def ready(self, event: object) -> bool:
        """Whether the event has happened."""
        answer = runtime.cudaEventQuery(event)
        if answer[0] != _NOT_READY:
            check(answer, "waiting for the GPU")
        return bool(answer[0] == _OK)

    def elapsed_ns(self, start: object, end: object) -> float:
        """Nanoseconds between two events that have both happened."""
        return float(check(runtime.cudaEventElapsedTime(start, end), "reading events")) * 1e6

    def synchronize(self, stream: object) -> None:
        """Wait until the stream is empty."""
        check(runtime.cudaStreamSynchronize(stream), "waiting for the GPU")

    @staticmethod
    def capture(stream: SupportsInt, enqueue: Callable[[], None]) -> object:
        """Run `enqueue` while the stream records; an executable graph.

        The stream leaves capture mode also when `enqueue` raises.
        """
        handle = int(stream)
        check(runtime.cudaStreamBeginCapture(handle, _MODE), "beginning a CUDA graph")
        try:
            enqueue()
        except BaseException:
            runtime.cudaStreamEndCapture(handle)
            raise
        graph = check(runtime.cudaStreamEndCapture(handle), "ending a CUDA graph")
        try:
            return check(runtime.cudaGraphInstantiate(graph, 0), "instantiating a CUDA graph")
        finally:
            check(runtime.cudaGraphDestroy(graph), "freeing a CUDA graph")

    @staticmethod
    def launch(graph: object, stream: object) -> None:
        """Enqueue an executable graph."""
        check(runtime.cudaGraphLaunch(graph, stream), "launching a CUDA graph")

    @staticmethod
    def drop(graph: object) -> None:
        """Free an executable graph."""
        check(runtime.cudaGraphExecDestroy(graph), "freeing a CUDA graph")

    def give_back(self, stream: object, events: Sequence[object]) -> None:
        """Destroy a stream and events."""
        for event in events:
            check(runtime.cudaEventDestroy(event), "destroying an event")
        check(runtime.cudaStreamDestroy(stream), "destroying a stream")


# ------------------------------------------------------------------------------------------ facts


def _version() -> str:
    import cuda.bindings

    return str(cuda.bindings.__version__)


def _describe(ordinal: int) -> CudaDevice:
    properties = check(runtime.cudaGetDeviceProperties(ordinal), "reading the GPU's properties")
    name = properties.name
    return CudaDevice(
        ordinal,
        name.decode().rstrip("\0") if isinstance(name, bytes) else str(name),
        f"{properties.major}.{properties.minor}",
        _uuid(properties),
    )


def _uuid(properties: runtime.cudaDeviceProp) -> str:
    with contextlib.suppress(Exception):
        return f"GPU-{uuid.UUID(bytes=bytes(properties.uuid.bytes))}"
    return ""
