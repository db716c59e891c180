"""TensorRT engines, built, loaded and run for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.gpu_memory import free_bytes

from harness.backends.base import run_once
from harness.backends.tensorrt import library as trt
from harness.errors import BackendError, MissingPackageError
from harness.load.choose import make_generator
from harness.load.plan import LoadPlan, WindowSettings
from harness.load.streams import SAMPLE_EVERY, StreamLoad
from harness.measure.gpu_time import launching, split
from harness.measure.validity import open_requests
from harness.measure.window import measure
from harness.models.inputs import make_inputs
from harness.models.tensors import PreparedModel
from harness.results.samples import OK

pytestmark = pytest.mark.gpu

try:
    FLAVOR = trt.find()
except MissingPackageError:
    pytest.skip("no TensorRT", allow_module_level=True)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_every_precision_agrees_and_is_in_the_engine(opened, agrees, precision: str) -> None:
    backend, cost = opened(kind="tensorrt", precision=precision)
    agrees(backend)
    assert cost.details["precision_share"] > 0.5
    assert cost.bytes_on_disk == Path(cost.details["engine"]).stat().st_size
    assert cost.details["context_bytes"] > 0
    print({k: cost.details[k] for k in sorted(cost.details) if k != "warnings"})
    print("warnings:", cost.details["warnings"])


CHECK = """
import json, sys
from pathlib import Path
from harness.backends.base import BackendContext, PreparedModel
from harness.backends.registry import open_backend, parse_spec
from harness.run.worker.parity import check
from harness.scenario.spec.model import Parity
model, reference, cache, precision = json.loads(sys.argv[1])
model = PreparedModel.from_json(model)
context = BackendContext(model, cache=Path(cache), batch_sizes=(1, 4))
with open_backend(parse_spec({"kind": "tensorrt", "precision": precision}), context) as backend:
    cost = backend.load()
    (row,) = check(backend, model, backend.spec, Parity(), [4], Path(reference))
print(json.dumps([row.status, row.max_rel_error, cost.details["tf32_override"]]))
"""


def test_fp32_is_fp32_and_tf32_is_tf32(resnet, cache: Path) -> None:
    """In a process each, as in a run: TensorRT reads NVIDIA_TF32_OVERRIDE once."""
    model, reference = resnet
    found = {}
    for precision in ("fp32", "tf32"):
        arguments = json.dumps([model.to_json(), str(reference), str(cache), precision])
        done = subprocess.run(
            [sys.executable, "-c", CHECK, arguments], capture_output=True, text=True, check=True
        )
        found[precision] = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["fp32"][0] == found["tf32"][0] == "agrees"
    assert (found["fp32"][2], found["tf32"][2]) == ("0", "")
    assert found["fp32"][1] < 1e-3 < found["tf32"][1]


def test_a_points_memory_is_given_back(opened, resnet) -> None:
    backend, _ = opened(kind="tensorrt")
    run_once(backend, make_inputs(resnet[0], 4, 0))  # the kernels themselves stay
    backend.release()
    before = free_bytes()
    request = backend.prepare(make_inputs(resnet[0], 4, 0))
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(backend.caller()).infer(request)
        taken = before - free_bytes()
    del request
    backend.release()
    left = before - free_bytes()
    print(f"taken {taken / 2**20:.0f} MiB, left {left / 2**20:.0f} MiB")
    assert taken > 4 * 10 * 2**20
    assert left < 0.1 * taken


@pytest.mark.parametrize("io", ["host", "device"])
@pytest.mark.parametrize("graphs", [False, True])
def test_copies_and_graphs(opened, agrees, io: str, graphs: bool) -> None:
    backend, _ = opened(kind="tensorrt", precision="fp16", io=io, cuda_graphs=graphs)
    agrees(backend)


def test_the_second_load_takes_the_engine_from_the_cache(opened) -> None:
    first, cost = opened(kind="tensorrt")
    first.__exit__(None, None, None)
    _, again = opened(kind="tensorrt")
    assert not again.details["built"]
    assert again.details["sha256"] == cost.details["sha256"]
    assert again.details["build_seconds"] == cost.details["build_seconds"] > 0
    print(f"built {cost.seconds:.2f} s, from the cache {again.seconds:.2f} s")


def test_a_damaged_engine_is_built_again(opened, agrees) -> None:
    _, cost = opened(kind="tensorrt", optimization_level=1)
    path = Path(cost.details["engine"])
    data = bytearray(path.read_bytes())
    data[-1000] ^= 255
    path.write_bytes(data)
    backend, again = opened(kind="tensorrt", optimization_level=1)
    assert again.details["built"]
    assert "damaged" in again.details["note"]
    agrees(backend)


def test_an_engine_file_is_measured_as_it_is(opened, resnet, tmp_path: Path) -> None:
    _, cost = opened(kind="tensorrt")
    path = tmp_path / "mine.engine"
    path.write_bytes(Path(cost.details["engine"]).read_bytes())
    bare = PreparedModel("mine", {"engine": str(path)}, "k", (), (), max_batch_size=4)
    backend, _ = opened(model=bare, kind="tensorrt")
    (spec,) = backend.signature.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("input", "float32", ("batch", 3, 224, 224))
    inputs = make_inputs(replace(bare, inputs=backend.signature.inputs), 2, 0)
    (output,) = run_once(backend, inputs).values()
    assert output.shape == (2, 1000)
    with pytest.raises(BackendError, match="do not cover"):
        run_once(backend, make_inputs(resnet[0], 64, 0))


def test_an_engine_of_another_version_is_refused_in_a_sentence(opened, tmp_path: Path) -> None:
    _, cost = opened(kind="tensorrt")
    data = bytearray(Path(cost.details["engine"]).read_bytes())
    data[24:28] = bytes([1, 0, 0, 1])
    path = tmp_path / "old.engine"
    path.write_bytes(data)
    with pytest.raises(BackendError, match=r"built by TensorRT\S* 1\.0\.0\.1"):
        opened(model=PreparedModel("old", {"engine": str(path)}, "k", (), ()), kind="tensorrt")


@pytest.mark.parametrize("io", ["host", "device"])
def test_several_callers_at_once_give_the_same_answers(opened, resnet, io: str) -> None:
    backend, cost = opened(kind="tensorrt", io=io)
    requests = [backend.prepare(make_inputs(resnet[0], 4, v)) for v in range(3)]
    expected = [run_once(backend, make_inputs(resnet[0], 4, v))["output"] for v in range(3)]
    backend.release()  # closed callers' contexts are destroyed here
    wrong: list[float] = []
    open_now = threading.Barrier(5)

    def call(offset: int) -> None:
        with backend.caller() as caller:
            for i in range(30):
                which = (i + offset) % 3
                (got,) = caller.outputs(caller.infer(requests[which])).values()
                wrong.append(float(np.abs(got - expected[which]).max()))
            open_now.wait()
            open_now.wait()

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    open_now.wait()
    held = backend.memory()
    open_now.wait()
    for thread in threads:
        thread.join()
    assert len(wrong) == 120
    assert max(wrong) < 1e-3 * np.abs(expected[0]).max()
    assert held["tensorrt_contexts"] == 4 * cost.details["context_bytes"]


@pytest.mark.parametrize("io", ["host", "device"])
def test_events_split_the_time(opened, resnet, monkeypatch, io: str) -> None:
    monkeypatch.setattr("harness.backends.timing.TIMED_EVERY_NS", 0)
    backend, _ = opened(kind="tensorrt", io=io)
    request = backend.prepare(make_inputs(resnet[0], 4, 0))
    with backend.caller() as caller:
        for _ in range(20):
            caller.infer(request)
        before = backend.statistics()
        for _ in range(40):
            caller.infer(request)
        times = split(backend.statistics(), before)
    assert times is not None
    print(io, times)
    assert times["count"] == 40
    assert times["compute_us"] > 50
    copied = 4 * 3 * 224 * 224 * 4
    if io == "host":  # no faster than any bus
        assert times["h2d_us"] > copied / 1e12 * 1e6
    else:
        assert times["h2d_us"] < 50


def test_a_profile_for_each_batch_size(opened, agrees) -> None:
    backend, cost = opened(kind="tensorrt", profile={"each": True})
    assert cost.details["profiles"] == 2
    agrees(backend)


@pytest.mark.skipif("HARNESS_REFUSED" not in os.environ, reason="needs a TensorRT that refuses")
def test_a_gpu_that_tensorrt_does_not_support_is_named_in_one_sentence(opened) -> None:
    """Run in the environment of TensorRT-RTX 1.7 on a GPU of capability 9.0."""
    with pytest.raises(BackendError) as caught:
        opened(kind="tensorrt")
    print(caught.value.message)
    assert "\n" not in caught.value.message
    assert FLAVOR.title in caught.value.message


@pytest.mark.parametrize("io", ["host", "device"])
@pytest.mark.parametrize("graphs", [False, True])
def test_one_thread_drives_several_callers(opened, resnet, io: str, graphs: bool) -> None:
    backend, _ = opened(kind="tensorrt", precision="fp16", io=io, cuda_graphs=graphs)
    requests = [backend.prepare(make_inputs(resnet[0], 4, v)) for v in range(3)]
    expected = [run_once(backend, make_inputs(resnet[0], 4, v))["output"] for v in range(3)]
    load = make_generator(backend, requests, LoadPlan(concurrency=4), request_timeout=30.0)
    assert type(load) is StreamLoad
    settings = WindowSettings(0.1, 8, 0.3, 500, 20.0, 30.0)
    window, samples = measure(backend, load, settings, lambda *_: None)
    assert set(samples.status) == {OK}
    assert set(samples.caller) == set(range(4))
    assert open_requests(samples, window.begin_ns, window.end_ns) > 3.9
    assert len(load.sampled()) >= len(samples) // SAMPLE_EVERY >= 5
    for which, kept in load.sampled():
        assert np.abs(kept["output"] - expected[which]).max() < 1e-2 * np.abs(expected[0]).max()
    rate = len(samples) / (samples.done[-1] - samples.sent[0]) * 1e9
    print(f"{io}, graphs {graphs}: {rate:.0f}/s")
    assert 0 < launching(window.after, window.before, window.seconds) < 1
