"""Commands of the worker, on the fake backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.backends.fake import FakeBackend
from harness.models.tensors import PreparedModel, TensorSpec
from harness.run.worker.worker import Worker

MODEL = PreparedModel("m", {"fake": {}}, "k", (TensorSpec("x", "float32", ("batch", 3)),), ())


def test_caches_of_earlier_points_are_released_before_the_inputs_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("release", "prepare", "caller"):
        real = getattr(FakeBackend, name)

        def noted(self: Any, *args: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(self, *args)

        monkeypatch.setattr(FakeBackend, name, noted)
    worker = Worker(lambda _: None)
    backend = {"kind": "fake", "name": "f", "service_time_ms": 0.1}
    worker.handle({"do": "load", "backend": backend, "first_batch": 1,
                   "context": {"model": MODEL.to_json()}})  # fmt: skip
    calls.clear()
    settings = {"warmup": 0.0, "warmup_requests": 1, "window": 0.01, "window_requests": 1,
                "window_max": 0.1, "request_timeout": 5.0}  # fmt: skip
    answer = worker.handle({
        "do": "measure", "settings": settings, "batch_size": 2, "load": {"concurrency": 1},
        "distinct_inputs": 2, "input_seed": 0, "samples": str(tmp_path / "s.npz"),
    })  # fmt: skip
    assert answer["event"] == "measured"
    assert calls[:4] == ["release", "prepare", "prepare", "caller"]
