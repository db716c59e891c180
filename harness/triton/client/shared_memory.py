"""Tensors in shared memory: requests and answers carry names of regions, the bytes stay put.

Each prepared request has one region that holds all of its inputs. Outputs go to regions of the
callers (one a caller, or a slot of the wire client), because two requests in flight must not
write to the same place; how large they are is learned from one plain call a batch size.

`system` regions are POSIX shared memory, whose name is removed as soon as the server has mapped
it: nothing stays in /dev/shm, even after `kill -9`. `cuda` regions are device memory that is
handed over by CUDA's inter-process handles.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import shared_memory
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from harness.backends.cuda.devices import select_gpu
from harness.backends.cuda.memory import Bytes, Cuda, open_cuda
from harness.errors import BackendError, ServerError
from harness.models.tensors import Tensors
from harness.triton.client.common import Target, all_to_host
from harness.triton.client.settings import TritonSettings

ALIGN = 256
"""Tensors begin at multiples of this, as device allocations do."""
UNWRITTEN = 0xA5
"""What output regions hold before the server writes: no plausible result."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's place in a region; sizes in bytes."""

    name: str
    datatype: str
    """As Triton calls it."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of one message, one behind the other."""

    tensors: tuple[Tensor, ...]
    size: int

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The layout of these arrays. Raises BackendError for strings, which have no fixed size."""
        from tritonclient.utils import np_to_triton_dtype

        tensors, offset = [], 0
        for name, array in arrays.items():
            bfloat16 = array.dtype.name == "bfloat16"
            datatype = "BF16" if bfloat16 else np_to_triton_dtype(array.dtype)
            if datatype in (None, "BYTES"):
                raise BackendError(
                    f"'{name}' holds strings, which have no fixed size in shared memory"
                )
            tensors.append(Tensor(name, datatype, array.dtype, array.shape, offset, array.nbytes))
            offset += -(-array.nbytes // ALIGN) * ALIGN
        return cls(tuple(tensors), max(offset, ALIGN))


class Memory(Protocol):
    """The bytes of one region."""

    def write(self, offset: int, data: Bytes) -> None:
        """Copy into the region."""
        ...

    def read(self, offset: int, size: int) -> Bytes:
        """A copy of a part of the region."""
        ...

    def register(self, client: Any, name: str) -> None:
        """Have the server map it."""
        ...

    def unregister(self, client: Any, name: str) -> None:
        """Have the server forget it."""
        ...

    def free(self) -> None:
        """Give it back."""
        ...


class SystemMemory:
    """POSIX shared memory."""

    def __init__(self, size: int) -> None:
        try:
            self._memory = shared_memory.SharedMemory(create=True, size=size)
        except OSError as error:
            raise BackendError(f"no {size} bytes of shared memory: {error}") from error
        self._size = size
        self._named = True

    @property
    def _buffer(self) -> memoryview:
        assert self._memory.buf is not None, "it was freed"
        return self._memory.buf

    def write(self, offset: int, data: Bytes) -> None:
        """Copy into the region."""
        self._buffer[offset : offset + data.size] = data.data

    def read(self, offset: int, size: int) -> Bytes:
        """A copy of a part of the region."""
        return np.frombuffer(bytes(self._buffer[offset : offset + size]), np.uint8)

    def register(self, client: Any, name: str) -> None:
        """Have the server map it, and remove its name: who has mapped it keeps it."""
        client.register_system_shared_memory(name, f"/{self._memory.name}", self._size)
        self._unlink()

    def unregister(self, client: Any, name: str) -> None:
        """Have the server forget it."""
        client.unregister_system_shared_memory(name)

    def free(self) -> None:
        """Unmap it."""
        self._unlink()
        self._memory.close()

    def _unlink(self) -> None:
        if self._named:
            self._named = False
            self._memory.unlink()


class CudaMemory:
    """Device memory."""

    def __init__(self, cuda: Cuda, size: int, server_device: int) -> None:
        self._cuda, self._size, self._device = cuda, size, server_device
        with cuda.attach():
            self._address = cuda.allocate(size)
            self._stream = cuda.stream()

    def write(self, offset: int, data: Bytes) -> None:
        """Copy to the device."""
        with self._cuda.attach():
            self._cuda.to_device(self._address + offset, np.ascontiguousarray(data), self._stream)
            self._cuda.synchronize(self._stream)

    def read(self, offset: int, size: int) -> Bytes:
        """A copy of a part of the region, in host memory."""
        found = np.empty(size, np.uint8)
        with self._cuda.attach():
            self._cuda.to_host(found, self._address + offset, self._stream)
            self._cuda.synchronize(self._stream)
        return found

    def register(self, client: Any, name: str) -> None:
        """Have the server open it."""
        with self._cuda.attach():
            handle = base64.b64encode(self._cuda.share(self._address))
        client.register_cuda_shared_memory(name, handle, self._device, self._size)

    def unregister(self, client: Any, name: str) -> None:
        """Have the server forget it."""
        client.unregister_cuda_shared_memory(name)

    def free(self) -> None:
        """Give it back."""
        with self._cuda.attach():
            self._cuda.free(self._address)
            self._cuda.give_back(self._stream, ())
            self._stream = None  # here, since pycuda ends a stream in the thread that drops it


@dataclass(frozen=True, slots=True)
class Region:
    """Registered memory with the tensors in it."""

    name: str
    layout: Layout
    memory: Memory

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Copies of what is in it now."""
        return {
            t.name: self.memory.read(t.offset, t.size).view(t.dtype).reshape(t.shape)
            for t in self.layout.tensors
        }


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """A prepared request: the client's input objects, and what will be written for them."""

    inputs: Sequence[Any]
    outputs: Layout


Plain = Callable[[Tensors], Mapping[str, NDArray[Any]]]
"""A call without shared memory: input arrays to output arrays, as the client gives them."""


class Regions:
    """The regions of one backend on one server.

    A region is registered and unregistered through a client that belongs to the calling thread.
    """

    def __init__(self, spec: TritonSettings, address: str, plain: Plain) -> None:
        self._kind = "cuda" if spec.io == "cuda_shared_memory" else "system"
        self._client_module: ModuleType = importlib.import_module(f"tritonclient.{spec.protocol}")
        self._address, self._plain = address, plain
        self._cuda: Cuda | None = None
        self._device = 0
        if self._kind == "cuda":
            self._device = select_gpu(spec.device if spec.device != "cpu" else "cuda")
            self._cuda = open_cuda(self._device)
        self._prefix = f"harness-{secrets.token_hex(4)}"
        self._count = 0
        self._lock = threading.Lock()
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        self._prepared: list[Region] = []
        self.current: list[Region] = []
        """The latest output regions of the wire client's slots."""

    def prepare(self, client: Any, inputs: Mapping[str, NDArray[Any]]) -> SharedRequest:
        """Put the inputs, in Triton's types and shapes, into a region; it lives until `release`.

        Raises ServerError when the server refuses it.
        """
        key = tuple((name, a.shape, a.dtype.name) for name, a in inputs.items())
        if key not in self._layouts:
            self._layouts[key] = Layout.of(self._plain(inputs))
        region = self._register(client, Layout.of(inputs))
        self._prepared.append(region)
        for tensor in region.layout.tensors:
            data = np.ascontiguousarray(inputs[tensor.name]).reshape(-1).view(np.uint8)
            region.memory.write(tensor.offset, data)
        return SharedRequest(self._inputs(region), self._layouts[key])

    def outputs(self, client: Any, layout: Layout) -> Region:
        """A region for the outputs of one request at a time; the caller frees it."""
        region = self._register(client, layout)
        region.memory.write(0, np.full(layout.size, UNWRITTEN, np.uint8))
        return region

    def slots(self, client: Any, layout: Layout, count: int) -> list[Region]:
        """`count` output regions that live until `release`; `current` until the next ones."""
        self.current = []
        for _ in range(count):
            region = self.outputs(client, layout)
            self.current.append(region)
            self._prepared.append(region)
        return self.current

    def wanted(self, region: Region) -> list[Any]:
        """The client's output objects that say where the outputs go."""
        made = []
        for t in region.layout.tensors:
            output = self._client_module.InferRequestedOutput(t.name)
            output.set_shared_memory(region.name, t.size, t.offset)
            made.append(output)
        return made

    def _inputs(self, region: Region) -> list[Any]:
        made = []
        for t in region.layout.tensors:
            tensor = self._client_module.InferInput(t.name, list(t.shape), t.datatype)
            tensor.set_shared_memory(region.name, t.size, t.offset)
            made.append(tensor)
        return made

    def _register(self, client: Any, layout: Layout) -> Region:
        from tritonclient.utils import InferenceServerException

        with self._lock:
            self._count += 1
            name = f"{self._prefix}-{self._count}"
        memory: Memory
        if self._cuda is None:
            memory = SystemMemory(layout.size)
        else:
            memory = CudaMemory(self._cuda, layout.size, self._device)
        try:
            memory.register(client, name)
        except InferenceServerException as error:
            memory.free()
            raise ServerError(
                f"Triton at {self._address} refuses {self._kind} shared memory: {error.message()}",
                fix="shared memory needs a server on this machine, in the same IPC namespace "
                "(Docker: --ipc=host); for any other use `io: host`",
            ) from None
        except BaseException:
            memory.free()
            raise
        return Region(name, layout, memory)

    def free(self, client: Any, region: Region) -> None:
        """Unregister and free; a server that is gone is no reason to keep the memory."""
        try:
            with contextlib.suppress(Exception):
                region.memory.unregister(client, region.name)
        finally:
            region.memory.free()

    def release(self, client: Any) -> None:
        """Free every region of prepared requests, and those that were to be kept."""
        self.current = []
        while self._prepared:
            self.free(client, self._prepared.pop())


class SharedCaller:
    """A caller of the official client with an output region of its own."""

    def __init__(self, caller: Any, regions: Regions, target: Target) -> None:
        self._caller, self._regions, self._target = caller, regions, target
        self._region: Region | None = None
        self._wanted: list[Any] = []

    def infer(self, request: SharedRequest) -> Any:
        """Send the names of the regions and wait until the outputs are written."""
        if self._region is None or self._region.layout is not request.outputs:
            self._use(request.outputs)
        return self._caller.infer(request.inputs, self._wanted)

    def outputs(self, reply: Any) -> Tensors:
        """What the server wrote last."""
        assert self._region is not None
        return all_to_host(self._target, self._region.tensors())

    def _use(self, layout: Layout) -> None:
        """Outside of the window: a caller's first request comes in the warm-up."""
        self._drop()
        self._region = self._regions.outputs(self._caller.client, layout)
        self._wanted = self._regions.wanted(self._region)

    def _drop(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            self._regions.free(self._caller.client, region)

    def __enter__(self) -> Self:
        self._caller.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._drop()
        finally:
            self._caller.__exit__(*error)
