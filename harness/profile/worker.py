"""The process that is profiled: one backend, each batch size in turn.

    python -m harness.profile.worker TASK.json IN OUT

It writes one JSON object a line to the descriptor OUT: `batch` for each batch size, `ceilings` at
the end, `failed` for what raised. Traces go into files. Nothing that it measures is ever a row of
a run: a profiled process is slower than another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.backends.base import Backend, BackendContext
from harness.backends.registry import from_message, open_backend
from harness.errors import BackendError
from harness.inspect import profilers
from harness.inspect.answer import Send, main, telling
from harness.models.inputs import make_inputs
from harness.models.tensors import PreparedModel, Tensors
from harness.profile.neighbours import Neighbours
from harness.scenario.spec.backend import BackendSettings

FIRST_CALLS = 10
LONGEST_S = 8.0
"""Of the calls without the profiler, and of those with it, a batch size."""
MOST_REQUESTS, FEWEST_REQUESTS = 20, 5


class Profiled:
    """One backend being profiled, into a folder."""

    def __init__(self, task: Mapping[str, Any], send: Send) -> None:
        self.spec: BackendSettings = from_message(task["backend"])
        self.folder, self.send = Path(task["folder"]), send
        self.batches: list[int] = task["batches"]
        self.context = BackendContext(
            PreparedModel.from_json(task["model"]), cache=Path(task["cache"]),
            batch_sizes=tuple(self.batches), begin=telling(send),
        )  # fmt: skip

    def run(self) -> None:
        """Every batch size, then the ceilings."""
        with open_backend(self.spec, self.context) as backend:
            seconds = backend.load().seconds
            self.context.begin("work")
            if not self.context.model.inputs:
                raise BackendError(
                    "a ready engine can't be profiled: it says nothing of its inputs",
                    fix="give the ONNX file that it was built from",
                )
            for batch in self.batches:
                with Neighbours() as others:
                    said = self._batch(backend, batch)
                note = others.note(len(os.sched_getaffinity(0)))
                notes = [*said.pop("notes"), *([note] if note else [])]
                self.send({**said, "notes": notes})
        self.send({"event": "loaded", "seconds": seconds})
        self.send({"event": "ceilings", **self._ceilings()})

    def _batch(self, backend: Backend, batch: int) -> dict[str, Any]:
        inputs = make_inputs(self.context.model, batch, 0)
        begin = time.perf_counter()
        request = backend.prepare(inputs)
        prepared = time.perf_counter() - begin
        said: dict[str, Any] = {"event": "batch", "batch": batch, "notes": []}
        with backend.caller() as caller:
            calls = _calls(lambda: caller.infer(request))
            said["calls_ms"] = calls
            count = _requests(calls)
            if self._records:
                said |= self._trace(lambda: caller.infer(request), batch, count)
        if self.spec.kind == "torch":
            said["work"] = _work(backend, request)
        if getattr(self.spec, "compile", False):
            said["notes"] = [f"compiling for this shape took {prepared:.1f} s, before the calls"]
        return {**said, **self._layers(inputs, batch, count)}

    @property
    def _records(self) -> bool:
        """Whether PyTorch Profiler sees what the backend does: its own work, and any on a GPU."""
        if self.spec.kind == "torch":
            return True
        return self.spec.on_gpu and _cuda_torch()

    def _trace(self, request: Callable[[], object], batch: int, count: int) -> dict[str, object]:
        from harness.inspect.recording import record

        return {"trace": record(self._place(batch), request, count).name}

    def _place(self, batch: int) -> Path:
        return self.folder / f"{self.spec.name}-b{batch}"

    def _layers(self, inputs: Tensors, batch: int, count: int) -> dict[str, object]:
        """By the runtime's own profiler, in a session of its own."""
        if self.spec.kind == "onnxruntime":
            target = self._place(batch) / "onnxruntime.json"
            profilers.onnxruntime_layers(self.spec, self.context, inputs, count, target)  # type: ignore[arg-type]
            return {"onnxruntime": target.name}
        if self.spec.kind == "tensorrt":
            times = profilers.tensorrt_layers(self.spec, self.context, inputs, count)  # type: ignore[arg-type]
            return {"tensorrt": [(x.name, sum(x.us) / count) for x in times.layers]}
        return {}

    def _ceilings(self) -> dict[str, object]:
        """Of the device that computes; of a GPU only where PyTorch is there with CUDA."""
        from harness.profile import ceilings

        if self.spec.on_gpu and not _cuda_torch():
            return {"ceilings": None, "threads": 0}
        try:
            import torch

            from harness.inspect.recording import floor_us
        except ImportError:
            return {"ceilings": asdict(ceilings.with_numpy()), "threads": os.cpu_count()}
        threads = getattr(self.spec, "threads", None)
        if threads:
            torch.set_num_threads(threads)
        device = str(getattr(self.spec, "device", None) or "cuda") if self.spec.on_gpu else "cpu"
        device = device if device.startswith(("cpu", "cuda")) else "cuda"
        found = ceilings.with_torch(device, floor_us(self.folder))
        return {"ceilings": asdict(found), "threads": torch.get_num_threads()}


def _cuda_torch() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _calls(call: Callable[[], object]) -> list[float]:
    """Milliseconds of the first calls and of as many as a while has room for."""
    end = time.perf_counter() + LONGEST_S
    found: list[float] = []
    while len(found) < FIRST_CALLS + MOST_REQUESTS:
        begin = time.perf_counter()
        call()
        now = time.perf_counter()
        found.append((now - begin) * 1e3)
        if now > end and len(found) > FEWEST_REQUESTS:
            break
    return found


def _requests(calls_ms: list[float]) -> int:
    """How many are profiled: fewer of slow ones."""
    each = min(calls_ms)
    return int(max(FEWEST_REQUESTS, min(MOST_REQUESTS, LONGEST_S * 1e3 / max(each, 1e-3))))


def _work(backend: Backend, request: object) -> list[list[object]]:
    """FLOP and bytes by operator, as rows of JSON."""
    from harness.backends.torch.backend import TorchBackend, TorchRequest
    from harness.profile.counting import count

    assert isinstance(backend, TorchBackend)
    assert isinstance(request, TorchRequest)
    module = backend.model.module
    weight = next(module.parameters(), None)
    where = "cpu" if weight is None else weight.device
    args = [t.to(where) for t in request.args]
    kwargs = {k: t.to(where) for k, t in request.kwargs.items()}
    return [[*key, *work] for key, work in count(module, args, kwargs).items()]


if __name__ == "__main__":
    main(lambda task, send: Profiled(task, send).run())
