"""`harness.backends.cuda.memory` through pycuda, in the primary context (`autoprimaryctx`).

pycuda keeps a stack of contexts for each thread and ends the process when a thread dies with one
still on it, so every thread attaches for as long as it works and detaches itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pycuda import driver

from harness.backends.cuda.memory import Bytes, CudaDevice, translate
from harness.errors import SetupError
from harness.system.packages import install_command

if TYPE_CHECKING:
    from harness.backends.cuda.cuda_python import CudaBindings


class PyCuda:
    """One device; the thread that made this is attached until it ends."""

    def __init__(self, ordinal: int) -> None:
        os.environ["CUDA_DEVICE"] = str(ordinal)  # what autoprimaryctx reads
        try:
            from pycuda import autoprimaryctx
        except ImportError:
            raise
        except Exception as error:
            raise translate(error, f"opening GPU {ordinal}") from error
        self._context = autoprimaryctx.context
        self._allocations: dict[int, driver.DeviceAllocation] = {}
        self.name = f"pycuda {'.'.join(map(str, driver_version()))}"
        self.gpu = _describe(autoprimaryctx.device, ordinal)

    @contextlib.contextmanager
    def attach(self) -> Iterator[None]:
        """Push the primary context on this thread's stack, and pop it."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def allocate(self, size: int) -> int:
        """The address of `size` new bytes on the device. Raises OutOfMemoryError."""
        try:
            memory = driver.mem_alloc(max(size, 1))
        except driver.Error as error:
            raise translate(error, f"allocating {size} bytes on the GPU") from error
        self._allocations[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        """Give an allocation back."""
        self._allocations.pop(address).free()

    def share(self, address: int) -> bytes:
        """The CUDA inter-process handle of an allocation."""
        try:
            return bytes(driver.mem_get_ipc_handle(self._allocations[address]))
        except driver.Error as error:
            raise translate(error, "sharing device memory") from error

    def pinned(self, size: int) -> Bytes:
        """Page-locked host memory, uint8 [size]. Raises OutOfMemoryError."""
        try:
            array: Bytes = driver.pagelocked_empty(max(size, 1), np.uint8)[:size]
        except driver.Error as error:
            raise translate(error, f"pinning {size} bytes") from error
        return array

    def unpin(self, array: Bytes) -> None:
        """Nothing to do: it is freed with the last view of it."""

    def stream(self) -> driver.Stream:
        """A new non-blocking stream."""
        return driver.Stream(_NON_BLOCKING)

    def handle(self, stream: driver.Stream) -> int:
        """The stream's handle."""
        return int(stream.handle)

    def to_device(self, address: int, array: Bytes, stream: driver.Stream) -> None:
        """Enqueue a copy to the device."""
        driver.memcpy_htod_async(address, array, stream)

    def to_host(self, array: Bytes, address: int, stream: driver.Stream) -> None:
        """Enqueue a copy to the host."""
        driver.memcpy_dtoh_async(array, address, stream)

    def event(self) -> driver.Event:
        """A new event that can be timed."""
        return driver.Event()

    def record(self, event: driver.Event, stream: driver.Stream) -> None:
        """Enqueue the event."""
        event.record(stream)

    def elapsed_ns(self, start: driver.Event, end: driver.Event) -> float:
        """Nanoseconds between two events that have both happened."""
        return float(end.time_since(start)) * 1e6

    def synchronize(self, stream: driver.Stream) -> None:
        """Wait until the stream is empty."""
        stream.synchronize()

    def capture(self, stream: driver.Stream, enqueue: Callable[[], None]) -> object:
        """A CUDA graph of what `enqueue` does; pycuda has none, cuda-python captures them."""
        return _graphs().capture(self.handle(stream), enqueue)

    def launch(self, graph: object, stream: driver.Stream) -> None:
        """Enqueue a captured graph."""
        _graphs().launch(graph, self.handle(stream))

    def drop(self, graph: object) -> None:
        """Free a captured graph."""
        _graphs().drop(graph)

    def give_back(self, stream: driver.Stream, events: Sequence[driver.Event]) -> None:
        """Nothing to do: pycuda's objects destroy themselves with their last reference."""

    def free_bytes(self) -> int:
        """Free memory of the whole device."""
        return int(driver.mem_get_info()[0])


_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING; pycuda passes the flags to cuStreamCreate as they are."""


def driver_version() -> tuple[int, ...]:
    """pycuda's own version."""
    import pycuda

    return tuple(pycuda.VERSION)


def _describe(device: driver.Device, ordinal: int) -> CudaDevice:
    uuid = ""
    with contextlib.suppress(Exception):  # not in every pycuda
        uuid = str(device.uuid())
    major, minor = device.compute_capability()
    return CudaDevice(ordinal, device.name(), f"{major}.{minor}", int(device.total_memory()), uuid)


def _graphs() -> type[CudaBindings]:
    try:
        from harness.backends.cuda.cuda_python import CudaBindings
    except ImportError as error:
        raise SetupError(
            "CUDA graphs need cuda-python: pycuda can't capture them",
            fix=f"{install_command('cuda')}, or remove `cuda_graphs`",
        ) from error
    return CudaBindings
