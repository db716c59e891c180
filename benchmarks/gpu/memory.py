"""GPU memory by stage: our sampler against nvidia-smi, and both explained by what is known.

    PYTHONPATH=. python benchmarks/gpu/memory.py --output OUT      about 85 s on a GPU

Each backend runs in a fresh process that stops after each stage: baseline → bare CUDA context →
weights → warm → under load (batch 1 and 16, 1 and 4 callers) → everything given back. At each stop,
under load while requests flow, nvidia-smi is asked for the process's memory, and the allocators for
theirs. After each stage the backend gives back what a point took, as the harness has it do before
every point; what the process then holds beyond the bare context and what the allocators still have
is kernel code and handles of the libraries, which no allocator knows. The bare context is measured
by processes that make nothing else, and what ONNX Runtime makes for each calling thread (handles
of cuBLAS and cuDNN with their workspaces) by a model of two tiny layers, with one and four callers.
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpubench

from harness.backends.base import run_once
from harness.load.choose import make_generator
from harness.load.plan import LoadPlan
from harness.models.inputs import make_inputs
from harness.results.series import Quantity, Readings, each
from harness.telemetry.client import Telemetry

CASES: dict[str, dict[str, Any]] = {
    "torch-fp32": {"kind": "torch", "device": "cuda", "precision": "fp32"},
    "torch-fp16": {"kind": "torch", "device": "cuda", "precision": "fp16"},
    "onnxruntime-fp32": {
        "kind": "onnxruntime", "provider": "CUDAExecutionProvider", "precision": "fp32"},
    "tensorrt-fp32": {"kind": "tensorrt", "precision": "fp32"},
    "tensorrt-fp16": {"kind": "tensorrt", "precision": "fp16"},
}  # fmt: skip
HANDLES = "onnxruntime-handles"
"""A convolution and a linear layer, both tiny: what four callers hold beyond one is handles."""
TINY: dict[str, Any] = {
    "name": "tiny-conv",
    "source": {"torch": "small_model:conv", "seed": 0},
    "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 3, 16, 16]}],
}
CASES[HANDLES] = CASES["onnxruntime-fp32"]
CONTEXTS = ("context-1", "context-2")
POINTS = ((1, 1), (16, 1), (1, 4), (16, 4))
"""Batch size and callers; callers never get fewer, so that what some left is used by the next."""
QUICK_POINTS = ((1, 1), (1, 2))
HANDLE_POINTS = ((1, 1), (1, 4))
LOAD_S = 0.7
SETTLE_S = 0.15
QUERY = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]


# --------------------------------------------------------------------------------- the child

_ARENA = re.compile(
    r"(Extending BFCArena for|Reserving memory in BFCArena for) (\w+).*?(?: size: (\d+))?$"
)
_EXTENDED = re.compile(r"Extended allocation by (\d+) bytes")


def arena_bytes(log: str, name: str) -> int:
    """What ONNX Runtime's arena took from the device, from its log at level INFO."""
    total, current = 0, ""
    for line in log.splitlines():
        if match := _ARENA.search(line.rstrip()):
            current = match[2]
            total += int(match[3]) if match[3] and current == name else 0
        elif (grown := _EXTENDED.search(line)) and current == name:
            total += int(grown[1])
    return total


class Measured:
    """One backend, stage by stage."""

    def __init__(self, asked: Any) -> None:
        self.asked = asked
        self.settings = gpubench.on_device(CASES.get(asked.case, {"kind": ""}), asked.device)
        self.backend: Any = None
        self.generator: Any = None
        self.kept: list[Any] = []
        self.model: Any = None
        self.freed = 0
        """Bytes in the log of ONNX Runtime's arenas that went with their session."""

    def start(self) -> dict[str, Any]:
        """Import everything, touch no GPU."""
        if self.settings["kind"]:
            tiny = self.asked.case == HANDLES
            self.model = gpubench.read_model(self.asked, TINY["name"] if tiny else "resnet50")
            self.backend = gpubench.open_case(self.model, self.settings, (1, 16))
        return self._answer()

    def context(self) -> dict[str, Any]:
        """The primary context, which every runtime in the process shares."""
        from harness.backends.cuda.memory import open_cuda

        if self.asked.device == "cuda":
            self.kept.append(open_cuda(0))
        return self._answer()

    def load(self) -> dict[str, Any]:
        if self.settings["kind"] == "onnxruntime":
            import onnxruntime

            onnxruntime.set_default_logger_severity(1)
        self.backend.__enter__()
        cost = self.backend.load()
        return {**self._answer(), "details": dict(cost.details), "disk": cost.bytes_on_disk}

    def warm(self) -> dict[str, Any]:
        begin = time.monotonic()
        run_once(self.backend, make_inputs(self.model, 1, 0))
        return {**self._answer(), "first_call_ms": 1e3 * (time.monotonic() - begin)}

    def run(self, batch: int, callers: int, seconds: float) -> dict[str, Any]:
        """Begin the load and let it run; it goes on until `stop`."""
        requests = [self.backend.prepare(make_inputs(self.model, batch, v)) for v in range(2)]
        self.generator = make_generator(
            self.backend, requests, LoadPlan(concurrency=callers), request_timeout=60.0
        )
        self.generator.start()
        begin = time.monotonic()
        while self.generator.completed() < 3 * callers or time.monotonic() - begin < seconds:
            if self.generator.failure is not None:
                raise self.generator.failure
            time.sleep(0.01)
        return self._answer()

    def stop(self) -> dict[str, Any]:
        answer = self._answer()  # while the callers still have their buffers
        samples = self.generator.stop(60.0)
        self.generator = None
        return {**answer, "requests": len(samples), "errors": int((samples.status != 0).sum())}

    def idle(self) -> dict[str, Any]:
        """Give back what a point took, as before every point of a run."""
        if self.settings["kind"] == "onnxruntime":
            self.freed += self._allocators()["arena"]  # it is made anew, with a new arena
        self.backend.release()
        return self._answer()

    def release(self) -> dict[str, Any]:
        """Give back everything that can be given back."""
        self.backend.__exit__(None, None, None)
        self.backend = None
        gc.collect()
        if self.asked.device == "cuda" and "torch" in sys.modules:
            import torch

            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        answer = self._answer()
        if self.settings["kind"] == "onnxruntime":
            answer["allocators"] = {}  # the arena went with the session
        return answer

    def _answer(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "t_ns": time.monotonic_ns(), "allocators": self._allocators()}

    def _allocators(self) -> dict[str, int]:
        found: dict[str, int] = {}
        kind = self.settings["kind"]
        if kind == "torch" and self.asked.device == "cuda":
            import torch

            if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
                found = {"torch_reserved": torch.cuda.memory_reserved(),
                         "torch_allocated": torch.cuda.memory_allocated()}  # fmt: skip
        elif kind == "onnxruntime":
            sys.stderr.flush()
            log = Path(self.asked.output) / f"memory-{self.asked.case}.log"
            text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))
            name = "Cuda" if self.asked.device == "cuda" else "Cpu"
            found = {"arena": arena_bytes(text, name) - self.freed}
        elif kind == "tensorrt" and self.backend is not None:
            found = self.backend.memory()
        return found


def child(asked: Any) -> None:
    measured = Measured(asked)
    names = ("start", "context", "load", "warm", "run", "stop", "idle", "release")
    gpubench.serve({name: getattr(measured, name) for name in names})


# -------------------------------------------------------------------------------- the parent


def nvidia_smi() -> dict[str, Any]:
    """What nvidia-smi shows for each process, bytes; and when it was asked."""
    begin = time.monotonic_ns()
    try:
        shown = subprocess.run(QUERY, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return {"error": str(error)}
    end = time.monotonic_ns()
    rows = [line.split(",") for line in shown.strip().splitlines()]
    used = {p.strip(): int(m) * gpubench.MIB for p, m in rows if m.strip().isdigit()}
    return {"begin_ns": begin, "end_ns": end, "bytes": used}


def stages(case: str, quick: bool) -> list[tuple[str, str, dict[str, Any]]]:
    """(name of the stage, command, its arguments)."""
    made: list[tuple[str, str, dict[str, Any]]] = [
        ("baseline", "start", {}),
        ("context", "context", {}),
    ]
    if case in CONTEXTS:
        return made
    made += [("weights", "load", {}), ("warm", "warm", {})]
    points = HANDLE_POINTS if case == HANDLES else QUICK_POINTS if quick else POINTS
    for batch, callers in points:
        made.append((f"b{batch}/c{callers}", "run", {"batch": batch, "callers": callers}))
    return [*made, ("released", "release", {})]


def measure_case(asked: Any, case: str) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        raw, log = asked.output / ".raw", asked.output / "memory-telemetry.log"
        with Telemetry(raw, log) as telemetry, gpubench.Child(__file__, asked, case) as child:
            telemetry.watch([child.root], "cuda" if asked.device == "cuda" else None)
            found = []
            for stage in stages(case, asked.quick):
                found.append(_stage(child, *stage, asked))
                if stage[1] in ("load", "warm", "run"):
                    found[-1]["after"] = _stage(child, "idle", "idle", {}, asked)
            series = telemetry.read()
        for row in found:
            _add_sampled(row, series)
            if "after" in row:
                _add_sampled(row["after"], series)
        settings = CASES.get(case, {})
        return {"settings": settings, "stages": found, "telemetry_problem": telemetry.problem}

    return work


def _stage(
    child: gpubench.Child, name: str, command: str, more: dict[str, Any], asked: Any
) -> dict[str, Any]:
    begin = time.monotonic_ns()
    if command == "run":
        more = {**more, "seconds": 0.1 if asked.quick else LOAD_S}
    try:
        answer = child.ask(command, **more)
        time.sleep(
            0.6 if command == "start" else SETTLE_S
        )  # the sampler looks for pids twice a second
        smi = nvidia_smi()
        time.sleep(0.05)
        if command == "run":
            answer = {**answer, **child.ask("stop")}
    except gpubench.ChildError as error:
        raise gpubench.ChildError(f"{name}: {error}") from None
    return {"stage": name, "begin_ns": begin, "end_ns": time.monotonic_ns(), "smi": smi, **answer}


def _add_sampled(stage: dict[str, Any], series: Readings) -> None:
    """The sampler's readings in the stage: its peak and its last, and those beside nvidia-smi's."""
    for kind, quantity in (
        ("process", Quantity.PROCESS_BYTES), ("device", Quantity.DEVICE_BYTES),
    ):  # fmt: skip
        found = next(iter(each(series, quantity)), None)
        if found is None:
            continue
        within = found.within(stage["begin_ns"], stage["end_ns"])
        stage[f"{kind}_peak"] = within.peak()
        stage[f"{kind}_held"] = float(within.value[-1]) if within.value.size else None
        if "begin_ns" in stage["smi"]:
            colocated = found.within(stage["smi"]["begin_ns"], stage["smi"]["end_ns"])
            stage[f"{kind}_colocated_smi"] = colocated.value.tolist()[-200:]


def main() -> None:
    asked = gpubench.options(__doc__)
    if asked.case:
        child(asked)
    record = gpubench.Record("memory", asked)
    formats = ("torch", "onnx", "onnx_fp16") if asked.device == "cuda" else ("torch", "onnx")
    gpubench.prepare_model(asked, gpubench.RESNET50, formats, (1, 16))
    gpubench.prepare_model(asked, TINY, ("torch", "onnx"), (1, 16))
    for case in gpubench.chosen(asked, [*CONTEXTS, *CASES]):
        record.attempt(case, measure_case(asked, case))


if __name__ == "__main__":
    main()
