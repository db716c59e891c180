"""torch.compile, for real: each shape by itself, and the same answers."""

from __future__ import annotations

import shutil

import pytest

torch = pytest.importorskip("torch")

from harness.backends.torch.backend import _compiled  # noqa: E402


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("c++")), reason="no C++ compiler")
def test_every_shape_is_compiled_by_itself() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU()).eval()
    compiled = _compiled(module)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with torch.inference_mode():
        for batch in (2, 3, 2, 3):
            x = torch.randn(batch, 8)
            torch.testing.assert_close(compiled(x), module(x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 2
