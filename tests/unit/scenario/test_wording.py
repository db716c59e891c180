"""Near words are suggested, far ones are not."""

from __future__ import annotations

import pytest

from harness.scenario.wording import nearest

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
