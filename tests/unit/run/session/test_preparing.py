"""What is prepared before the rounds, for which models and in which formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import DeadlineError
from harness.models.tensors import PreparedModel
from harness.results.rows import ArtifactRow
from harness.run.session.preparing import artifacts, formats, models, prepare
from harness.run.worker.messages import ModelPrepared
from harness.scenario.spec.scenario import Scenario

BACK = {"name": "back", "model": {"source": {"onnx": "back.onnx"}},
        "load": {"batch_size": 3, "concurrency": 1}}  # fmt: skip
THERE = {"name": "there", "load": {"concurrency": 1}}


def scenario(source: dict[str, Any], *backends: dict[str, Any]) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": source}, "backends": backends,
        "load": {"batch_sizes": (1, 4), "concurrency": (1,)},
    })  # fmt: skip


def triton(**more: Any) -> dict[str, Any]:
    return {"kind": "triton", "protocol": "http", "name": "t", "serve": "onnxruntime", **more}


def test_formats_are_those_of_all_backends_and_none_for_what_needs_none() -> None:
    half = {"kind": "onnxruntime", "precision": "fp16", "provider": "CUDAExecutionProvider"}
    assert formats(scenario({"onnx": "m.onnx"}, triton(), half)) == ["onnx", "onnx_fp16"]
    assert formats(scenario({"onnx": "m.onnx"}, triton(), {"kind": "onnxruntime"})) == ["onnx"]
    assert formats(scenario({"fake": {}}, {"kind": "fake"})) == []


def test_a_co_located_model_is_prepared_for_the_batch_of_its_own_load() -> None:
    found = models(scenario({"onnx": "m.onnx"}, triton(colocated=(BACK,))))
    assert list(found) == ["", "t/back"]
    assert found[""][2] == (1, 4)
    model, wanted, sizes = found["t/back"]
    assert (model.name, wanted, sizes) == ("back", ["onnx"], (3,))


def test_a_model_that_is_on_the_server_needs_no_format() -> None:
    found = models(scenario({"triton": "front"}, {
        "kind": "triton", "protocol": "http", "name": "t", "server": {"repository": "models"},
        "colocated": (THERE,),
    }))  # fmt: skip
    assert [wanted for _, wanted, _ in found.values()] == [[], []]


def test_an_artifact_of_two_models_is_told_once() -> None:
    model = PreparedModel("m", {}, "k", (), ())
    made = ArtifactRow("onnx", "/a", 1, 0.5, False)
    again, other = ArtifactRow("onnx", "/a", 1, 0.0, True), ArtifactRow("onnx", "/b", 1, 0.0, True)
    both = {"": (made,), "t/b": (again, other)}
    prepared = {key: ModelPrepared(model, Path(), rows) for key, rows in both.items()}
    assert list(artifacts(prepared)) == [made, other]


def test_a_factory_that_never_ends_is_ended_when_load_timeout_says(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = "import threading\ndef make():\n    threading.Event().wait()\n"
    (tmp_path / "hangs.py").write_text(text)
    spec = {
        "scenario": "s", "backends": ({"kind": "onnxruntime"}, {"kind": "torch"}),
        "model": {"name": "m", "source": {"torch": "hangs:make"},
                  "inputs": ({"name": "x", "shape": ("batch", 3)},)},
        "measurement": {"load_timeout": "3s"},
    }  # fmt: skip
    with pytest.raises(DeadlineError) as caught:
        prepare(Scenario.model_validate(spec), base=tmp_path, logs=tmp_path, cache=tmp_path)
    assert "no answer to 'prepare' within 3 s" in caught.value.message
    assert "load_timeout" in (caught.value.fix or "")


def test_the_worker_prepares_the_model_and_its_reference(tmp_path: Path) -> None:
    found = prepare(
        scenario({"fake": {}}, {"kind": "fake"}), base=tmp_path, logs=tmp_path, cache=tmp_path
    )
    assert list(found) == [""]
    assert found[""].model.name == "m"
    assert found[""].reference.is_dir()
    assert (tmp_path / "prepare.log").exists()
