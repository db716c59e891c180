"""What would save time: each a change to the scenario, with the most that it can save and why.

The most is Amdahl's (doi:10.1145/1465482.1465560): a change that touches the share p of the time
saves at most p, which makes the rest 1 / (1 − p) times as fast. What p is, each finding derives
from the profile; where the ceilings say that the share can't vanish, only what can is counted. The
bounds overlap, so they don't add up. They say nothing of a change's side effects (other kernels,
another memory layout): `--try` measures the change as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from harness.backends.registry import parse_spec
from harness.profile.bound import scaled
from harness.profile.result import BackendProfile, BatchProfile, Finding, Row
from harness.profile.split import Roof
from harness.scenario.spec.scenario import Scenario

SMALLEST = 0.02
"""Share of the time below which nothing is found."""
LARGER = 8
"""By how much a batch is made larger."""
CONVOLUTIONS = ("conv", "Conv")


@dataclass(frozen=True, slots=True)
class Place:
    """One backend at one batch size, and what is known there."""

    scenario: Scenario
    backend: BackendProfile
    batch: BatchProfile
    roof: Roof | None

    @property
    def kind(self) -> str:
        """Of the backend."""
        return str(self.backend.settings.get("kind"))

    def part(self, name: str) -> float:
        """The share of a part."""
        return self.batch.bound.shares.get(name, 0.0)

    def shares_of(self, rows: Sequence[Row]) -> float:
        """The share of the time that rows take."""
        return sum(r.share for r in rows)

    @property
    def operators(self) -> list[Row]:
        """Without the kernels, which are theirs."""
        return [r for r in self.batch.rows if r.source != "kernel"]

    @property
    def dispatch(self) -> float:
        """Microseconds of dispatch within the time of each operator: on the CPU."""
        return 0.0 if self.batch.on_gpu or self.roof is None else self.roof.floor_us

    def above_floor(self, rows: Sequence[Row]) -> float:
        """The share that rows take above their dispatch."""
        wall = self.batch.wall_us
        return sum(max(0.0, r.us - r.calls * self.dispatch) for r in rows) / wall

    def reducible(self, rows: Sequence[Row]) -> float:
        """The share that rows take above dispatch and their time at the ceilings; 0 where those
        are not known.
        """
        if self.roof is None:
            return 0.0
        wall = self.batch.wall_us
        least = [max(self.roof.least_us(r.flop, r.bytes)) + r.calls * self.dispatch for r in rows]
        return sum(max(0.0, r.us - t) for r, t in zip(rows, least, strict=True)) / wall


@dataclass(frozen=True, slots=True)
class Idea:
    """A finding before it has its place among the others."""

    change: str
    title: str
    saving: float
    derivation: str
    settings: Mapping[str, object] | None = None
    """Keys that are changed, or a whole backend where `kind` is among them."""
    to_batch: int = 0


def findings_of(scenario: Scenario, backends: Sequence[BackendProfile]) -> list[Finding]:
    """All of them, what could save most first; of each change of a backend the best batch size."""
    best: dict[tuple[str, str], Finding] = {}
    for backend in backends:
        precision = str(backend.settings.get("precision") or "fp32")
        roof = Roof.of(backend.ceilings, precision)
        for batch in backend.batches:
            place = Place(scenario, backend, batch, roof)
            for found in _possible(place):
                key = found.backend, found.change
                if key not in best or best[key].saving < found.saving:
                    best[key] = found
    ranked = sorted(best.values(), key=lambda f: -f.saving)
    return [replace(f, number=n) for n, f in enumerate(ranked, 1)]


def _possible(place: Place) -> Iterator[Finding]:
    for make in IDEAS:
        for idea in make(place):
            changed = changed_settings(place, idea)
            if idea.saving >= SMALLEST and changed is not None:
                yield Finding(
                    0, place.backend.name, place.batch.batch, idea.change, idea.title,
                    min(idea.saving, 0.99), idea.derivation, _line(idea), changed, idea.to_batch,
                )  # fmt: skip


def changed_settings(place: Place, idea: Idea) -> Mapping[str, object] | None:
    """The whole settings of the changed backend, {} for a change of the load; None where the
    scenario can't have it.
    """
    if idea.settings is None:
        return {}
    before = {} if "kind" in idea.settings else dict(place.backend.settings)
    name = f"{place.backend.name}-{idea.change}"
    try:
        spec = parse_spec({**_written(before), **idea.settings, "name": name})
    except ValidationError:
        return None
    if list(spec.fits(place.scenario.model, place.batch.batch)):
        return None
    return _written(spec.model_dump(mode="json"))


def _written(settings: Mapping[str, object]) -> dict[str, object]:
    return {k: v for k, v in settings.items() if v is not None}


def _line(idea: Idea) -> str:
    if idea.settings is None:
        return f"load: {{batch_sizes: [{idea.to_batch}]}}"
    said = ", ".join(f"{k}: {str(v).lower() if isinstance(v, bool) else v}"
                     for k, v in idea.settings.items())  # fmt: skip
    return f"- {{{said}}}" if "kind" in idea.settings else said


# ----------------------------------------------------------------------------------------- ideas


def larger_batch(place: Place) -> Iterator[Idea]:
    """Launching is paid once a request, and short operators reach the ceilings better."""
    if not place.scenario.model.inputs and place.kind == "tensorrt":
        return
    launch, kept = place.part("launch"), place.reducible(place.operators)
    once = launch * (1 - 1 / LARGER)
    saved = once + kept
    larger = place.batch.batch * LARGER
    yield Idea(
        "batch", f"a batch of {larger} instead of {place.batch.batch}", saved,
        f"launching is {launch:.0%} of a request and is paid once for {LARGER} times the items: "
        f"{once:.0%}; the operators are {kept:.0%} of the time above the "
        "ceilings, which more work a call may bring nearer",
        to_batch=larger,
    )  # fmt: skip


def graphs(place: Place) -> Iterator[Idea]:
    """One launch for all kernels."""
    if not place.batch.on_gpu or place.backend.settings.get("cuda_graphs") is not False:
        return
    gpu, launch = place.batch.gpu, place.part("launch")
    kernels = gpu.kernels if gpu else 0.0
    keys: dict[str, object] = {"cuda_graphs": True}
    if place.kind == "onnxruntime":
        keys["io"] = "device"
    yield Idea(
        "cuda_graphs", "CUDA graphs: one launch instead of one a kernel", launch,
        f"the GPU idles {launch:.0%} of a request, between {kernels:,.0f} kernels; a graph "
        "launches all at once, so at most all of it goes", keys,
    )  # fmt: skip


def fusion(place: Place) -> Iterator[Idea]:
    """Compilers merge elementwise operators into what is before them, and dispatch none of them."""
    if place.kind != "torch":
        return
    launch, merged = place.part("launch"), _elementwise(place)
    saved = launch + merged
    why = (
        f"launching and dispatch take {launch:.0%} and go where nothing is dispatched one by one; "
        f"the elementwise operators (normalisation, activation, addition) take {merged:.0%} and "
        "go where they become part of the operator before them"
    )
    if place.backend.settings.get("compile") is False:
        yield Idea("compile", "torch.compile: operators fused", saved, why, {"compile": True})
    precision = str(place.backend.settings.get("precision") or "fp32")
    gpu = place.batch.on_gpu
    ort: dict[str, object] = {"kind": "onnxruntime", "precision": precision}
    ort |= {"provider": "CUDAExecutionProvider"} if gpu else {}
    threads = place.backend.settings.get("threads")
    ort |= {} if threads is None else {"threads": threads}
    yield Idea("onnxruntime", "ONNX Runtime: the whole graph at once", saved, why, ort)
    if gpu:
        trt = {"kind": "tensorrt", "precision": precision}
        yield Idea("tensorrt", "TensorRT: the whole graph at once", saved, why, trt)


def _elementwise(place: Place) -> float:
    words = ("norm", "relu", "gelu", "silu", "sigmoid", "tanh", "add", "mul", "sub", "div",
             "hardtanh", "hardswish", "dropout")  # fmt: skip
    rows = [r for r in place.operators if any(w in r.name for w in words)
            and not any(w in r.name for w in ("addmm", "matmul", "addbmm"))]  # fmt: skip
    return place.above_floor(rows)


def precision(place: Place) -> Iterator[Idea]:
    """Half the bytes, and a higher matrix ceiling where the device has one."""
    ceilings, roof = place.backend.ceilings, place.roof
    now = str(place.backend.settings.get("precision") or "fp32")
    if ceilings is None or roof is None or now not in ("fp32", "tf32"):
        return
    compute, memory = (
        place.above_floor([r for r in place.operators if r.side == s])
        for s in ("compute", "memory")
    )
    halves = (("tf32", False), ("fp16", True), ("bf16", True))
    for lower, smaller in halves:
        peak = ceilings.gemm.get(lower, 0.0)
        if lower == now or peak <= roof.gemm:
            continue
        ratio, moved = roof.gemm / peak, memory / 2 if smaller else 0.0
        saved = compute * (1 - ratio) + moved
        yield Idea(
            f"precision-{lower}", f"{lower} instead of {now}", saved,
            f"compute-side operators take {compute:.0%}, and the matrix ceiling here is "
            f"{scaled(peak)}FLOP/s in {lower} against {scaled(roof.gemm)}FLOP/s: at most "
            f"{compute * (1 - ratio):.0%} goes; memory-side operators take {memory:.0%}"
            + (f" and move half the bytes: {moved:.0%}" if smaller else ", and move as much"),
            {"precision": lower},
        )  # fmt: skip


def layout(place: Place) -> Iterator[Idea]:
    """Convolutions want the channels last, on tensor cores above all."""
    if place.kind != "torch" or place.backend.settings.get("channels_last") is not False:
        return
    rows = [r for r in place.operators if any(w in r.name for w in CONVOLUTIONS)]
    saved = place.reducible(rows)
    yield Idea(
        "channels_last", "channels_last: the layout that convolution kernels read", saved,
        f"convolutions take {place.shares_of(rows):.0%}, {saved:.0%} of it above their time at "
        "the ceilings; another layout can't bring them below", {"channels_last": True},
    )  # fmt: skip


def copies(place: Place) -> Iterator[Idea]:
    """Inputs and outputs that stay where they are."""
    if place.backend.settings.get("io") != "host":
        return
    share = place.part("copies")
    yield Idea(
        "io", "inputs and outputs that stay on the GPU", share,
        f"copies with no kernel beside them take {share:.0%}, all of which goes", {"io": "device"},
    )  # fmt: skip


def threads(place: Place) -> Iterator[Idea]:
    """All cores, where the scenario takes fewer."""
    taken, there = place.backend.settings.get("threads"), len(os.sched_getaffinity(0))
    if place.batch.on_gpu or not isinstance(taken, int) or taken >= there:
        return
    work = place.above_floor(place.operators)
    saved = work * (1 - taken / there)
    yield Idea(
        "threads", f"{there} threads instead of {taken}", saved,
        f"operators take {work:.0%} above their dispatch, on {taken} of {there} processors; at "
        f"best that becomes {taken}/{there}", {"threads": there},
    )  # fmt: skip


IDEAS: tuple[Callable[[Place], Iterator[Idea]], ...] = (
    larger_batch, graphs, fusion, precision, layout, copies, threads,
)  # fmt: skip
