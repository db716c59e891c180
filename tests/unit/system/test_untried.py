"""What has never run is named where it is used, and nothing else is."""

from __future__ import annotations

import pytest

from harness.system.untried import NEVER, noted, of_flavor, of_gpu, of_run

H200 = {"name": "NVIDIA H200", "mig": False}


def test_what_has_run_is_not_named() -> None:
    served = {"kind": "triton", "serve": "onnxruntime", "server": {"docker": None, "native": None}}
    assert list(of_run({"tensorrt-rtx", "None"}, [served, {"kind": "torch"}], [H200])) == []
    assert noted("fine", "") == "fine"
    assert of_gpu({"name": "NVIDIA H100 80GB HBM3"}) == of_flavor("tensorrt_rtx") == ""


@pytest.mark.parametrize(
    ("server", "named"),
    [
        ({"docker": {"image": "i"}}, ["A server in a container", "Triton's own backend for this"]),
        ({"docker": {"image": "i"}, "native": False}, ["A server in a container"]),
        ({"binary": "/b", "native": True}, ["Triton's own backend for this"]),
    ],
)
def test_a_server_is_named_by_what_it_runs_in(server: dict[str, object], named: list[str]) -> None:
    said = list(of_run((), [{"serve": "tensorrt", "server": server}], ()))
    assert said == [f"{name} {NEVER}." for name in named]


def test_flavours_and_gpus_are_each_named_once() -> None:
    cut, other = H200 | {"mig": True}, {"name": "NVIDIA L40S"}
    said = list(of_run({"tensorrt"}, (), [cut, cut, other]))
    assert [text.partition(" had never run")[0] for text in said] == [
        "TensorRT 10 and 11", "A MIG device", "The NVIDIA L40S",
    ]  # fmt: skip
