"""The profiled process's work, done in this one: what it tells of a real ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.sample import ready, spec
from support.tiny_onnx import tiny_onnx

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import message_of
from harness.errors import BackendError
from harness.profile import ceilings, worker
from harness.profile.execute import analysed
from harness.profile.split import Roof


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "SIZES", {"cpu": 128})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 2**20})


def task_of(folder: Path) -> dict[str, Any]:
    path = tiny_onnx(folder / "tiny.onnx")
    model = ready(spec(inputs=(), onnx=str(path)), folder / "cache", ("onnx",), base=folder)[0]
    settings = OnnxRuntimeSettings(kind="onnxruntime", name="o", threads=1)
    return {
        "backend": message_of(settings), "model": model.to_json(), "folder": str(folder / "traces"),
        "batches": [2], "cache": str(folder / "cache"),
    }  # fmt: skip


def test_onnxruntimes_batches_calls_layers_and_ceilings(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []
    worker.Profiled(task_of(tmp_path), told.append).run()
    assert [m["event"] for m in told] == ["step", "step", "batch", "loaded", "ceilings"]
    *steps, batch, _, last = told
    assert {s["step"] for s in steps} == {"work"}
    assert len(batch["calls_ms"]) >= worker.FEWEST_REQUESTS
    assert (batch["onnxruntime"], last["threads"]) == ("onnxruntime.json", 1)
    settings = OnnxRuntimeSettings(kind="onnxruntime", name="o", threads=1)
    found = analysed(dict(batch), tmp_path / "traces", settings, Roof(1e11, 1e10))  # type: ignore[arg-type]
    kinds = {r.kind for r in found.rows}
    assert {"Conv", "GlobalAveragePool", "MatMul"} <= kinds
    assert {r.source for r in found.rows} == {"onnxruntime"}
    assert found.traces == ["traces/o-b2/onnxruntime.json"]
    assert found.flop == sum(r.flop or 0 for r in found.rows) > 2 * 2 * 16 * 256 * 27


def test_a_model_without_its_file_is_an_error(tmp_path: Path) -> None:
    wrong = task_of(tmp_path)
    wrong["model"]["files"] = {}
    with pytest.raises(BackendError, match="has no onnx file"):
        worker.Profiled(wrong, print).run()


def test_slow_models_are_asked_less_often() -> None:
    assert worker._requests([1.0]) == worker.MOST_REQUESTS
    assert worker._requests([900.0, 800.0]) == 10
    assert worker._requests([1e5]) == worker.FEWEST_REQUESTS
