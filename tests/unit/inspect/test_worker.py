"""The inspected process's work, done in this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from support.sample import ready, spec
from support.tiny_onnx import tiny_onnx

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import message_of
from harness.inspect.worker import work


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("inspected")
    path = tiny_onnx(folder / "tiny.onnx")
    model = ready(spec(inputs=(), onnx=str(path)), folder / "cache", ("onnx",), base=folder)[0]
    settings = OnnxRuntimeSettings(kind="onnxruntime", name="o", threads=1)
    return {
        "backend": message_of(settings), "model": model.to_json(), "folder": str(folder / "out"),
        "batches": [1, 2], "cache": str(folder / "cache"),
    }  # fmt: skip


def test_every_output_of_each_input_at_each_batch_size(task: dict[str, Any]) -> None:
    told: list[Mapping[str, Any]] = []
    work({**task, "want": "outputs", "inputs": 2}, told.append)
    step, said = told
    assert step == {"event": "step", "step": "work"}
    assert said["unstable"] == []
    with np.load(said["file"]) as found:
        assert set(found.files) == {f"{b}/{v}/output" for b in (1, 2) for v in (0, 1)}
        assert found["2/0/output"].shape == (2, 10)
        assert not np.array_equal(found["2/0/output"], found["2/1/output"])


def test_the_layers_at_one_batch_size(task: dict[str, Any]) -> None:
    told: list[Mapping[str, Any]] = []
    work({**task, "want": "layers", "batch": 2, "runs": 3}, told.append)
    step, said = told
    assert step == {"event": "step", "step": "work"}
    assert said["event"] == "layers"
    assert len(said["run_us"]) == 3
    assert {x["shape"] for x in said["layers"] if x["type"] == "MatMul"} == {"[2, 10]"}
