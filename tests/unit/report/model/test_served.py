"""A model configuration in words, from what the server said or from the scenario."""

from __future__ import annotations

import pytest
from support.synthetic_variants import Variant

from harness.report.model.served import NONE, ServedFacts, difference, served

TRITON = {"kind": "triton", "device": "cuda", "serve": "onnxruntime"}


def test_the_servers_word_counts() -> None:
    text = Variant("i2", 2, 8, dynamic=True).config("GPU")
    found = served({**TRITON, "instances": [1, 2]}, text, 4)
    assert found == ServedFacts("8", "Enabled", "2", "GPU", "onnxruntime_onnx")
    assert found.sentence() == (
        "2 GPU instances with a max batch size of 8 on platform onnxruntime_onnx, dynamic "
        "batching enabled"
    )


def test_instances_on_several_gpus_are_counted_on_each() -> None:
    text = "max_batch_size: 4 instance_group { count: 2 kind: KIND_GPU gpus: 0 gpus: 1 }"
    assert served(TRITON, text, None).instances == "4"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ("16", "Disabled", "1")),
        ({"instances": 3, "max_batch_size": 8, "dynamic_batching": True}, ("8", "Enabled", "3")),
        ({"dynamic_batching": {"queue_delay": "1ms"}}, ("16", "Enabled", "1")),
        ({"dynamic_batching": {}}, ("16", "Enabled", "1")),
        ({"instances": [1, 2], "dynamic_batching": [False, True]}, ("16", "n/a", "n/a")),
    ],
)
@pytest.mark.parametrize("text", ["", "no { configuration"])
def test_without_it_the_scenario_says(
    keys: dict[str, object], expected: tuple[str, ...], text: str
) -> None:
    found = served({**TRITON, **keys}, text, 16)
    assert (found.max_batch_size, found.dynamic_batching, found.instances) == expected
    assert found.kind == "GPU"


def test_other_backends_serve_nothing() -> None:
    assert served({"kind": "torch"}, "", 4) == ServedFacts(NONE, NONE, NONE)


def test_difference_leaves_out_the_name() -> None:
    default, other = Variant("default").config("CPU"), Variant("i2", 2).config("CPU")
    lines = difference(default, other)
    assert [(x.sign, x.text.strip()) for x in lines if x.sign in "+-"] == [
        ("-", "count: 1"), ("+", "count: 2"),
    ]  # fmt: skip
    assert difference(default, Variant("same").config("CPU")) == ()
