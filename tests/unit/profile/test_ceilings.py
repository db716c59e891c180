"""Ceilings of this machine, by both ways: they are rates of this machine's order."""

from __future__ import annotations

import pytest

from harness.profile import ceilings


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "SIZES", {"cpu": 256})
    monkeypatch.setattr(ceilings, "COPY_BYTES", {"cpu": 2**22})
    monkeypatch.setattr(ceilings, "LONGEST_S", 0.05)


def test_pytorchs_in_each_precision() -> None:
    found = ceilings.with_torch("cpu", 1.5)
    assert set(found.gemm) <= {"fp32", "bf16", "fp16"}
    assert 1e7 < found.gemm["fp32"] < 1e14
    assert 1e7 < found.copy < 1e13
    assert (found.floor_us, "256 × 256" in found.how) == (1.5, True)


def test_numpys_where_there_is_no_pytorch() -> None:
    found = ceilings.with_numpy()
    assert list(found.gemm) == ["fp32"]
    assert 1e7 < found.gemm["fp32"] < 1e14
    assert 1e7 < found.copy < 1e13


def test_a_product_that_the_device_lacks_has_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def refuse(*_: object, **__: object) -> object:
        raise RuntimeError("not implemented for 'Half'")

    monkeypatch.setattr(torch, "matmul", refuse)
    assert ceilings.with_torch("cpu", 0.0).gemm == {}
