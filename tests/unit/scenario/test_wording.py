"""Near words are suggested, far ones are not."""

from __future__ import annotations

import pytest

from harness.scenario.wording import nearest, signed

KINDS = ("torch", "onnxruntime", "triton", "fake")


@pytest.mark.parametrize(
    ("word", "allowed", "expected"),
    [
        ("precison", ["name", "precision"], "precision"),
        ("batch-sizes", ["batch_sizes", "concurrency"], "batch_sizes"),
        ("FP16", ["fp32", "fp16"], "fp16"),
        ("half", ["fp32", "fp16"], "fp16"),
        ("ORT", KINDS, "onnxruntime"),
        ("pytorch", KINDS, "torch"),
        ("CUDA", ["CPUExecutionProvider", "CUDAExecutionProvider"], "CUDAExecutionProvider"),
        ("conc", ["batch_sizes", "concurrency"], "concurrency"),
        ("jax", KINDS, None),
        ("half", KINDS, None),
        ("", KINDS, None),
        ("x", [], None),
    ],
)
def test_nearest(word: str, allowed: list[str], expected: str | None) -> None:
    assert nearest(word, allowed) == expected


@pytest.mark.parametrize(("value", "spec", "said"), [
    (3.14, ".1f", "+3.1"), (-3.14, ".1f", "−3.1"), (-0.04, ".1f", "0.0"), (0.04, ".1f", "0.0"),
    (-0.004, ".0%", "0%"), (0.0, ".2g", "0"), (-1234.5, ",.0f", "−1,234"),
    (float("-inf"), ".1f", "−inf"),
])  # fmt: skip
def test_what_rounds_to_nothing_has_no_sign(value: float, spec: str, said: str) -> None:
    assert signed(value, spec) == said
