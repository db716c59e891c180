"""One concurrent caller of an engine: context, stream, buffers and, on demand, CUDA graphs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from harness.backends.base import StreamCaller
from harness.backends.cuda.memory import Bytes, Cuda
from harness.backends.tensorrt.bindings import Binding, Loaded, Shape, TensorRtRequest, decode
from harness.backends.tensorrt.build import profile_for
from harness.errors import BackendError, HarnessError, translate
from harness.models.tensors import Tensors

if TYPE_CHECKING:
    import tensorrt


class TensorRtReply(NamedTuple):
    """The outputs' shapes; their bytes stay in the caller's buffers until its next request."""

    shapes: tuple[Shape, ...]


class _Buffer:
    """Device memory with pinned host memory beside it, for one tensor; grows when it must."""

    __slots__ = ("address", "host", "size", "view")

    def __init__(self) -> None:
        self.address, self.size = 0, 0
        self.host: Bytes | None = None
        self.view: Bytes | None = None
        """The part of `host` that the tensor takes now."""

    def fit(self, cuda: Cuda, size: int, *, host: bool) -> bool:
        """Make room for `size` bytes; True when the address has changed."""
        grown = size > self.size or not self.address
        if grown:
            self.free(cuda)
            self.address = cuda.allocate(size)
            self.host = cuda.pinned(size) if host else None
            self.size = size
        self.view = self.host[:size] if self.host is not None else None
        return grown

    def free(self, cuda: Cuda) -> None:
        """Give both back."""
        if self.address:
            cuda.free(self.address)
        host, self.host, self.view = self.host, None, None
        if host is not None:
            cuda.unpin(host)
        self.address, self.size = 0, 0


def _fit(
    cuda: Cuda, buffers: list[_Buffer], tensors: tuple[Binding, ...], shapes: tuple[Shape, ...], *,
    host: bool,
) -> bool:  # fmt: skip
    """Make room in all of them; True when an address has changed."""
    each = zip(buffers, tensors, shapes, strict=True)
    return sum(buffer.fit(cuda, b.nbytes(shape), host=host) for buffer, b, shape in each) > 0


class TensorRtCaller(StreamCaller[TensorRtRequest, TensorRtReply]):
    """Runs requests one after the other, on its own stream; belongs to the thread that made it."""

    def __init__(
        self, loaded: Loaded, *, copy: bool, graphs: bool,
        closed: Callable[[TensorRtCaller], None],
    ) -> None:  # fmt: skip
        self._loaded, self._copy, self._closed = loaded, copy, closed
        self._cuda = loaded.cuda
        self._graphs: dict[tuple[object, ...], object] | None = {} if graphs else None
        self._shapes: tuple[Shape, ...] = ()
        self._reply = TensorRtReply(())
        self._bound: tuple[int, ...] = ()
        self._profile = 0
        self._enqueued_ns = 0
        """What putting the computation on the stream took, of a request that is timed."""
        self._inputs = [_Buffer() for _ in loaded.inputs]
        self._outputs = [_Buffer() for _ in loaded.outputs]
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self._cuda.attach())
        try:
            self._stream = self._cuda.stream()
            self._handle = self._cuda.handle(self._stream)
            self._events = [*(self._cuda.event() for _ in range(4)), self._cuda.event(timed=False)]
            self._context = self._new_context()
        except BaseException:
            self._stack.close()  # a thread must not end while it is attached
            raise

    def _new_context(self) -> tensorrt.IExecutionContext:
        loaded = self._loaded
        loaded.messages.errors.clear()
        configured = () if loaded.runtime_config is None else (loaded.runtime_config,)
        context = loaded.engine.create_execution_context(*configured)
        if context is None:
            raise loaded.messages.error("creating an execution context")
        return context

    # -- the timed part -----------------------------------------------------------------------

    def infer(self, request: TensorRtRequest) -> TensorRtReply:
        """Copy in, compute, copy out, wait; with `io: device` compute and wait."""
        self.begin(request)
        self._cuda.synchronize(self._stream)
        return self.finish()

    def begin(self, request: TensorRtRequest) -> None:
        """Put a request on the stream; the first of a shape is complete when this returns.

        TensorRT-RTX compiles kernels in it, or takes them from a cache that all contexts share: so
        one caller at a time.
        """
        try:
            if request.shapes == self._shapes:
                self._start(request)
                return
            with self._loaded.first_use:
                self._reshape(request.shapes)
                self._start(request)
                self._cuda.synchronize(self._stream)
        except HarnessError:
            raise
        except Exception as error:
            raise translate(error, "running the engine") from error

    def warm(self, request: TensorRtRequest) -> None:
        """Set the shape up, and capture the graph if there is to be one."""
        self.infer(request)

    def _start(self, request: TensorRtRequest) -> None:
        if self._loaded.timing.due():
            self._start_timed(request)
        else:
            self._enqueued_ns = 0
            self._copy_in(request)
            self._compute(request)
            self._copy_out()
        self._cuda.record(self._events[-1], self._stream)

    def _start_timed(self, request: TensorRtRequest) -> None:
        record, stream = self._cuda.record, self._stream
        begin, started, computed, end, _ = self._events
        record(begin, stream)
        self._copy_in(request)
        record(started, stream)
        before = time.monotonic_ns()
        self._compute(request)
        self._enqueued_ns = time.monotonic_ns() - before
        record(computed, stream)
        self._copy_out()
        record(end, stream)

    def ready(self) -> bool:
        """Whether the last event has happened."""
        return self._cuda.ready(self._events[-1])

    def finish(self) -> TensorRtReply:
        """The shapes; where the request was timed, its events are read."""
        if self._enqueued_ns:
            elapsed, (begin, started, computed, end, _) = self._cuda.elapsed_ns, self._events
            self._loaded.timing.add(
                elapsed(begin, started), elapsed(started, computed), elapsed(computed, end),
                self._enqueued_ns,
            )  # fmt: skip
        return self._reply

    def _copy_in(self, request: TensorRtRequest) -> None:
        if not self._copy:
            if request.addresses != self._bound:
                self._bind(request.addresses)
            return
        for buffer, data in zip(self._inputs, request.buffers, strict=True):
            self._cuda.to_device(buffer.address, data, self._stream)

    def _copy_out(self) -> None:
        if self._copy:
            for buffer in self._outputs:
                assert buffer.view is not None
                self._cuda.to_host(buffer.view, buffer.address, self._stream)

    def _compute(self, request: TensorRtRequest) -> None:
        if self._graphs is None:
            self._enqueue()
            return
        key = (request.shapes, self._bound)
        graph = self._graphs.get(key)
        if graph is None:
            self._enqueue()  # once without: this is where TensorRT still changes its own state
            self._cuda.synchronize(self._stream)
            graph = self._graphs[key] = self._cuda.capture(self._stream, self._enqueue)
        self._cuda.launch(graph, self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._handle):
            raise self._loaded.messages.error("running the engine")

    # -- a new shape --------------------------------------------------------------------------

    def _reshape(self, shapes: tuple[Shape, ...]) -> None:
        """Set profile and shapes and make the buffers fit: once a shape, in the warm-up."""
        loaded, context = self._loaded, self._context
        self._shapes = ()  # until all is set: after a failure no shape is
        self._choose_profile(shapes)
        for binding, shape in zip(loaded.inputs, shapes, strict=True):
            if not context.set_input_shape(binding.name, shape):
                raise loaded.messages.error(f"setting {binding.name} to {list(shape)}")
        outputs = tuple(self._output_shape(b) for b in loaded.outputs)
        moved = False
        if self._copy:
            moved |= _fit(self._cuda, self._inputs, loaded.inputs, shapes, host=False)
        moved |= _fit(self._cuda, self._outputs, loaded.outputs, outputs, host=self._copy)
        if moved:
            self._drop_graphs()  # they hold the old addresses
        for binding, buffer in zip(loaded.outputs, self._outputs, strict=True):
            context.set_tensor_address(binding.name, buffer.address)
        if self._copy:
            self._bind(tuple(buffer.address for buffer in self._inputs))
        self._shapes, self._reply = shapes, TensorRtReply(outputs)

    def _drop_graphs(self) -> None:
        graphs = list((self._graphs or {}).values())
        if self._graphs is not None:
            self._graphs.clear()
        for graph in graphs:
            self._cuda.drop(graph)

    def _choose_profile(self, shapes: tuple[Shape, ...]) -> None:
        loaded = self._loaded
        if not loaded.profiles:
            return
        names = {b.name: s for b, s in zip(loaded.inputs, shapes, strict=True)}
        index = profile_for(loaded.profiles, names)
        if index is None:
            ranges = {n: (p.min, p.max) for n, p in loaded.profiles[0].items()}
            raise BackendError(
                f"the engine's profiles do not cover the input shapes {names}: {ranges}",
                fix="set backends[].profile, or give the ONNX file instead of the engine",
            )
        if index != self._profile:
            self._context.set_optimization_profile_async(index, self._handle)
            self._cuda.synchronize(self._stream)
            self._profile = index

    def _output_shape(self, binding: Binding) -> Shape:
        shape = tuple(self._context.get_tensor_shape(binding.name))
        if any(n < 0 for n in shape):
            raise BackendError(
                f"the shape of output {binding.name} depends on the data, which is not supported"
            )
        return shape

    def _bind(self, addresses: tuple[int, ...]) -> None:
        for binding, address in zip(self._loaded.inputs, addresses, strict=True):
            self._context.set_tensor_address(binding.name, address)
        self._bound = addresses

    # -- outside the clock ----------------------------------------------------------------------

    def outputs(self, reply: TensorRtReply) -> Tensors:
        """Output name → array, copied out of the caller's buffers."""
        found = {}
        tensors = zip(self._loaded.outputs, self._outputs, reply.shapes, strict=True)
        for binding, buffer, shape in tensors:
            data = buffer.view if self._copy else self._fetch(buffer, binding.nbytes(shape))
            assert data is not None
            found[binding.name] = decode(binding, data, shape)
        return found

    def _fetch(self, buffer: _Buffer, size: int) -> Bytes:
        if buffer.host is None:  # once, in the warm-up: pinning would cost a window milliseconds
            buffer.host = self._cuda.pinned(buffer.size)
        data = buffer.host[:size]
        self._cuda.to_host(data, buffer.address, self._stream)
        self._cuda.synchronize(self._stream)
        return data

    def report_layers(self, profiler: tensorrt.IProfiler) -> None:
        """Have TensorRT tell it the time of each layer; such requests are slower."""
        self._context.profiler = profiler

    def give_up_context(self) -> tensorrt.IExecutionContext:
        """Hand the execution context over, for its owner to destroy when nothing runs."""
        context, self._context = self._context, None
        return context

    @property
    def buffer_bytes(self) -> int:
        """Device memory in this caller's buffers."""
        return sum(b.size for b in (*self._inputs, *self._outputs))

    def __exit__(self, *_: object) -> None:
        with self._stack:  # detaches at the very end
            self._cuda.synchronize(self._stream)
            self._closed(self)
            for buffer in (*self._inputs, *self._outputs):
                buffer.free(self._cuda)
            self._drop_graphs()
            self._cuda.give_back(self._stream, self._events)
            self._stream, self._events = None, []  # here: pycuda ends them in the thread that drops
