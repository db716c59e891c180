"""A profiler's trace as spans of time: requests, operators, kernels, copies, launches, memory.

Two formats are read, both a list of Chrome trace events: PyTorch Profiler's (kineto) and ONNX
Runtime's. Times are microseconds on the trace's own clock. Of operators only the outermost are
kept: what `aten::conv2d` calls is a part of it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BackendError

REQUEST = "harness.request"
"""The annotation around each request."""
COPIES = frozenset({"gpu_memcpy", "gpu_memset"})
RUNTIME = frozenset({"cuda_runtime", "cuda_driver"})
NODE_SUFFIX = "_kernel_time"
Event = Mapping[str, Any]
Key = tuple[str, str]
"""An operator's name and its inputs' shapes; of ONNX Runtime a node's name and output shapes."""
Work = Mapping[Key, tuple[float | None, float | None]]
"""What one call of an operator does: FLOP, and bytes read and written; None is not known."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time."""

    name: str
    begin: float
    end: float
    shape: str = ""
    kind: str = ""
    """Of a node its operator, of a copy its direction; else empty."""
    thread: int = 0
    link: int = 0
    """What a launch and its kernel have in common; 0 where there is none."""
    where: str = ""
    """Of a node the provider that ran it."""

    @property
    def us(self) -> float:
        """How long it took."""
        return self.end - self.begin

    @property
    def key(self) -> Key:
        """What equal calls have in common."""
        return self.name, self.shape


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory taken (or given back, below 0) at a time, and the bytes held then."""

    at: float
    bytes: int
    held: int
    on_gpu: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """All of it, each in the order in which it began."""

    requests: tuple[Span, ...]
    operators: tuple[Span, ...]
    kernels: tuple[Span, ...] = ()
    copies: tuple[Span, ...] = ()
    launches: Mapping[int, Span] = field(default_factory=dict)
    memory: tuple[Memory, ...] = ()

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU did anything."""
        return bool(self.kernels or self.copies)


def read_events(path: Path) -> list[Event]:
    """The events of a trace file, packed or not. Raises BackendError where it is none."""
    try:
        data = path.read_bytes()
        found = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        return list(found["traceEvents"] if isinstance(found, dict) else found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendError(f"{path} is no trace that can be read: {error}") from error


# ------------------------------------------------------------------------------ PyTorch Profiler


def kineto(events: Iterable[Event]) -> Trace:
    """The trace of PyTorch Profiler. Raises BackendError where it has no request."""
    spans: dict[str, list[Span]] = {}
    memory = []
    for event in events:
        if event.get("ph") == "X" and "dur" in event:
            spans.setdefault(str(event.get("cat", "")), []).append(_span(event))
        elif event.get("name") == "[memory]":
            memory.append(_memory(event))
    requests = tuple(s for s in _ordered(spans.get("user_annotation", ())) if s.name == REQUEST)
    if not requests:
        raise BackendError("the trace has no request in it")
    copies = [s for kind in COPIES for s in spans.get(kind, ())]
    launched = [s for kind in RUNTIME for s in spans.get(kind, ()) if s.link]
    return Trace(
        requests, _outermost(spans.get("cpu_op", ())), _ordered(spans.get("kernel", ())),
        _ordered(copies), {s.link: s for s in launched}, tuple(sorted(memory, key=lambda m: m.at)),
    )  # fmt: skip


def _span(event: Event) -> Span:
    about, begin = event.get("args") or {}, float(event["ts"])
    thread = event.get("tid")
    return Span(
        str(event["name"]), begin, begin + float(event["dur"]), shapes(about.get("Input Dims")),
        str(event.get("name")) if event.get("cat") in COPIES else "",
        thread if isinstance(thread, int) else 0, int(about.get("correlation") or 0),
    )  # fmt: skip


def _memory(event: Event) -> Memory:
    about = event["args"]
    size, held = int(about.get("Bytes", 0)), int(about.get("Total Allocated", 0))
    return Memory(float(event["ts"]), size, held, int(about.get("Device Type", 0)) == 1)


def shapes(dims: object) -> str:
    """The shapes of the tensors among an operator's inputs: `[4, 3, 32, 32] [16, 3, 3, 3]`."""
    return " ".join(f"[{', '.join(map(str, s))}]" for s in _shapes(dims))


def _shapes(dims: object) -> Iterator[Sequence[int]]:
    for item in dims if isinstance(dims, list | tuple) else ():
        if isinstance(item, list | tuple) and item:
            if isinstance(item[0], list | tuple):
                yield from _shapes(item)
            else:
                yield item


def _outermost(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Those that no other of the same thread holds."""
    ends: dict[int, float] = {}
    found = []
    for span in sorted(spans, key=lambda s: (s.begin, -s.end)):
        if span.end > ends.get(span.thread, float("-inf")):
            ends[span.thread] = span.end
            found.append(span)
    return tuple(found)


def _ordered(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(sorted(spans, key=lambda s: (s.begin, s.end)))


def owner_of(trace: Trace) -> dict[int, Span]:
    """Kernel's place → the operator within which it was launched."""
    found, operators = {}, sorted(trace.operators, key=lambda o: o.begin)
    launched = sorted(
        (launch.begin, i, launch.thread)
        for i, k in enumerate(trace.kernels) if (launch := trace.launches.get(k.link))
    )  # fmt: skip
    place, open_ = 0, dict[int, Span]()
    for at, index, thread in launched:
        while place < len(operators) and operators[place].begin <= at:
            open_[operators[place].thread] = operators[place]
            place += 1
        holder = open_.get(thread)
        if holder is not None and holder.begin <= at <= holder.end:
            found[index] = holder
    return found


def launched_in(trace: Trace, span: Span, request: Span) -> bool:
    """Whether a request launched it; by its own begin where no launch is known."""
    launch = trace.launches.get(span.link, span)
    return request.begin <= launch.begin < request.end


# --------------------------------------------------------------------------------- ONNX Runtime


def onnxruntime(events: Iterable[Event], skip: int) -> tuple[Trace, Work]:
    """ONNX Runtime's own profile without its first `skip` runs, and what each node does.

    Raises BackendError where it has no run.
    """
    runs, nodes, work = [], [], dict[Key, tuple[float | None, float | None]]()
    for event in events:
        if event.get("cat") == "Session" and event["name"] == "model_run":
            runs.append(_run(event))
        elif event.get("cat") == "Node" and str(event["name"]).endswith(NODE_SUFFIX):
            node = _node(event)
            nodes.append(node)
            work.setdefault(node.key, (_flop(event["args"]), _bytes(event["args"])))
    requests = _ordered(runs)[skip:]
    if not requests:
        raise BackendError("ONNX Runtime's profile has no run in it")
    kept = (n for n in _ordered(nodes) if n.begin >= requests[0].begin)
    return Trace(requests, tuple(kept)), work


def _run(event: Event) -> Span:
    return Span(REQUEST, float(event["ts"]), float(event["ts"]) + float(event["dur"]))


def _node(event: Event) -> Span:
    begin, about = float(event["ts"]), event["args"]
    shape = shapes(_dims(about.get("output_type_shape")))
    name = str(event["name"]).removesuffix(NODE_SUFFIX)
    kind, where = (str(about.get(key, "")) for key in ("op_name", "provider"))
    return Span(name, begin, begin + float(event["dur"]), shape, kind, where=where)


def _dims(said: object) -> list[list[int]]:
    return [list(next(iter(s.values()))) for s in said] if isinstance(said, list) else []


def _bytes(about: Event) -> float | None:
    sizes = [about.get(k) for k in ("activation_size", "parameter_size", "output_size")]
    return None if None in sizes else float(sum(int(str(s)) for s in sizes))


def _flop(about: Event) -> float | None:
    """Of convolutions and matrix products, two a multiply-add; the others' are counted as none.

    None where the profile lacks the shape that it takes.
    """
    kind = str(about.get("op_name", ""))
    inputs, outputs = _dims(about.get("input_type_shape")), _dims(about.get("output_type_shape"))
    if "Conv" in kind and "Transpose" not in kind:
        if len(inputs) < 2 or len(inputs[1]) < 3 or not outputs:
            return None
        return 2.0 * _product(outputs[0]) * _product(inputs[1][1:])
    if kind in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm"):
        if not inputs or not inputs[0] or not outputs:
            return None
        return 2.0 * _product(outputs[0]) * inputs[0][-1]
    return 0.0


def _product(sizes: Iterable[int]) -> int:
    found = 1
    for size in sizes:
        found *= size
    return found
