"""Giving host memory back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import psutil
from harness.backends.host_memory import collect
own = psutil.Process()
blocks = [bytes([1]) * 100_000 for _ in range(1000)]  # too small for a mapping of their own
last = bytes([1]) * 100_000  # above them all, so that the heap can't shrink by itself
full = own.memory_info().rss
del blocks
freed = own.memory_info().rss
collect()
print(full, freed, own.memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_malloc_keeps_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, freed, collected = map(int, done.stdout.split())
    assert full - freed < 50e6
    assert full - collected > 80e6
