"""What a run would refuse of a model in a Triton repository, read off its config.pbtxt."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import HarnessError, ModelRefusedError, ServerError, UsageError
from harness.scenario.reading.loader import load
from harness.validate.checking import check

PLAIN = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [ 2, -1 ] }
input { name: "words" data_type: TYPE_STRING dims: [ 1 ] optional: true }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
"""
ENSEMBLE = """
platform: "ensemble" max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
ensemble_scheduling { step { model_name: "n" model_version: -1 input_map { key: "x" value: "x" } } }
"""
SEQUENCE, STREAM = "sequence_batching { }", "model_transaction_policy { decoupled: true }"
BATCHED, SIZED = PLAIN + "max_batch_size: 4\n", "dynamic: {x_2: 5}"


def said(folder: Path, config: str, model: str = SIZED, backend: str = "") -> HarnessError | None:
    """What `harness validate` has against the scenario."""
    (folder / "models" / "net" / "1").mkdir(parents=True)
    (folder / "models" / "net" / "config.pbtxt").write_text(config)
    path = folder / "s.yaml"
    path.write_text(
        f"scenario: s\nmodel: {{name: m, source: {{triton: net}}, {model}}}\nbackends:\n"
        f"- {{kind: triton, protocol: grpc, server: {{repository: models}}{backend}}}\n"
        "load: {batch_sizes: [1, 4], concurrency: 1}\n"
    )
    try:
        check(load(path))
    except HarnessError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("config", "model", "backend", "kind", "words"),
    [
        (BATCHED + STREAM, SIZED, "", ModelRefusedError, "'net' is decoupled"),
        (BATCHED + SEQUENCE, SIZED, "", ModelRefusedError, "'net' is a sequence model"),
        (BATCHED + SEQUENCE, SIZED, ", dynamic_batching: true", ModelRefusedError,
         "dynamic batching can't be put over the sequence_batching of 'net'"),
        (ENSEMBLE, "", ", dynamic_batching: [false, true]", ModelRefusedError,
         "dynamic batching can't be put over the ensemble_scheduling of 'net'"),
        (BATCHED, "dynamic: {}", "", UsageError, "the dynamic dimension 'x_2' has no size"),
        (BATCHED.replace("4\n", "3\n"), SIZED, "", ServerError, "batch 4 is more than the max_b"),
        (PLAIN, "dynamic: {x_1: 5}", "", UsageError, "load.batch_sizes asks for 4"),
        (BATCHED, "inputs: [{name: z, shape: [batch, 2, 5]}]", "", ModelRefusedError,
         "it has no input 'z'"),
        (BATCHED, "inputs: [{name: x, dtype: int64, shape: [batch, 2, 5]}]", "", ModelRefusedError,
         "input 'x' is float32"),
    ],
)  # fmt: skip
def test_what_a_server_would_refuse_is_found_in_the_configuration(
    tmp_path: Path, config: str, model: str, backend: str, kind: type[HarnessError], words: str
) -> None:
    error = said(tmp_path, config, model, backend)
    assert isinstance(error, kind), error
    assert words in error.message
    assert error.fix or "does not fit the scenario" in error.message


@pytest.mark.parametrize(
    ("config", "model", "backend"),
    [
        (BATCHED, SIZED, ""), (ENSEMBLE, "", ""), (PLAIN, "batch: {x: 1}", ""),
        ("max_batch_size: 2", "", ""), ("", "", ""),  # Triton completes these
        (BATCHED, "inputs: [{name: x, shape: [batch, 2, 5]}]", ""),
        (BATCHED, SIZED, ", max_batch_size: [2, 4], dynamic_batching: true"),
    ],
)  # fmt: skip
def test_what_it_takes_is_fine_and_what_triton_completes_is_not_known(
    tmp_path: Path, config: str, model: str, backend: str
) -> None:
    """Of a list of largest batches each takes what it can."""
    assert said(tmp_path, config, model, backend) is None


def test_strings_that_the_embedded_server_cannot_read_are_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.4.0")
    said(tmp_path, BATCHED, "inputs: [{name: words, dtype: string, shape: [batch, 1]}, "
         "{name: x, shape: [batch, 2, 5]}]")  # fmt: skip
    (note,) = (n for n in check(load(tmp_path / "s.yaml")) if "strings" in n)
    assert note.startswith("not on this machine: the embedded server's Python backend can't take")
