"""What settings say of themselves: names, formats of the model, where it runs."""

import pytest

from harness.backends.registry import parse_spec


def made(**settings):
    return parse_spec({"kind": "tensorrt", **settings})


@pytest.mark.parametrize(("precision", "formats"), [
    ("fp32", {"onnx"}), ("tf32", {"onnx"}), ("fp16", {"onnx", "onnx_fp16"}),
    ("bf16", {"onnx", "onnx_bf16"}),
])  # fmt: skip
def test_a_low_precision_may_need_a_converted_file(precision, formats):
    assert made(precision=precision).formats == formats


def test_an_engine_is_a_source_and_it_runs_on_a_gpu():
    assert "engine" in made().sources
    assert made().on_gpu


def test_sizes_of_other_dimensions_are_three_each():
    profile = made(profile={"dynamic": {"seq": [1, 64, 512]}}).profile
    assert profile.dynamic == {"seq": (1, 64, 512)}
    with pytest.raises(ValueError, match="dynamic"):
        made(profile={"dynamic": {"seq": [1, 64]}})
