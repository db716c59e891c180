"""What the numbers rest on, in words."""

from __future__ import annotations

from harness.report.context import Context
from harness.report.evidence import method


def test_the_method_says_whose_memory_is_a_points_own(gpu: Context) -> None:
    (said,) = (text for text in method(gpu) if "Before every point" in text)
    assert "gives back what earlier points left in caches" in said
    assert "Memory of triton-grpc-onnxruntime is the server's" in said
    assert "an upper bound" in said
