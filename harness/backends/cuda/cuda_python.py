"""`harness.backends.cuda.memory` through cuda-python's runtime API, and CUDA graphs.

The runtime API uses the primary context by itself; a thread only says which device it means.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from cuda.bindings import runtime

from harness.backends.cuda.memory import Bytes, Gpu, translate

_OK = runtime.cudaError_t.cudaSuccess
_TO_DEVICE = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
_TO_HOST = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
_MODE = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
_ATTRIBUTE = runtime.cudaDeviceAttr
_NON_BLOCKING = 1
"""cudaStreamNonBlocking."""
_HANDLE_BYTES = 64
"""CUDA_IPC_HANDLE_SIZE."""


def check(answer: tuple[Any, ...], doing: str) -> Any:
    """The value of a runtime call, which returns its error first. Raises what fits the error."""
    if answer[0] == _OK:
        return answer[1] if len(answer) > 1 else None
    raise translate(f"{answer[0].name}: {_words(answer[0])}", doing)


def _words(error: Any) -> str:
    """CUDA's sentence for an error; asking for it may fail where there is no driver."""
    with contextlib.suppress(Exception):
        status, text = runtime.cudaGetErrorString(error)
        if status == _OK:
            return str(text.decode())
    return "unknown"


class CudaBindings:
    """One device."""

    def __init__(self, ordinal: int) -> None:
        try:
            count = check(runtime.cudaGetDeviceCount(), "looking for GPUs")
            if ordinal >= count:
                raise translate("invalid device ordinal", f"opening GPU {ordinal} of {count}")
            check(runtime.cudaSetDevice(ordinal), f"opening GPU {ordinal}")
            check(runtime.cudaFree(0), "starting CUDA")  # makes the primary context
        except RuntimeError as error:  # no driver library at all
            raise translate(error, f"opening GPU {ordinal}") from error
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

    def stream(self) -> Any:
        """A new non-blocking stream."""
        return check(runtime.cudaStreamCreateWithFlags(_NON_BLOCKING), "creating a stream")

    def handle(self, stream: Any) -> int:
        """The stream's handle."""
        return int(stream)

    def to_device(self, address: int, array: Bytes, stream: Any) -> None:
        """Enqueue a copy to the device."""
        copied = runtime.cudaMemcpyAsync(
            address, array.ctypes.data, array.nbytes, _TO_DEVICE, stream
        )
        check(copied, "copying to the GPU")

    def to_host(self, array: Bytes, address: int, stream: Any) -> None:
        """Enqueue a copy to the host."""
        copied = runtime.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, _TO_HOST, stream)
        check(copied, "copying from the GPU")

    def event(self) -> Any:
        """A new event that can be timed."""
        return check(runtime.cudaEventCreate(), "creating an event")

    def record(self, event: Any, stream: Any) -> None:
        """Enqueue the event."""
        check(runtime.cudaEventRecord(event, stream), "recording an event")

    def elapsed_ns(self, start: Any, end: Any) -> float:
        """Nanoseconds between two events that have both happened."""
        return float(check(runtime.cudaEventElapsedTime(start, end), "reading events")) * 1e6

    def synchronize(self, stream: Any) -> None:
        """Wait until the stream is empty."""
        check(runtime.cudaStreamSynchronize(stream), "waiting for the GPU")

    def capture(self, stream: Any, enqueue: Callable[[], None]) -> Any:
        """A CUDA graph of what `enqueue` does."""
        return capture(self.handle(stream), enqueue)

    def launch(self, graph: Any, stream: Any) -> None:
        """Enqueue a captured graph."""
        launch(graph, stream)

    def drop(self, graph: Any) -> None:
        """Free a captured graph."""
        drop(graph)

    def give_back(self, stream: Any, events: Sequence[Any]) -> None:
        """Destroy a stream and events."""
        for event in events:
            check(runtime.cudaEventDestroy(event), "destroying an event")
        check(runtime.cudaStreamDestroy(stream), "destroying a stream")

    def free_bytes(self) -> int:
        """Free memory of the whole device."""
        answer = runtime.cudaMemGetInfo()
        return int(check(answer, "reading free memory"))


# --------------------------------------------------------------------------------------- graphs


def capture(stream: int, enqueue: Callable[[], None]) -> Any:
    """Run `enqueue` while the stream records; an executable graph.

    The stream leaves capture mode also when `enqueue` raises.
    """
    check(runtime.cudaStreamBeginCapture(stream, _MODE), "beginning a CUDA graph")
    try:
        enqueue()
    except BaseException:
        runtime.cudaStreamEndCapture(stream)
        raise
    graph = check(runtime.cudaStreamEndCapture(stream), "ending a CUDA graph")
    try:
        return check(runtime.cudaGraphInstantiate(graph, 0), "instantiating a CUDA graph")
    finally:
        check(runtime.cudaGraphDestroy(graph), "freeing a CUDA graph")


def launch(graph: Any, stream: Any) -> None:
    """Enqueue an executable graph."""
    check(runtime.cudaGraphLaunch(graph, stream), "launching a CUDA graph")


def drop(graph: Any) -> None:
    """Free an executable graph."""
    check(runtime.cudaGraphExecDestroy(graph), "freeing a CUDA graph")


# ------------------------------------------------------------------------------------------ facts


def _version() -> str:
    import cuda.bindings

    return str(cuda.bindings.__version__)


def _describe(ordinal: int) -> Gpu:
    properties = check(runtime.cudaGetDeviceProperties(ordinal), "reading the GPU's properties")
    major, minor = (
        check(runtime.cudaDeviceGetAttribute(a, ordinal), "reading the compute capability")
        for a in (
            _ATTRIBUTE.cudaDevAttrComputeCapabilityMajor,
            _ATTRIBUTE.cudaDevAttrComputeCapabilityMinor,
        )
    )
    name = properties.name
    return Gpu(
        ordinal,
        name.decode().rstrip("\0") if isinstance(name, bytes) else str(name),
        f"{major}.{minor}",
        int(properties.totalGlobalMem),
        _uuid(properties),
    )


def _uuid(properties: Any) -> str:
    with contextlib.suppress(Exception):
        digits = bytes(properties.uuid.bytes).hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32])
        return "GPU-" + "-".join(parts)
    return ""
