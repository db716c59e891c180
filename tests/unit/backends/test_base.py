import platform
import subprocess
import sys

import numpy as np
import pytest

from harness.backends.base import Backend, Caller, LoadCost, run_once
from harness.models.tensors import Signature, TensorSpec

CODE = """
import psutil
from harness.backends.base import collect
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


class Smallest(Backend):
    signature = Signature((), (TensorSpec("y", "float32", ("batch",)),))

    def load(self):
        return LoadCost(0.0)

    def prepare(self, inputs):
        return inputs["x"]

    def caller(self):
        return Doubling()


class Doubling(Caller):
    def infer(self, request):
        return request * 2

    def outputs(self, reply):
        return {"y": reply}


def test_what_a_backend_does_not_have_it_need_not_write():
    with Smallest() as backend:
        assert run_once(backend, {"x": np.float32([1, 2])})["y"].tolist() == [2.0, 4.0]
        backend.release()
        assert (backend.statistics(), backend.memory()) == ({}, {})
