"""Layouts and device memory of regions; system memory is tested with a real server."""

from __future__ import annotations

import base64
import sys
from typing import Any

import numpy as np
from support.host_cuda import HostCuda
from support.small_disk import with_small_shm
from tritonclient.utils import InferenceServerException

from harness.triton.client.shared_memory import (
    ALIGN,
    UNWRITTEN,
    CudaMemory,
    Layout,
    Region,
    Regions,
    SystemMemory,
    raw,
)


class Client:
    """Takes registrations; `memory` is what it would map."""

    def __init__(self, cuda: HostCuda) -> None:
        self.cuda, self.known = cuda, {}  # type: ignore[var-annotated]

    def register_cuda_shared_memory(self, name: str, handle: Any, device: int, size: int) -> None:
        address = int.from_bytes(base64.b64decode(handle), "little")
        self.known[name] = (address, device, size)

    def unregister_cuda_shared_memory(self, name: str) -> None:
        del self.known[name]


def test_tensors_lie_behind_one_another() -> None:
    arrays = {"x": np.zeros((3, 5), np.float32), "n": np.zeros(3, np.int64), "b": np.zeros(1, bool)}
    layout = Layout.of(arrays)
    assert [(t.name, t.datatype, t.offset, t.size) for t in layout.tensors] == [
        ("x", "FP32", 0, 60), ("n", "INT64", ALIGN, 24), ("b", "BOOL", 2 * ALIGN, 1),
    ]  # fmt: skip
    assert layout.size == 3 * ALIGN


def test_room_grows_to_the_largest_and_what_is_empty_has_some() -> None:
    """Triton takes no place of no size, and none that is too small: open-mmlab/mmdeploy#2737."""
    none = Layout.of({"y": np.zeros((0, 3), np.int64), "n": np.zeros(2, np.int32)})
    assert [t.size for t in none.tensors] == [8, 8]
    few = Layout.of({"y": np.zeros((40, 3), np.int64), "n": np.zeros(1, np.int32)}, none)
    assert [(t.offset, t.size) for t in few.tensors] == [(0, 960), (1024, 8)]
    assert Layout.of({"y": np.zeros((2, 3), np.int64), "n": np.zeros(2, np.int32)}, few) is few


def test_bfloat16_has_a_name() -> None:
    import ml_dtypes

    (tensor,) = Layout.of({"x": np.zeros((2, 2), ml_dtypes.bfloat16)}).tensors
    assert (tensor.datatype, tensor.size) == ("BF16", 8)


def test_strings_have_room_for_the_longest_and_are_read_by_their_lengths() -> None:
    long = Layout.of({"s": np.array([b"long", b""], object)})
    assert [(t.datatype, t.size) for t in long.tensors] == [("BYTES", 12)]
    assert Layout.of({"s": np.array(["a", "b"], object)}, long) is long
    memory = SystemMemory(long.size)
    memory.write(0, np.full(long.size, UNWRITTEN, np.uint8))
    memory.write(0, raw(np.array(["zoë"], object)))
    assert Region("r", long, memory).tensors({"s": (1, 1)})["s"].tolist() == [["zoë"]]
    memory.free()


def test_device_memory_is_written_shared_read_and_freed() -> None:
    cuda = HostCuda()
    client = Client(cuda)
    arrays = {"x": np.arange(70, dtype=np.float32).reshape(7, 10), "n": np.arange(3)}
    layout = Layout.of(arrays)
    memory = CudaMemory(cuda, layout.size, 2)
    region = Region("name", layout, memory)
    memory.register(client, "name")
    ((address, device, size),) = client.known.values()
    assert (device, size) == (2, layout.size) and address in cuda.live
    for t in layout.tensors:
        memory.write(t.offset, np.ascontiguousarray(arrays[t.name]).reshape(-1).view(np.uint8))
    for name, array in region.tensors({n: a.shape for n, a in arrays.items()}).items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == arrays[name].dtype
    memory.unregister(client, "name")
    memory.free()
    assert not client.known and not cuda.live and cuda.made == 0


FULL = """
import os
from harness.errors import SetupError
from harness.triton.client.shared_memory import SystemMemory
try:
    SystemMemory(1 << 20)
except SetupError as error:
    print(error.message)
print(os.listdir("/dev/shm"))
"""


def test_a_full_dev_shm_is_an_error_and_no_signal() -> None:
    done = with_small_shm(64, [sys.executable, "-c", FULL])
    said, left = done.stdout.splitlines()
    assert said.startswith("No space left on device: /dev/shm/psm_")
    assert said.endswith("can't be written (0.1 MB are free there)")
    assert left == "[]"


class Holding:
    """A server that holds a region a little longer than its answer took, or is gone."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)

    def unregister_system_shared_memory(self, name: str) -> None:
        if error := self.answers.pop(0):
            raise error


def test_a_region_that_is_still_held_is_unregistered_later() -> None:
    held = InferenceServerException("Cannot unregister 'r', it is currently in use.")
    for answers in ((held, held, None), (None,), (ConnectionError("gone"),)):
        memory, server = SystemMemory(64), Holding(*answers)
        region = Region("r", Layout.of({"x": np.zeros(4, np.float32)}), memory)
        Regions.free(Regions.__new__(Regions), server, region)  # type: ignore[arg-type]
        assert server.answers == []
