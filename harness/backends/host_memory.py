"""Giving host memory back to the system between measurements."""

from __future__ import annotations

import ctypes
import gc


def collect() -> None:
    """Collect garbage, and return what malloc keeps for later where the C library can (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
