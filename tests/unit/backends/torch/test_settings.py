"""What settings say of themselves: names, formats of the model, where it runs."""

import pytest

from harness.backends.registry import parse_spec


def made(**settings):
    return parse_spec({"kind": "torch", **settings})


@pytest.mark.parametrize(("settings", "name", "gpu"), [
    ({}, "torch-cpu-fp32", False),
    ({"device": "cuda:1", "precision": "bf16", "compile": True}, "torch-cuda1-bf16-compiled", True),
])  # fmt: skip
def test_the_name_has_all_that_differs(settings, name, gpu):
    spec = made(**settings)
    assert (spec.default_name, spec.on_gpu, spec.formats) == (name, gpu, {"torch"})


def test_an_exported_program_is_a_source_and_an_onnx_file_is_none():
    assert "exported_program" in made().sources
    assert "onnx" not in made().sources
