"""What each layer took in each run: one form for every runtime's own profiler."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from harness.inspect.trace import Span, Trace, launched_in, owner_of

STUB = "CASK_STUB"
"""Instead of a tactic, where TensorRT-RTX chooses the kernel when it runs."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a model as the runtime has it, after fusion."""

    name: str
    type: str
    shape: str
    """Of its outputs; of an operator of PyTorch that of its inputs."""
    where: str
    """The provider, tactic or kernel that ran it; empty where that is not told."""
    us: list[float] = field(default_factory=list)
    """Microseconds, a run each."""


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Every layer in each of some runs."""

    run_us: list[float]
    """Whole runs, as the host has them."""
    layers: list[Layer]

    def to_json(self) -> dict[str, object]:
        """As one process tells it to another."""
        return asdict(self)


def of_trace(trace: Trace) -> LayerTimes:
    """Of a profile in spans; on a GPU an operator's time is that of the kernels it launched.

    Equal operators of a run count as one layer: PyTorch's profiler knows no modules.
    """
    owners = owner_of(trace)
    launched: dict[int, list[Span]] = {}
    for index, holder in owners.items():
        launched.setdefault(id(holder), []).append(trace.kernels[index])
    found: dict[tuple[str, str], Layer] = {}
    for number, request in enumerate(trace.requests):
        for operator in trace.operators:
            if not request.begin <= operator.begin < request.end:
                continue
            kernels = [k for k in launched.get(id(operator), ()) if launched_in(trace, k, request)]
            layer = found.setdefault(operator.key, _layer(operator, kernels, len(trace.requests)))
            layer.us[number] += sum(k.us for k in kernels) if trace.on_gpu else operator.us
    return LayerTimes([r.us for r in trace.requests], list(found.values()))


def _layer(operator: Span, kernels: Sequence[Span], runs: int) -> Layer:
    longest = max(kernels, key=lambda k: k.us, default=None)
    where = operator.where or (longest.name if longest is not None else "")
    return Layer(operator.name, operator.kind or operator.name, operator.shape, where, [0.0] * runs)


class Described(NamedTuple):
    """What TensorRT's inspector says of a layer."""

    type: str = ""
    shape: str = ""
    tactic: str = ""


def described(information: str) -> dict[str, Described]:
    """Layer → what the engine inspector's JSON says of it; nothing where it has names alone."""
    try:
        layers = json.loads(information).get("Layers", [])
    except (ValueError, AttributeError):
        return {}
    return {
        str(x.get("Name", "")): Described(
            str(x.get("LayerType", "")), _shapes(x.get("Outputs")), _tactic(x)
        )
        for x in layers if isinstance(x, dict)
    }  # fmt: skip


def _shapes(outputs: object) -> str:
    each = outputs if isinstance(outputs, list) else []
    dims = [o.get("Dimensions") for o in each if isinstance(o, dict)]
    return " ".join(f"[{', '.join(map(str, d))}]" for d in dims if isinstance(d, list))


def _tactic(layer: Mapping[str, object]) -> str:
    name = str(layer.get("TacticName") or "")
    return "" if STUB in name else name


def of_reports(
    runs: Iterable[Sequence[tuple[str, float]]], run_us: Sequence[float],
    about: Mapping[str, Described],
) -> LayerTimes:  # fmt: skip
    """Of what TensorRT's profiler reported in each run: layer and milliseconds, in its order."""
    found: dict[str, Layer] = {}
    for number, reported in enumerate(runs):
        for name, ms in reported:
            said = about.get(name, Described())
            new = Layer(name, said.type, said.shape, said.tactic, [0.0] * len(run_us))
            found.setdefault(name, new).us[number] += ms * 1e3
    return LayerTimes(list(run_us), list(found.values()))
