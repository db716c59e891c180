"""A request's time in parts, from its spans: what it waited for, to the microsecond.

On a GPU, by what the device did: a kernel counts for the side of the operator that launched it; a
copy counts where no kernel runs beside it; the rest of the time the GPU idles, which is launching
(`launch`). On the CPU, by operators: each costs at least what one that does nothing costs, and
that floor, with the time outside of all operators, is `launch`; what lies above it counts for the
operator's side. An operator is on the compute side where its FLOP take longer at the matrix
ceiling than its bytes at the copy ceiling (the roofline of Williams, Waterman and Patterson,
doi:10.1145/1498765.1498785), else on the memory side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.inspect.trace import Key, Span, Trace, Work, launched_in, owner_of
from harness.profile.result import PARTS, Ceilings, Gpu, Side

Interval = tuple[float, float]
Owners = Mapping[int, Span]
"""Index of a kernel → the operator that launched it."""


@dataclass(frozen=True, slots=True)
class Roof:
    """The ceilings in the precision that runs."""

    gemm: float
    copy: float
    floor_us: float = 0.0

    @classmethod
    def of(cls, ceilings: Ceilings | None, precision: str) -> Roof | None:
        """None where they were not measured."""
        gemm = None if ceilings is None else ceilings.gemm.get(precision)
        return None if ceilings is None or not gemm else cls(gemm, ceilings.copy, ceilings.floor_us)

    def least_us(self, flop: float | None, size: float | None) -> tuple[float, float]:
        """Microseconds at the matrix ceiling, and at the copy ceiling."""
        return (flop or 0.0) / self.gemm * 1e6, (size or 0.0) / self.copy * 1e6

    def side(self, flop: float | None, size: float | None) -> Side:
        """Which of both takes longer; empty where nothing is known of the operator."""
        if flop is None or size is None or (flop == 0 and size == 0):
            return ""
        compute, memory = self.least_us(flop, size)
        return "compute" if compute >= memory else "memory"


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Overlapping ones made one, in order."""
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif end > begin:
            found.append((begin, end))
    return found


def length(intervals: Iterable[Interval]) -> float:
    """The time that they cover together."""
    return sum(end - begin for begin, end in union(intervals))


def split(trace: Trace, work: Work, roof: Roof | None) -> dict[str, list[float]]:
    """Part → microseconds of each request, and `wall`; `waiting` is the part of `launch` in which
    the host had launched nothing.
    """
    sides = _sides(trace, work, roof)
    owners = owner_of(trace)
    floor = 0.0 if roof is None else roof.floor_us
    rows = [
        _on_gpu(trace, request, sides, owners) if trace.on_gpu
        else _on_cpu(trace, request, sides, floor)
        for request in trace.requests
    ]  # fmt: skip
    return {part: [row[part] for row in rows] for part in ("wall", "waiting", *PARTS)}


def without_profiler(parts: dict[str, list[float]], steady_us: float) -> dict[str, list[float]]:
    """The parts of `split` as they are in requests of `steady_us` microseconds, GPU only.

    Recording costs the host time on every operator and the GPU none, so by what a profiled request
    takes longer, the GPU idled longer: that much is taken from `launch`, at most all of it.
    """
    wall = parts["wall"]
    excess = max(0.0, sum(wall) / len(wall) - steady_us) if steady_us else 0.0
    launch = [max(0.0, us - excess) for us in parts["launch"]]
    less = [before - after for before, after in zip(parts["launch"], launch, strict=True)]
    return {
        **parts, "launch": launch,
        "wall": [us - cut for us, cut in zip(wall, less, strict=True)],
        "waiting": [min(us, rest) for us, rest in zip(parts["waiting"], launch, strict=True)],
    }  # fmt: skip


def _sides(trace: Trace, work: Work, roof: Roof | None) -> dict[Key, str]:
    """Operator → the part that its time belongs to; one that does no work is dispatch alone."""
    if roof is None:
        return {}
    known = {o.key: work[o.key] for o in trace.operators if o.key in work}
    return {
        key: "launch" if done == (0.0, 0.0) else roof.side(*done) or "other"
        for key, done in known.items()
    }


def _on_cpu(
    trace: Trace, request: Span, sides: Mapping[Key, str], floor: float
) -> dict[str, float]:
    row = dict.fromkeys(PARTS, 0.0)
    inside = [o for o in trace.operators if request.begin <= o.begin < request.end]
    for operator in inside:
        dispatch = min(operator.us, floor)
        row["launch"] += dispatch
        row[sides.get(operator.key, "other")] += operator.us - dispatch
    outside = request.us - length((o.begin, min(o.end, request.end)) for o in inside)
    return {**row, "launch": row["launch"] + outside, "wall": request.us, "waiting": outside}


def _on_gpu(
    trace: Trace, request: Span, sides: Mapping[Key, str], owners: Owners
) -> dict[str, float]:
    row = dict.fromkeys(PARTS, 0.0)
    kernels = [(i, k) for i, k in enumerate(trace.kernels) if launched_in(trace, k, request)]
    copies = [c for c in trace.copies if launched_in(trace, c, request)]
    computing = length(_clip((k for _, k in kernels), request))
    total = sum(k.us for _, k in kernels)
    for index, kernel in kernels:  # those of several streams overlap: scaled to what they cover
        holder = owners.get(index)
        side = sides.get(holder.key, "other") if holder is not None else "other"
        row["other" if side == "launch" else side] += (
            kernel.us * computing / total if total else 0.0
        )
    both = [*(k for _, k in kernels), *copies]
    busy = length(_clip(both, request))
    idle = list(_idle(trace, both, request))
    return {
        **row, "copies": busy - computing, "launch": request.us - busy, "wall": request.us,
        "waiting": sum(late for _, late in idle),
    }  # fmt: skip


def _clip(spans: Iterable[Span], request: Span) -> Iterator[Interval]:
    for span in spans:
        begin, end = max(span.begin, request.begin), min(span.end, request.end)
        if end > begin:
            yield begin, end


def _idle(trace: Trace, spans: Sequence[Span], request: Span) -> Iterator[Interval]:
    """Each stretch in which the GPU idles: its length, and how much of it passed before the next
    launch was done (all of it after the last kernel).
    """
    free = request.begin
    for span in sorted(spans, key=lambda s: s.begin):
        if span.begin > free:
            launch = trace.launches.get(span.link)
            launched = span.begin if launch is None else launch.end
            yield span.begin - free, min(max(launched - free, 0.0), span.begin - free)
        free = max(free, span.end)
    if request.end > free:
        yield request.end - free, request.end - free


def gpu_of(trace: Trace, wall: float | None = None) -> Gpu | None:
    """What the GPU did in a request, on average; None where it did nothing. `wall` is what all
    requests take in microseconds, where that is not what was recorded (`without_profiler`).
    """
    if not trace.on_gpu:
        return None
    count = len(trace.requests)
    wall = wall or sum(r.us for r in trace.requests)
    idle: list[Interval] = []
    busy, kernels = 0.0, list[Span]()
    for request in trace.requests:
        mine = [k for k in trace.kernels if launched_in(trace, k, request)]
        both = [*mine, *(c for c in trace.copies if launched_in(trace, c, request))]
        kernels += mine
        busy += length(_clip(both, request))
        idle += _idle(trace, both, request)
    lost = sum(gap for gap, _ in idle)
    return Gpu(
        busy / wall, len(kernels) / count, sum(k.us for k in kernels) / max(1, len(kernels)),
        len(idle) / count, lost / max(1, len(idle)),
        sum(late for _, late in idle) / lost if lost else 0.0,
    )  # fmt: skip
