"""`harness.backends.cuda.memory` through pycuda, in the primary context (`autoprimaryctx`).

pycuda keeps a stack of contexts for each thread and ends the process when a thread dies with one
still on it, so every thread attaches for as long as it works and detaches itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pycuda
from pycuda import driver

from harness.backends.cuda.memory import Bytes, CudaDevice
from harness.errors import SetupError, translate, translated
from harness.system.packages import install_command

if TYPE_CHECKING:
    from harness.backends.cuda.cuda_python import CudaBindings


class PyCuda:
    """One device; the thread that made this is attached until it ends."""

    def __init__(self, ordinal: int) -> None:
        os.environ["CUDA_DEVICE"] = str(ordinal)  # what autoprimaryctx reads
        from pycuda import autoprimaryctx

        self._context = autoprimaryctx.context
        self._allocations: dict[int, driver.DeviceAllocation] = {}
        self.name = f"pycuda {'.'.join(map(str, pycuda.VERSION))}"
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
        with translated(f"allocating {size} bytes on the GPU"):
            memory = driver.mem_alloc(max(size, 1))
        self._allocations[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        """Give an allocation back."""
        self._allocations.pop(address).free()

    def share(self, address: int) -> bytes:
        """The CUDA inter-process handle of an allocation."""
        with translated("sharing device memory"):
            return bytes(driver.mem_get_ipc_handle(self._allocations[address]))

    def pinned(self, size: int) -> Bytes:
        """Page-locked host memory, uint8 [size]. Raises OutOfMemoryError."""
        with translated(f"pinning {size} bytes"):
            array: Bytes = driver.pagelocked_empty(max(size, 1), np.uint8)[:size]
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

    def event(self, *, timed: bool = True) -> driver.Event:
        """A new event."""
        return driver.Event(0 if timed else driver.event_flags.DISABLE_TIMING)

    def record(self, event: driver.Event, stream: driver.Stream) -> None:
        """Enqueue the event."""
        event.record(stream)

    def ready(self, event: driver.Event) -> bool:
        """Whether the event has happened."""
        try:
            return bool(event.query())
        except driver.Error as error:
            raise translate(error, "waiting for the GPU") from error

    def elapsed_ns(self, start: driver.Event, end: driver.Event) -> float:
        """Nanoseconds between two events that have both happened."""
        return float(end.time_since(start)) * 1e6

    def synchronize(self, stream: driver.Stream) -> None:
        """Wait until the stream is empty."""
        with translated("waiting for the GPU"):
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


_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING; pycuda passes the flags to cuStreamCreate as they are."""


def _describe(device: driver.Device, ordinal: int) -> CudaDevice:
    uuid = ""
    with contextlib.suppress(Exception):  # not in every pycuda
        uuid = str(device.uuid())
    major, minor = device.compute_capability()
    return CudaDevice(ordinal, device.name(), f"{major}.{minor}", uuid)


@functools.cache
def _graphs() -> type[CudaBindings]:
    try:
        from harness.backends.cuda.cuda_python import CudaBindings
    except ImportError as error:
        raise SetupError(
            "CUDA graphs need cuda-python: pycuda can't capture them",
            fix=f"{install_command('cuda')}, or remove `cuda_graphs`",
        ) from error
    return CudaBindings
