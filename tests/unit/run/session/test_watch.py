"""What the telemetry is pointed at while a session goes on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.run.session.watch import ProcessWatch, gpu_of
from harness.scenario.spec.backend import AnyBackend

ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyBackend)
CUDA = {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}
TRITON = {"kind": "triton", "protocol": "http", "name": "t", "serve": "onnxruntime"}


def parse(**settings: object) -> Any:
    return ADAPTER.validate_python(settings)


@pytest.mark.parametrize(
    ("settings", "gpu"),
    [
        ({"kind": "torch"}, None),
        ({"kind": "torch", "device": "cuda:1"}, "cuda:1"),
        ({"kind": "onnxruntime"}, None),
        (CUDA, "cuda"),
        ({**CUDA, "device": "GPU-12345678"}, "GPU-12345678"),
        ({"kind": "tensorrt"}, "cuda"),
        ({"kind": "triton", "protocol": "http", "serve": "torch"}, None),
        ({"kind": "triton", "protocol": "http", "serve": "torch", "device": "cuda:2"}, "cuda:2"),
        ({"kind": "fake"}, None),
    ],
)
def test_only_the_backends_own_gpu_is_read(settings: dict[str, Any], gpu: str | None) -> None:
    assert gpu_of(parse(**settings)) == gpu


class Telemetry:
    """Remembers what it was told to watch."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def watch(self, pids: list[int], gpu: str | None = None, **more: Any) -> None:
        self.calls.append((list(pids), gpu, more))


def test_a_gpu_of_a_co_located_model_is_read_where_the_measured_one_has_none() -> None:
    other = {"name": "det", "device": "cuda:1", "load": {"concurrency": 1}}
    assert gpu_of(parse(**TRITON, device="cpu", colocated=(other,))) == "cuda:1"
    assert gpu_of(parse(**TRITON, device="cpu", colocated=({**other, "device": "cpu"},))) is None


def test_a_worker_is_watched_with_its_gpu_and_as_a_guard() -> None:
    telemetry: Any = Telemetry()
    ProcessWatch(telemetry, parse(**CUDA)).worker(7)
    assert telemetry.calls == [([7], "cuda", {})]


def test_the_device_is_read_before_a_server_and_those_readings_stay() -> None:
    telemetry: Any = Telemetry()
    watch = ProcessWatch(telemetry, parse(**TRITON, device="cuda:2"))
    watch.baseline()
    watch.empty_server(SimpleNamespace(pid=9))  # type: ignore[arg-type]
    assert telemetry.calls == [([], "cuda:2", {}), ([9], "cuda:2", {"itself": True, "keep": True})]
    assert watch.stages_ns["baseline"] <= watch.stages_ns["context"]
    assert watch.empty_ns is None  # nobody asked for it


def test_an_empty_server_is_watched_as_long_as_is_asked() -> None:
    telemetry: Any = Telemetry()
    watch = ProcessWatch(telemetry, parse(**TRITON))
    watch.empty_for = 0.001
    watch.empty_server(SimpleNamespace(pid=9))  # type: ignore[arg-type]
    assert watch.empty_ns is not None
    begin, end = watch.empty_ns
    assert end - begin >= 1_000_000
    assert watch.stages_ns["context"] == end


def test_a_server_that_is_not_found_here_has_no_readings_of_this_host() -> None:
    telemetry: Any = Telemetry()
    spec = parse(kind="triton", protocol="http", name="t", server={"url": "192.0.2.1:8000"})
    watch = ProcessWatch(telemetry, spec)
    watch.elsewhere(spec.server)
    assert telemetry.calls == [([], None, {"itself": True})]
    assert watch.server_host == {}
