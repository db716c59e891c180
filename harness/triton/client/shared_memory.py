"""Tensors in shared memory: requests and answers carry names of regions, the bytes stay put.

Each prepared request has one region that holds all of its inputs. Outputs go to regions of the
callers (one a caller, or a slot of the wire client), because two requests in flight must not
write to the same place; how large they are is learned from one plain call a prepared request,
since outputs of inputs of one shape may differ in size: detections, say.

`system` regions are POSIX shared memory, whose name is removed as soon as the server has mapped
it: nothing stays in /dev/shm, even after `kill -9`. `cuda` regions are device memory that is
handed over by CUDA's inter-process handles.
"""

from __future__ import annotations

import base64
import importlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import shared_memory
from typing import Self

import numpy as np

from harness.backends.cuda.devices import select_gpu
from harness.backends.cuda.memory import Bytes, Cuda, open_cuda
from harness.errors import BackendError, ServerError
from harness.models.strings import from_bytes, to_bytes
from harness.models.tensors import Array, Tensors
from harness.system.faults import cant_write
from harness.system.files import reserve
from harness.triton.client.common import InferInput, new_input
from harness.triton.client.connection import Client
from harness.triton.client.settings import TritonSettings
from harness.triton.server.stub_memory import DIRECTORY

ALIGN = 256
"""Tensors begin at multiples of this, as device allocations do."""
UNWRITTEN = 0xA5
"""What output regions hold before the server writes: no plausible result."""


@dataclass(frozen=True, slots=True)
class SharedTensor:
    """A tensor's place in a region; sizes in bytes."""

    name: str
    datatype: str
    """As Triton calls it."""
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    size: int


def raw(array: Array) -> Bytes:
    """What the server reads or writes for a tensor."""
    if array.dtype.kind == "O":
        return to_bytes(array)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of one message, one behind the other."""

    tensors: tuple[SharedTensor, ...]
    size: int

    @classmethod
    def of(cls, arrays: Mapping[str, Array], before: Self | None = None) -> Self:
        """The layout of these arrays, with no less room for each than `before`; itself where that
        is enough. An empty one has room too: Triton takes no place of no size.
        """
        room = {tensor.name: tensor.size for tensor in before.tensors} if before else {}
        sizes = {name: raw(array).nbytes for name, array in arrays.items()}
        if before and all(size <= room.get(name, -1) for name, size in sizes.items()):
            return before
        from tritonclient.utils import np_to_triton_dtype

        tensors = []
        for name, array in arrays.items():
            bfloat16 = array.dtype.name == "bfloat16"
            datatype = "BF16" if bfloat16 else np_to_triton_dtype(array.dtype)
            size = max(sizes[name], room.get(name, 0)) or array.itemsize
            tensors.append(SharedTensor(name, datatype, array.dtype, array.shape, 0, size))
        return cls.placed(tensors)

    @classmethod
    def placed(cls, tensors: Iterable[SharedTensor]) -> Self:
        """These tensors, each where the one before it ends."""
        found, offset = [], 0
        for tensor in tensors:
            found.append(replace(tensor, offset=offset))
            offset += -(-tensor.size // ALIGN) * ALIGN
        return cls(tuple(found), max(offset, ALIGN))


def widest(layouts: Iterable[Layout]) -> Layout:
    """One with room for the tensors of each of these, whatever the request's sizes."""
    first, *others = dict.fromkeys(layouts)
    if not others:
        return first
    largest: dict[str, SharedTensor] = {}
    for tensor in (tensor for layout in (first, *others) for tensor in layout.tensors):
        known = largest.setdefault(tensor.name, tensor)
        largest[tensor.name] = max(known, tensor, key=lambda t: t.size)
    return Layout.placed(largest.values())


IN_USE_S = 5.0
"""How long a server may hold a region after its answer has come."""


class SystemMemory:
    """POSIX shared memory."""

    def __init__(self, size: int) -> None:
        try:
            self._memory = shared_memory.SharedMemory(create=True, size=size)
        except OSError as error:
            raise BackendError(f"no {size} bytes of shared memory: {error}") from error
        self._size = size
        self._named = True
        try:
            reserve(DIRECTORY / self._memory.name, size)
        except OSError as error:
            self.free()
            raise cant_write(error, error.filename) from error

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

    def register(self, client: Client, name: str) -> None:
        """Have the server map it, and remove its name: who has mapped it keeps it."""
        client.register_system_shared_memory(name, f"/{self._memory.name}", self._size)
        self._unlink()

    def unregister(self, client: Client, name: str) -> None:
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

    def register(self, client: Client, name: str) -> None:
        """Have the server open it."""
        with self._cuda.attach():
            handle = base64.b64encode(self._cuda.share(self._address))
        client.register_cuda_shared_memory(name, handle, self._device, self._size)

    def unregister(self, client: Client, name: str) -> None:
        """Have the server forget it."""
        client.unregister_cuda_shared_memory(name)

    def free(self) -> None:
        """Give it back."""
        with self._cuda.attach():
            self._cuda.free(self._address)
            self._cuda.give_back(self._stream, ())
            self._stream = None  # here, since pycuda ends a stream in the thread that drops it


Memory = SystemMemory | CudaMemory


Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors, by name."""


@dataclass(slots=True)
class Room:
    """What the outputs of all requests of one shape need; it grows while they are prepared."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Region:
    """Registered memory with the tensors in it."""

    name: str
    layout: Layout
    memory: Memory

    def tensors(self, shapes: Shapes) -> dict[str, Array]:
        """Copies of what is in it now, in these shapes."""
        return {t.name: self._tensor(t, shapes[t.name]) for t in self.layout.tensors}

    def _tensor(self, tensor: SharedTensor, shape: tuple[int, ...]) -> Array:
        count = math.prod(shape)
        if tensor.datatype == "BYTES":
            held = self.memory.read(tensor.offset, tensor.size).tobytes()
            return from_bytes(held, count).reshape(shape)
        size = count * tensor.dtype.itemsize
        read = self.memory.read(tensor.offset, size) if size else np.empty(0, np.uint8)
        return read.view(tensor.dtype).reshape(shape)


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """A prepared request: the client's input objects, and what will be written for them."""

    inputs: Sequence[InferInput]
    room: Room
    shapes: Shapes
    """Of its outputs, as a plain call gave them."""


Plain = Callable[[Tensors], Mapping[str, Array]]
"""A call without shared memory: input arrays to output arrays, as the client gives them."""


class Regions:
    """The regions of one backend on one server.

    A region is registered and unregistered through a client that belongs to the calling thread.
    """

    def __init__(self, spec: TritonSettings, address: str, plain: Plain) -> None:
        self._kind = "cuda" if spec.io == "cuda_shared_memory" else "system"
        self._protocol, self._address, self._plain = spec.protocol, address, plain
        self._cuda: Cuda | None = None
        self._device = 0
        if self._kind == "cuda":
            self._device = select_gpu(spec.device if spec.device != "cpu" else "cuda")
            self._cuda = open_cuda(self._device)
        self._prefix = f"harness-{secrets.token_hex(4)}"
        self._count = 0
        self._lock = threading.Lock()
        self._rooms: dict[tuple[tuple[object, ...], ...], Room] = {}
        self._prepared: list[Region] = []
        self.current: list[Region] = []
        """The latest output regions of the wire client's slots."""

    def prepare(self, client: Client, inputs: Mapping[str, Array]) -> SharedRequest:
        """Put the inputs, in Triton's types and shapes, into a region; it lives until `release`.

        Raises ServerError when the server refuses it.
        """
        key = tuple((name, a.shape, a.dtype.name) for name, a in inputs.items())
        outputs = self._plain(inputs)
        room = self._rooms.setdefault(key, Room(Layout.of(outputs)))
        room.layout = Layout.of(outputs, room.layout)
        shapes = {name: array.shape for name, array in outputs.items()}
        region = self._register(client, Layout.of(inputs))
        self._prepared.append(region)
        for tensor in region.layout.tensors:
            region.memory.write(tensor.offset, raw(inputs[tensor.name]))
        return SharedRequest(self._inputs(region), room, shapes)

    def outputs(self, client: Client, layout: Layout) -> Region:
        """A region for the outputs of one request at a time; the caller frees it."""
        region = self._register(client, layout)
        region.memory.write(0, np.full(layout.size, UNWRITTEN, np.uint8))
        return region

    def slots(self, client: Client, layout: Layout, count: int) -> list[Region]:
        """`count` output regions that live until `release`; `current` until the next ones."""
        self.current = []
        for _ in range(count):
            region = self.outputs(client, layout)
            self.current.append(region)
            self._prepared.append(region)
        return self.current

    def wanted(self, region: Region) -> list[InferInput]:
        """The client's output objects that say where the outputs go."""
        make = importlib.import_module(f"tritonclient.{self._protocol}").InferRequestedOutput
        return _placed(region, lambda tensor: make(tensor.name))

    def _inputs(self, region: Region) -> list[InferInput]:
        return _placed(region, lambda t: new_input(self._protocol, t.name, t.shape, t.datatype))

    def _register(self, client: Client, layout: Layout) -> Region:
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

    def free(self, client: Client, region: Region) -> None:
        """Unregister and free; a server that is gone is no reason to keep the memory."""
        until = time.monotonic() + IN_USE_S
        try:
            while self._in_use(client, region) and time.monotonic() < until:
                time.sleep(0.002)
        finally:
            region.memory.free()

    @staticmethod
    def _in_use(client: Client, region: Region) -> bool:
        """Whether the server refuses to forget the region, as it still holds what it answered."""
        try:
            region.memory.unregister(client, region.name)
        except Exception as error:
            return "currently in use" in str(error)
        return False

    def release(self, client: Client) -> None:
        """Free every region of prepared requests, and those that were to be kept."""
        self.current = []
        while self._prepared:
            self.free(client, self._prepared.pop())


def _placed(region: Region, make: Callable[[SharedTensor], InferInput]) -> list[InferInput]:
    """An object of the client for each tensor, told where in the region it lies."""
    made = []
    for tensor in region.layout.tensors:
        placed = make(tensor)
        if 0 in tensor.shape and hasattr(placed, "set_data_from_numpy"):
            # an empty input travels in the message: Triton takes no place of no size
            placed.set_data_from_numpy(np.empty(tensor.shape, tensor.dtype))
        else:
            placed.set_shared_memory(region.name, tensor.size, tensor.offset)
        made.append(placed)
    return made
