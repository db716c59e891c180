"""Which backends of a new scenario can run on this machine, and why others can't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.init.found import Found
from harness.scenario.spec.backend import settings_of
from harness.system.check import Check

Entry = Mapping[str, object]

_CANDIDATES: tuple[tuple[str, Entry], ...] = (
    ("torch (cuda)", {"kind": "torch", "device": "cuda"}),
    ("torch (cpu)", {"kind": "torch", "device": "cpu"}),
    ("onnxruntime (cuda)", {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}),
    ("onnxruntime (cpu)", {"kind": "onnxruntime", "provider": "CPUExecutionProvider"}),
    ("tensorrt", {"kind": "tensorrt"}),
    ("triton server", {"kind": "triton", "protocol": "http", "serve": "onnxruntime"}),
    ("triton server", {"kind": "triton", "protocol": "grpc", "serve": "onnxruntime"}),
)
"""A line of `harness doctor` → the backend that it is about, in the order in which they go."""


EXPORTED = "runs an ONNX file, which quantized layers can seldom be exported to; try it"
"""Why what runs a module in PyTorch is proposed alone."""


@dataclass(frozen=True, slots=True)
class Runnable:
    """What a scenario's `backends` holds, and what is only named."""

    entries: Sequence[Entry]
    slower: Sequence[Entry] = ()
    """That run here too, on the CPU beside a GPU."""
    unable: Mapping[str, str] = field(default_factory=dict)
    """Line of the doctor → why it can't run here, and how it could."""


def runnable(found: Found, checks: Sequence[Check]) -> Runnable:
    """The backends for a model, by what `harness doctor` found on this machine."""
    if found.servers:
        return Runnable(found.servers)
    able = {check.name for check in checks if check.runs}
    wanted = [
        (line, _as_it_is(found, entry)) for line, entry in _CANDIDATES
        if found.kind in settings_of(str(entry["kind"])).sources
    ]  # fmt: skip
    exported = {line for line, entry in wanted if found.packed and _in_onnx(entry)}
    wanted = [(line, entry) for line, entry in wanted if line not in exported]
    gpu = any(line.endswith("(cuda)") for line, _ in wanted if line in able)
    entries: list[Entry] = []
    slower: list[Entry] = []
    for line, entry in wanted:
        if line not in able:
            continue
        cpu = gpu and line.endswith("(cpu)")
        on_gpu = {"device": "cuda"} if "onnxruntime (cuda)" in able else {}
        served = {**entry, **on_gpu} if entry["kind"] == "triton" else entry
        (slower if cpu else entries).append(served)
    lines = dict.fromkeys(line for line, _ in wanted if line not in able)
    unable = {line: _why(line, checks) for line in lines}
    return Runnable(entries, slower, unable | dict.fromkeys(sorted(exported), EXPORTED))


def _as_it_is(found: Found, entry: Entry) -> Entry:
    """The entry in the model's own precision, where it can run that."""
    if found.packed and "serve" in entry:
        entry = {**entry, "serve": "torch"}
    no_bf16 = found.kind != "onnx" and _in_onnx(entry) and entry["kind"] != "tensorrt"
    own = found.precision not in ("fp32", "bf16" if no_bf16 else "")
    return {**entry, "precision": found.precision} if own else entry


def _in_onnx(entry: Entry) -> bool:
    return entry.get("serve", entry["kind"]) in ("onnxruntime", "tensorrt")


def _why(line: str, checks: Sequence[Check]) -> str:
    said = next((check for check in checks if check.name == line), None)
    if said is None:
        name = line.partition(" ")[0]
        said = next((check for check in checks if check.name.startswith(name)), None)
    if said is None:
        return "not found here"
    return f"{said.detail}; {said.fix}" if said.fix else said.detail
