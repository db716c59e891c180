"""ONNX files and engines of `harness prepare`: real ones, of a tiny network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from support.tiny_onnx import tiny_onnx

from harness.models.prepare import prepare
from harness.run.session.preparing import formats
from harness.scenario.spec.scenario import Scenario
from harness.system.machine import probe_gpus
from harness.validate.steps import Step, Workshop

ORT = {"kind": "onnxruntime"}
HALF = {"kind": "onnxruntime", "name": "half", "precision": "fp16"}
ENGINE = {"kind": "tensorrt", "name": "engine", "flavor": "tensorrt-rtx"}


def made(file: Path, *backends: Mapping[str, object], **model: object) -> dict[str, Step]:
    scenario = Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"onnx": str(file)}, **model},
        "backends": backends, "load": {"batch_sizes": [1, 2], "concurrency": 1},
    })  # fmt: skip
    cache = file.parent / "cache"
    prepared, _ = prepare(scenario.model, formats(scenario), (1, 2), cache, base=file.parent)
    return {step.name: step for step in Workshop(scenario, prepared, cache).steps()}


def test_each_file_is_compared_at_each_batch_size(tmp_path: Path) -> None:
    found = made(tiny_onnx(tmp_path / "net.onnx"), ORT, HALF)
    assert list(found) == ["onnx", "onnx_fp16"]
    for step in found.values():
        assert [(row.status, row.batch_size) for row in step.parity] == [
            ("agrees", 1),
            ("agrees", 2),
        ]
    whole, half = (step.parity[0] for step in found.values())
    assert whole.max_abs_error is not None and half.max_abs_error is not None
    assert whole.max_abs_error < 1e-5 < half.max_abs_error
    assert whole.tolerance != half.tolerance


def test_a_file_that_onnxruntime_refuses_is_a_failure_where_it_is_to_run_it(
    tmp_path: Path,
) -> None:
    file = tiny_onnx(tmp_path / "net.onnx")
    model = onnx.load(file)
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "MatMul_TRT", "trt.plugins"
    model.opset_import.append(onnx.helper.make_opsetid("trt.plugins", 1))
    onnx.save(model, file)
    step = made(file, ORT)["onnx"]
    assert "MatMul_TRT" in step.failure and "fix: export it with operators" in step.failure
    assert made(file, {**ORT, "provider": "CUDAExecutionProvider"})["onnx"].failure == ""


def test_what_is_off_disagrees(tmp_path: Path) -> None:
    strict = {"max_abs_error": 1e-9, "max_rel_error": 1e-9}
    found = made(tiny_onnx(tmp_path / "net.onnx"), HALF, parity=strict)
    assert {row.status for row in found["onnx_fp16"].parity} == {"disagrees"}


def test_an_engine_has_its_size_and_is_compared_where_a_gpu_can_run_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    step = made(tiny_onnx(tmp_path / "net.onnx"), ORT, ENGINE)["engine"]
    assert step.failure == ""
    assert step.engine is not None
    assert step.engine.bytes == Path(step.engine.path).stat().st_size > 0
    assert step.engine.details == {"backend": "engine"}
    if lacking := probe_gpus()[1]:
        assert [row.status for row in step.parity] == ["unavailable"], lacking
        assert "GPU" in step.parity[0].message


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_an_engine_is_compared_at_each_batch_size(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    found = made(tiny_onnx(tmp_path / "net.onnx"), ORT, {**ENGINE, "precision": precision})
    step = found["engine"]
    assert step.failure == ""
    assert [(row.status, row.batch_size) for row in step.parity] == [("agrees", 1), ("agrees", 2)]
    assert all(row.max_abs_error is not None and row.inputs > 0 for row in step.parity)
    assert step.engine is not None
    assert not step.engine.cached


def test_an_operator_that_tensorrt_has_not_stops_the_engine_alone(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    file = tiny_onnx(tmp_path / "net.onnx")
    model = onnx.load(file)
    model.graph.node[-1].output[0] = "drawn_from"
    draw = onnx.helper.make_node(
        "Bernoulli", ["drawn_from"], ["output"], name="/net/draw", seed=1.0
    )
    model.graph.node.append(draw)
    onnx.save(model, file)
    found = made(file, ORT, ENGINE)
    assert found["onnx"].parity
    assert found["engine"].engine is None
    assert "node /net/draw (Bernoulli): unsupported node" in found["engine"].failure


def test_an_engine_of_another_environment_is_left_to_the_run(tmp_path: Path) -> None:
    file = tiny_onnx(tmp_path / "net.onnx")
    other = {**ENGINE, "environment": "rtx-1.5"}
    environments = {"rtx-1.5": {"packages": ["tensorrt-rtx-cu13==1.5.0.114"]}}
    scenario = Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"onnx": str(file)}},
        "environments": environments, "backends": [other],
        "load": {"batch_sizes": [1], "concurrency": 1},
    })  # fmt: skip
    cache = tmp_path / "cache"
    prepared, _ = prepare(scenario.model, ["onnx"], (1,), cache, base=tmp_path)
    step = list(Workshop(scenario, prepared, cache).steps())[-1]
    assert [row.status for row in step.parity] == ["unavailable"]
    assert "'rtx-1.5'" in step.parity[0].message


def test_without_a_file_there_is_no_step() -> None:
    scenario = Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"fake": {}}},
        "backends": [{"kind": "fake"}], "load": {"concurrency": 1},
    })  # fmt: skip
    prepared, _ = prepare(scenario.model, [], (1,), Path("nowhere"), base=Path())
    assert list(Workshop(scenario, prepared, Path("nowhere")).steps()) == []


def test_a_file_that_crashes_onnxruntime_is_a_failure_and_not_the_end(tmp_path: Path) -> None:
    """ONNX Runtime 1.23 crashes while it optimises an LSTM in fp16; a later one may not."""
    import torch

    class Speech(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(40, 16, batch_first=True)
            self.head = torch.nn.Linear(16, 30)

        def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.lstm(x, (h.transpose(0, 1), c.transpose(0, 1)))[0]
            scores: torch.Tensor = self.head(found)
            return scores

    inputs = torch.zeros(2, 20, 40), torch.zeros(2, 1, 16), torch.zeros(2, 1, 16)
    torch.onnx.export(
        Speech().eval(), inputs, tmp_path / "net.onnx", dynamo=True, external_data=False,
        dynamic_shapes=({0: "batch"}, {0: "batch"}, {0: "batch"}), opset_version=18, verbose=False,
    )  # fmt: skip
    found = made(tmp_path / "net.onnx", ORT, HALF)
    assert found["onnx"].parity[0].status == "agrees"
    half = found["onnx_fp16"]
    assert half.parity[0].status == "agrees" or "ended the process by SIG" in half.failure
