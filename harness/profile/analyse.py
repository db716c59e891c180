"""From a trace to a `BatchProfile`: rows by operator, parts, memory, what bounds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness.inspect.trace import Key, Memory, Span, Trace, Work, launched_in, owner_of
from harness.profile.bound import judge
from harness.profile.result import BatchProfile, Row
from harness.profile.split import Roof, gpu_of, split, without_profiler

MOST_KERNELS = 30
"""Kernels that a profile keeps, the longest first."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a profiled process told of one batch size."""

    batch: int
    trace: Trace
    source: str
    """torch, onnxruntime or tensorrt: whose operators the trace has."""
    work: Work = field(default_factory=dict)
    calls_ms: Sequence[float] = ()
    first_calls: int = 10
    """Calls after the first that count for no steady state."""
    layers: Sequence[Row] = ()
    traces: Sequence[str] = ()
    notes: Sequence[str] = ()
    flop: float | None = None
    """Of a request, where it was counted on another runtime's operators."""


def analyse(said: Recorded, roof: Roof | None) -> BatchProfile:
    """Everything about one batch size."""
    trace = said.trace
    recorded = split(trace, said.work, roof)
    steady = steady_ms(said.calls_ms, said.first_calls)
    parts = without_profiler(recorded, steady * 1e3) if trace.on_gpu else recorded
    wall = sum(parts["wall"])
    rows = rows_of(said, roof, wall)
    gpu = gpu_of(trace, wall)
    peak, holder = peak_of(trace)
    flop = sum(r.flop or 0.0 for r in rows if r.source != "kernel") or said.flop
    return BatchProfile(
        said.batch, len(trace.requests), trace.on_gpu, list(said.calls_ms[: said.first_calls]),
        steady, sum(recorded["wall"]) / len(recorded["wall"]) / 1e3,
        parts, judge(parts, rows, roof, gpu), rows, flop, gpu, peak, holder,
        said.layers, said.traces, said.notes,
    )  # fmt: skip


def steady_ms(calls: Sequence[float], first: int) -> float:
    """The median of the calls after the first ones."""
    return median(calls[first:] or calls) if calls else 0.0


def rows_of(said: Recorded, roof: Roof | None, wall: float | None = None) -> list[Row]:
    """Operators (and on a GPU the longest kernels), the longest first; shares are of `wall`
    microseconds for all requests, or of what was recorded.
    """
    trace = said.trace
    wall = wall or sum(r.us for r in trace.requests)
    times = _operator_times(trace)
    count = len(trace.requests)
    taken = _taken(trace)
    first = {o.key: o for o in reversed(trace.operators)}
    rows = []
    for key, (calls, us) in times.items():
        flop, size = said.work.get(key, (None, None))
        side = roof.side(flop, size) if roof else ""
        each = calls / count
        rows.append(Row(
            said.source, key[0], first[key].kind or key[0], key[1], each, us / count,  # type: ignore[arg-type]
            us / wall, None if flop is None else flop * each,
            None if size is None else size * each, side, taken.get(key, 0) / count,
        ))  # fmt: skip
    return sorted(rows, key=lambda r: -r.us) + _kernels(trace, wall)


def _operator_times(trace: Trace) -> dict[Key, tuple[int, float]]:
    """Operator → calls and microseconds within requests: on the GPU where there is one."""
    found: dict[Key, tuple[int, float]] = {}
    on_gpu: dict[int, float] = {}
    for index, holder in owner_of(trace).items():
        on_gpu[id(holder)] = on_gpu.get(id(holder), 0.0) + trace.kernels[index].us
    for operator in _within(trace):
        calls, us = found.get(operator.key, (0, 0.0))
        took = on_gpu.get(id(operator), 0.0) if trace.on_gpu else operator.us
        found[operator.key] = calls + 1, us + took
    return found


def _within(trace: Trace) -> list[Span]:
    """The operators of requests; of nothing before, between or after."""
    requests, place, found = trace.requests, 0, []
    for operator in trace.operators:
        while place < len(requests) and requests[place].end <= operator.begin:
            place += 1
        if place < len(requests) and requests[place].begin <= operator.begin:
            found.append(operator)
    return found


def _kernels(trace: Trace, wall: float) -> list[Row]:
    found: dict[str, tuple[int, float]] = {}
    for request in trace.requests:
        for span in (*trace.kernels, *trace.copies):
            if launched_in(trace, span, request):
                calls, us = found.get(span.name, (0, 0.0))
                found[span.name] = calls + 1, us + span.us
    count = len(trace.requests)
    rows = [
        Row("kernel", name, "kernel", "", calls / count, us / count, us / wall)
        for name, (calls, us) in found.items()
    ]
    return sorted(rows, key=lambda r: -r.us)[:MOST_KERNELS]


# ---------------------------------------------------------------------------------------- memory


def _memory(trace: Trace) -> list[Memory]:
    """The readings of the device that computes."""
    return [m for m in trace.memory if m.on_gpu == trace.on_gpu]


def _taken(trace: Trace) -> Mapping[Key, int]:
    """Operator → bytes that it asked for."""
    found: dict[Key, int] = {}
    operators, place = _within(trace), 0
    for reading in _memory(trace):
        while place < len(operators) and operators[place].end < reading.at:
            place += 1
        if place == len(operators):
            break
        if reading.bytes > 0 and operators[place].begin <= reading.at:
            key = operators[place].key
            found[key] = found.get(key, 0) + reading.bytes
    return found


def peak_of(trace: Trace) -> tuple[int, str]:
    """The most that was held above what was held when the first request began, and the operator
    that ran then; 0 and nothing where no memory was recorded.
    """
    readings = _memory(trace)
    if not readings:
        return 0, ""
    before = readings[0].held - readings[0].bytes
    top = max(readings, key=lambda m: m.held)
    running = [o for o in trace.operators if o.begin <= top.at <= o.end]
    return max(0, top.held - before), running[-1].name if running else ""
