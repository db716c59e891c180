"""Which GPU, and whether fp32 may be computed in TF32."""

from __future__ import annotations

import os

import pytest

from harness.backends.cuda.devices import TF32_OVERRIDE, set_tf32


@pytest.mark.parametrize("before", [None, "0", "1"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_fp32_forbids_tf32_and_tf32_allows_it(
    monkeypatch: pytest.MonkeyPatch, before: str | None, precision: str
) -> None:
    monkeypatch.setenv(TF32_OVERRIDE, before or "")
    if before is None:
        monkeypatch.delenv(TF32_OVERRIDE)
    set_tf32(precision)
    expected = {"fp32": "0", "tf32": None}.get(precision, before)
    assert os.environ.get(TF32_OVERRIDE) == expected
