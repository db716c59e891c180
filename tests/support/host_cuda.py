"""`harness.backends.cuda.memory.Cuda` in host memory, and an engine that runs on it.

For the logic around TensorRT on machines without a GPU. Work is queued on a stream and done when
the stream is synchronised, so that code that reads results too early is found out.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.backends.cuda.memory import Bytes, CudaDevice


class Stream:
    def __init__(self) -> None:
        self.queue: list[Callable[[], None]] = []
        self.capturing = False


class HostCuda:
    """Addresses are handed out from 4096 on; everything that is not given back is in `live`."""

    name = "host memory"
    gpu = CudaDevice(0, "Test GPU", "9.0")

    def __init__(self) -> None:
        self.live: dict[int, Bytes] = {}
        self.pins = 0
        self.made = 0
        """Streams and events that were not given back."""
        self.attached: set[int] = {threading.get_ident()}
        self.launched = 0
        self.captured = 0
        self.clock = 0.0
        self._next = 4096
        self.streams: dict[int, Stream] = {}

    @contextlib.contextmanager
    def attach(self) -> Iterator[None]:
        thread = threading.get_ident()
        before = thread in self.attached
        self.attached.add(thread)
        try:
            yield
        finally:
            if not before:
                self.attached.discard(thread)

    def _check(self) -> None:
        assert threading.get_ident() in self.attached, "thread is not attached"

    def allocate(self, size: int) -> int:
        self._check()
        address = self._next
        self._next += size + 256
        self.live[address] = np.zeros(size, np.uint8)
        return address

    def free(self, address: int) -> None:
        self._check()
        del self.live[address]

    def share(self, address: int) -> bytes:
        self._check()
        return address.to_bytes(64, "little")

    def _from(self, address: int) -> Bytes:
        """What lies at an address, which may be inside an allocation."""
        base = max(a for a in self.live if a <= address)
        return self.live[base][address - base :]

    def pinned(self, size: int) -> Bytes:
        self.pins += 1
        return np.zeros(size, np.uint8)

    def unpin(self, array: Bytes) -> None:
        self.pins -= 1

    def stream(self) -> Stream:
        self._check()
        stream = Stream()
        self.streams[id(stream)] = stream
        self.made += 1
        return stream

    def handle(self, stream: Stream) -> int:
        return id(stream)

    def to_device(self, address: int, array: Bytes, stream: Stream) -> None:
        stream.queue.append(lambda: self._from(address).__setitem__(slice(array.size), array))

    def to_host(self, array: Bytes, address: int, stream: Stream) -> None:
        stream.queue.append(
            lambda: array.__setitem__(slice(None), self._from(address)[: array.size])
        )

    def event(self, *, timed: bool = True) -> SimpleNamespace:
        self.made += 1
        return SimpleNamespace(time=None, stream=None, asked=0)

    def record(self, event: SimpleNamespace, stream: Stream) -> None:
        event.time, event.stream, event.asked = None, stream, 0

        def mark() -> None:
            self.clock += 1000.0
            event.time = self.clock

        stream.queue.append(mark)

    def ready(self, event: SimpleNamespace) -> bool:
        """The third question finds the work done."""
        self._check()
        event.asked += 1
        if event.asked == 3:
            self.synchronize(event.stream)
        return event.time is not None

    def elapsed_ns(self, start: SimpleNamespace, end: SimpleNamespace) -> float:
        return float(end.time - start.time)

    def synchronize(self, stream: Stream) -> None:
        self._check()
        work, stream.queue = stream.queue, []
        for step in work:
            step()

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> list[Callable[[], None]]:
        assert not stream.queue, "work was pending when the capture began"
        enqueue()
        graph, stream.queue = stream.queue, []
        self.captured += 1
        return graph

    def launch(self, graph: list[Callable[[], None]], stream: Stream) -> None:
        self.launched += 1
        stream.queue.extend(graph)

    def drop(self, graph: Any) -> None:
        self.captured -= 1

    def give_back(self, stream: Stream, events: Sequence[SimpleNamespace]) -> None:
        self._check()
        assert not stream.queue, "work is pending"
        self.made -= 1 + len(events)


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


class HostEngine:
    """`sum`: [batch, 4] float32 → [batch] float32, for batches of the profiles."""

    device_memory_size_v2 = 1024

    def __init__(self, cuda: HostCuda, profiles: list[tuple[int, int, int]], fails: bool = False):
        self.cuda, self.profiles, self.fails = cuda, profiles, fails
        self.num_optimization_profiles = len(profiles)
        self.num_io_tensors = 2
        self.contexts: list[HostContext] = []

    def get_tensor_name(self, index: int) -> str:
        return ("x", "sum")[index]

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="FLOAT")

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 4) if name == "x" else (-1,)

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "x" else Mode.OUTPUT

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, int]]:
        return [(n, 4) for n in self.profiles[index]]

    def create_execution_context(self, *_: object) -> HostContext:
        self.contexts.append(HostContext(self))
        return self.contexts[-1]


class HostContext:
    def __init__(self, engine: HostEngine) -> None:
        self.engine, self.profile, self.batch = engine, 0, 0
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, index: int, handle: int) -> bool:
        self.profile = index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.profiles[self.profile]
        self.batch = shape[0]
        return low <= self.batch <= high

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.batch,)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, handle: int) -> bool:
        if self.engine.fails:
            return False
        cuda, batch = self.engine.cuda, self.batch
        source, target = self.addresses["x"], self.addresses["sum"]

        def run() -> None:
            x = cuda.live[source][: batch * 16].view(np.float32).reshape(batch, 4)
            cuda.live[target][: batch * 4] = x.sum(1).view(np.uint8)

        cuda.streams[handle].queue.append(run)
        return True
