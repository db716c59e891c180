"""Which backend of a scenario is asked, and what a served model wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.errors import CrashedError, UsageError
from harness.infer.fit import Pixels, Wanted, fit
from harness.infer.send import _opens, choose, through_backend, wanted_by
from harness.models.tensors import PreparedModel, Signature, TensorSpec
from harness.scenario.reading.loader import LoadedScenario, load_text
from harness.scenario.spec.served import ServedSettings
from harness.triton.metadata import Description

TEXT = """
scenario: s
model: {name: m, source: {fake: {}}, inputs: [{name: x, shape: [batch, 2]}]}
backends: [{kind: fake, name: one}, {kind: fake, name: two, service_time_ms: 2}]
"""


def loaded(text: str = TEXT) -> LoadedScenario:
    return LoadedScenario(load_text(text), text, Path("s.yaml"))


def test_the_first_backend_or_the_one_that_is_named() -> None:
    assert choose(loaded(), "").name == "one"
    assert choose(loaded(), "two").name == "two"
    with pytest.raises(UsageError, match="no backend 'three'; it has one, two"):
        choose(loaded(), "three")


def test_lists_and_co_located_models_are_left_out() -> None:
    text = """
scenario: s
model: {name: m, source: {triton: m}}
backends:
  - kind: triton
    protocol: http
    instances: [2, 1]
    server: {repository: scenarios/models/repository}
    colocated: [{name: other, load: {concurrency: 1}}]
"""
    spec = choose(loaded(text), "")
    assert isinstance(spec, ServedSettings)
    assert spec.colocated == ()
    assert not isinstance(spec.instances, tuple)


def test_a_file_that_crashes_onnxruntime_does_not_end_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "crashes.onnx"
    (tmp_path / "onnxruntime.py").write_text("import os\nos.abort()\n")
    model = PreparedModel("m", {"onnx": ""}, "k", (), (), files={"onnx_fp16": str(file)})
    spec = OnnxRuntimeSettings(kind="onnxruntime", precision="fp16")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CrashedError, match=f"crashes while it loads {file}: .* signal 6"):
        _opens(spec, model)
    _opens(spec.model_copy(update={"precision": "fp32"}), model)


def test_a_request_through_a_backend() -> None:
    sent: list[Wanted] = []

    def make(wanted: Wanted) -> dict[str, np.ndarray]:
        sent.append(wanted)
        return dict(fit(wanted, {}, Pixels()))

    answer = through_backend(loaded(), "two", make)
    assert (answer.model, answer.by, answer.version) == ("m", "two", "")
    assert answer.inputs["x"].shape == (1, 2)
    assert sent[0].inputs == (TensorSpec("x", "float32", ("batch", 2)),)
    assert sent[0].fills


def test_what_a_server_says_is_what_is_wanted() -> None:
    inputs = (TensorSpec("x", "int64", ("batch", 4)), TensorSpec("o", "bool", ("batch",)))
    found = Description("net", ("1", "3"), Signature(inputs, ()), 8, frozenset({"o"}), "")
    wanted = wanted_by(found)
    assert (wanted.max_batch, wanted.optional, wanted.fills) == (8, {"o"}, False)
    assert wanted.words() == (
        "'net' wants x int64 (INT64) [batch, 4], o bool (BOOL) [batch]; optional: o; "
        "batches up to 8"
    )
    model = PreparedModel("net", {}, "", (), (), dynamic={"a": 1}, data={"x": {"value": [3]}})
    assert wanted_by(found, model).data == {"x": {"value": [3]}}
