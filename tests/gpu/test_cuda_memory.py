"""Device memory, streams, events and graphs, through each library that is here."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.gpu_memory import free_bytes

from harness.backends.cuda.memory import LIBRARIES, open_cuda
from harness.errors import DeviceError, MissingPackageError, OutOfMemoryError

pytestmark = pytest.mark.gpu
SIZE = 1 << 20


@pytest.fixture(params=list(LIBRARIES))
def cuda(request: pytest.FixtureRequest):
    try:
        return open_cuda(0, request.param)
    except MissingPackageError as error:
        pytest.skip(error.message)


def _round_trip(cuda, seed: int) -> bool:
    stream = cuda.stream()
    data, back = cuda.pinned(SIZE), cuda.pinned(SIZE)
    data[:] = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
    address = cuda.allocate(SIZE)
    cuda.to_device(address, data, stream)
    cuda.to_host(back, address, stream)
    cuda.synchronize(stream)
    same = bool(np.array_equal(data, back))
    cuda.free(address)
    cuda.unpin(data)
    cuda.unpin(back)
    return same


def test_the_gpu_is_described(cuda) -> None:
    assert cuda.gpu.name.startswith("NVIDIA")
    assert cuda.gpu.capability.count(".") == 1
    print(cuda.name, cuda.gpu)


def test_bytes_come_back(cuda) -> None:
    assert _round_trip(cuda, 1)


def test_threads_attach_for_themselves(cuda) -> None:
    results: list[bool] = []

    def run(seed: int) -> None:
        with cuda.attach():
            results.extend(_round_trip(cuda, seed + i) for i in range(20))

    threads = [threading.Thread(target=run, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


def test_freed_memory_is_free_again(cuda) -> None:
    before = free_bytes()
    address = cuda.allocate(512 * 2**20)
    assert before - free_bytes() >= 512 * 2**20
    cuda.free(address)
    assert abs(free_bytes() - before) < 64 * 2**20


def test_running_out_of_memory(cuda) -> None:
    with pytest.raises(OutOfMemoryError, match="allocating"):
        cuda.allocate(1 << 50)  # a PiB
    assert _round_trip(cuda, 2)  # and goes on


def test_events_time_a_copy(cuda) -> None:
    stream, start, end = cuda.stream(), cuda.event(), cuda.event()
    data, address = cuda.pinned(64 * SIZE), cuda.allocate(64 * SIZE)
    cuda.record(start, stream)
    cuda.to_device(address, data, stream)
    cuda.record(end, stream)
    cuda.synchronize(stream)
    elapsed = cuda.elapsed_ns(start, end)
    cuda.free(address)
    cuda.give_back(stream, (start, end))
    assert 1e9 < 64 * SIZE / (elapsed / 1e9) < 1e12  # bytes a second over any bus there is


def test_a_graph_replays_copies(cuda) -> None:
    stream = cuda.stream()
    data, back = cuda.pinned(SIZE), cuda.pinned(SIZE)
    address = cuda.allocate(SIZE)

    def enqueue() -> None:
        cuda.to_device(address, data, stream)
        cuda.to_host(back, address, stream)

    graph = cuda.capture(stream, enqueue)
    for value in (1, 2):
        data[:] = value
        cuda.launch(graph, stream)
        cuda.synchronize(stream)
        assert (back == value).all()
    cuda.drop(graph)
    cuda.free(address)
    cuda.give_back(stream, ())


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(DeviceError):
        open_cuda(99, "cuda-python")
