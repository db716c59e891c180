"""PyTorch on a GPU."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.gpu
torch = pytest.importorskip("torch")

from support.paths import DATA  # noqa: E402

from harness.backends.base import BackendContext, run_once  # noqa: E402
from harness.backends.registry import open_backend  # noqa: E402
from harness.backends.torch.settings import TorchSettings  # noqa: E402
from harness.errors import OutOfMemoryError  # noqa: E402
from harness.load.choose import make_generator  # noqa: E402
from harness.load.plan import LoadPlan  # noqa: E402
from harness.load.streams import SAMPLE_EVERY, StreamLoad  # noqa: E402
from harness.measure.gpu_time import split  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.prepare import prepare  # noqa: E402
from harness.models.reference import write_references  # noqa: E402
from harness.results.samples import OK  # noqa: E402
from harness.run.worker.parity import check  # noqa: E402
from harness.scenario.spec.model import ModelSpec, Parity  # noqa: E402


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_every_precision_agrees(opened, agrees, precision: str) -> None:
    backend, cost = opened(kind="torch", device="cuda", precision=precision)
    agrees(backend)
    assert cost.details["tf32"] is (precision == "tf32")


@pytest.mark.parametrize("io", ["host", "device"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_cast_to_fp32_in_the_middle_runs_under_autocast(
    tmp_path: Path, precision: str, compiled: bool, io: str
) -> None:
    """`mask.float()` before weights in 16 bits, by several callers after the first."""
    spec = ModelSpec.model_validate({
        "name": "m", "source": {"torch": "sample_models:masked"},
        "inputs": [{"name": "ids", "dtype": "int64", "shape": ["batch", 6], "range": [0, 100]},
                   {"name": "mask", "dtype": "int64", "shape": ["batch", 6]}],
    })  # fmt: skip
    model, _ = prepare(spec, ["torch"], [1, 4], tmp_path, base=DATA / "models")
    reference = write_references(model, Parity(), [1, 4], tmp_path)
    settings = TorchSettings(
        kind="torch", device="cuda", precision=precision, compile=compiled, io=io
    )
    with open_backend(settings, BackendContext(model)) as backend:
        details = backend.load().details
        rows = check(backend, model, settings, Parity(), [1, 4], reference)
    assert [row.status for row in rows] == ["agrees", "agrees"]
    assert "under torch.autocast" in str(details["note"])


def test_its_allocator_takes_no_more_than_the_limit(opened, resnet) -> None:
    with pytest.raises(OutOfMemoryError):
        opened(kind="torch", device="cuda", gpu_memory_limit="32MiB")  # the weights take 98 MiB
    torch.cuda.set_per_process_memory_fraction(1.0)
    backend, _ = opened(kind="torch", device="cuda", gpu_memory_limit="2GiB")
    run_once(backend, make_inputs(resnet[0], 4, 0))
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("io", ["host", "device"])
def test_callers_have_streams_of_their_own(opened, resnet, io: str) -> None:
    backend, _ = opened(kind="torch", device="cuda", io=io)
    expected = [run_once(backend, make_inputs(resnet[0], 4, v)) for v in range(3)]
    requests = [backend.prepare(make_inputs(resnet[0], 4, v)) for v in range(3)]
    wrong: list[float] = []
    streams: set[int] = set()

    def call(offset: int) -> None:
        with backend.caller() as caller:
            streams.add(caller._stream.cuda_stream)
            for i in range(30):
                which = (i + offset) % 3
                (got,) = caller.outputs(caller.infer(requests[which])).values()
                (want,) = expected[which].values()
                wrong.append(float(np.abs(got - want).max() / np.abs(want).max()))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 120
    assert max(wrong) < 1e-3
    assert len(streams) > 1


@pytest.mark.parametrize("io", ["host", "device"])
def test_events_split_the_time(opened, resnet, monkeypatch, io: str) -> None:
    monkeypatch.setattr("harness.backends.timing.TIMED_EVERY_NS", 0)
    backend, _ = opened(kind="torch", device="cuda", io=io)
    request = backend.prepare(make_inputs(resnet[0], 4, 0))
    with backend.caller() as caller:
        for _ in range(20):
            caller.infer(request)
        before, begin = backend.statistics(), time.monotonic()
        for _ in range(40):
            caller.infer(request)
        seconds = time.monotonic() - begin
        times = split(backend.statistics(), before)
    assert times is not None
    assert times["count"] == 40
    assert 50 < times["compute_us"] < 1e6 * seconds / 40
    assert times["enqueue_us"] > 10
    copied = 4 * 3 * 224 * 224 * 4
    if io == "host":  # no faster than any bus
        assert times["h2d_us"] > copied / 1e12 * 1e6
    else:
        assert times["h2d_us"] < 20


def test_compiled(opened, agrees) -> None:
    backend, cost = opened(kind="torch", device="cuda", precision="fp16", compile=True)
    assert cost.details["compile"] is True
    agrees(backend)


def test_what_a_large_point_left_is_released(opened, resnet) -> None:
    backend, _ = opened(kind="torch", device="cuda")
    backend.release()
    fresh = backend.memory()
    request = backend.prepare(make_inputs(resnet[0], 64, 0))
    with backend.caller() as first, backend.caller() as second:
        first.infer(request)
        second.infer(request)
    full = backend.memory()["torch_reserved"]
    del first, second, request
    backend.release()
    after = backend.memory()
    print(fresh, full, after)
    assert full > fresh["torch_reserved"] + 200 * 2**20
    assert after["torch_reserved"] <= fresh["torch_reserved"] + 4 * 2**20
    assert after["torch_peak_reserved"] == after["torch_reserved"]


def test_fp16_weights_are_all_that_loading_leaves(opened) -> None:
    backend, _ = opened(kind="torch", device="cuda", precision="fp16")
    assert backend.memory()["torch_allocated"] < 1.1 * 2 * 25_557_032


def test_the_allocator_is_read(opened, resnet) -> None:
    backend, _ = opened(kind="torch", device="cuda")
    weights = 25_557_032 * 4
    assert backend.memory()["torch_allocated"] >= weights
    run_once(backend, make_inputs(resnet[0], 4, 0))
    assert backend.memory()["torch_peak_reserved"] >= backend.memory()["torch_allocated"]


@pytest.mark.parametrize("io", ["host", "device"])
def test_one_thread_drives_several_callers(opened, resnet, io: str) -> None:
    backend, _ = opened(kind="torch", device="cuda", io=io, callers="streams")
    expected = [run_once(backend, make_inputs(resnet[0], 4, v))["output"] for v in range(3)]
    requests = [backend.prepare(make_inputs(resnet[0], 4, v)) for v in range(3)]
    load = make_generator(backend, requests, LoadPlan(concurrency=4), request_timeout=30.0)
    assert type(load) is StreamLoad
    load.start()
    while load.completed() < 500 and load.failure is None:
        time.sleep(0.01)
    samples = load.stop(30.0)
    assert set(samples.status) == {OK}
    assert set(samples.caller) == set(range(4))
    assert len(load.sampled()) >= len(samples) // SAMPLE_EVERY >= 5
    for which, kept in load.sampled():
        assert np.abs(kept["output"] - expected[which]).max() < 1e-3 * np.abs(expected[0]).max()
