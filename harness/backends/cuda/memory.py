"""Device memory, streams and events in a few functions, through pycuda or else cuda-python.

Both work in the device's primary context, the one that TensorRT, torch and ONNX Runtime use, so
nothing here makes a context of its own. `open_cuda` picks the library; `name` says which it was.
The unit of time is nanoseconds, of size bytes; addresses are plain integers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import MissingPackageError, translated
from harness.system.packages import install_command

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """The device that is used."""

    ordinal: int
    name: str
    capability: str
    """Compute capability, e.g. `9.0`."""
    uuid: str = ""

    @property
    def key(self) -> str:
        """What an engine depends on: two GPUs with the same key run the same engine."""
        return f"{self.name} {self.capability}"


class Cuda(Protocol):
    """One device. Every method but `attach` needs the calling thread to be attached.

    Streams, events and graphs are objects of the library, which only its own methods know.
    """

    name: str
    gpu: CudaDevice

    def attach(self) -> AbstractContextManager[None]:
        """Make the device current in this thread, until the `with` block ends in this thread."""
        ...

    def allocate(self, size: int) -> int:
        """The address of `size` new bytes on the device."""
        ...

    def free(self, address: int) -> None:
        """Give an allocation back."""
        ...

    def share(self, address: int) -> bytes:
        """The handle under which another process can open an allocation."""
        ...

    def pinned(self, size: int) -> Bytes:
        """Page-locked host memory, uint8 [size]; copies from it run at full speed."""
        ...

    def unpin(self, array: Bytes) -> None:
        """Give page-locked memory back; no view of it may be used again."""
        ...

    def stream(self) -> object:
        """A new stream that does not wait for the default stream."""
        ...

    def handle(self, stream: object) -> int:
        """The stream's `cudaStream_t` as an integer."""
        ...

    def to_device(self, address: int, array: Bytes, stream: object) -> None:
        """Enqueue a copy of the whole array to `address`."""
        ...

    def to_host(self, array: Bytes, address: int, stream: object) -> None:
        """Enqueue a copy from `address` that fills the array."""
        ...

    def event(self, *, timed: bool = True) -> object:
        """A new event; one that is not timed costs the GPU less."""
        ...

    def record(self, event: object, stream: object) -> None:
        """Enqueue the event."""
        ...

    def ready(self, event: object) -> bool:
        """Whether all that was enqueued before the event is done."""
        ...

    def elapsed_ns(self, start: object, end: object) -> float:
        """Time between two events that have both happened."""
        ...

    def synchronize(self, stream: object) -> None:
        """Wait until the stream is empty; other threads run meanwhile."""
        ...

    def capture(self, stream: object, enqueue: Callable[[], None]) -> object:
        """Record what `enqueue` puts on the stream, instead of running it, as a CUDA graph."""
        ...

    def launch(self, graph: object, stream: object) -> None:
        """Enqueue a captured graph."""
        ...

    def drop(self, graph: object) -> None:
        """Free a captured graph."""
        ...

    def give_back(self, stream: object, events: Sequence[object]) -> None:
        """Destroy a stream on which nothing runs, and events."""
        ...


# ------------------------------------------------------------------------------------ selection

LIBRARIES = {
    "pycuda": "harness.backends.cuda.pycuda:PyCuda",
    "cuda-python": "harness.backends.cuda.cuda_python:CudaBindings",
}
"""In the order in which they are tried."""


def open_cuda(ordinal: int = 0, library: str | None = None) -> Cuda:
    """The device `ordinal` (as CUDA counts), through the first library that can be imported.

    Raises MissingPackageError when there is none, DeviceError when there is no such GPU.
    """
    reasons = []
    for name, path in LIBRARIES.items():
        if library not in (None, name):
            continue
        module, _, attribute = path.partition(":")
        try:
            with translated(f"opening GPU {ordinal}", (ImportError,)):
                opened: Cuda = getattr(importlib.import_module(module), attribute)(ordinal)
                return opened
        except ImportError as error:  # not installed, or built for another CUDA or Python
            reasons.append(f"{name}: {error}")
    raise MissingPackageError(
        f"no library for device memory can be imported ({'; '.join(reasons)})",
        fix=f"{install_command('pycuda')} (needs a CUDA toolkit), or {install_command('cuda')}",
    )
