"""Which backends go into a new scenario, by what the doctor says of the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.init.backends import runnable
from harness.init.found import Found, FoundInput
from harness.models.tensors import TensorSpec
from harness.scenario.spec.backend import parse_backend
from harness.system.check import BACKENDS, MISSING, NOTE, OK, Check

CPU = [
    Check(BACKENDS, "torch (cpu)", OK, "2.9", runs=True),
    Check(BACKENDS, "torch (cuda)", NOTE, "no GPU here"),
    Check(BACKENDS, "onnxruntime (cpu)", OK, "1.22", runs=True),
    Check(BACKENDS, "onnxruntime (cuda)", NOTE, "no GPU here"),
    Check(BACKENDS, "tensorrt", MISSING, "not installed", "pip install it"),
    Check(BACKENDS, "triton client", OK, "2.50"),
    Check(BACKENDS, "triton server", OK, "24.10", runs=True),
]
GPU = [
    Check(BACKENDS, name, OK, "1", runs=True)
    for name in ("torch (cpu)", "torch (cuda)", "onnxruntime (cpu)", "onnxruntime (cuda)",
                 "tensorrt", "triton client", "triton server")
]  # fmt: skip


def found(kind: str) -> Found:
    item = FoundInput(TensorSpec("x", "float32", ("batch", 4)))
    return Found(kind, {kind: "a"}, "a", (item,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "kinds"),
    [("onnx", ["onnxruntime", "triton", "triton"]),
     ("torch", ["torch", "onnxruntime", "triton", "triton"]),
     ("exported_program", ["torch", "onnxruntime", "triton", "triton"])],
)  # fmt: skip
def test_on_a_cpu(kind: str, kinds: list[str]) -> None:
    made = runnable(found(kind), CPU)
    assert [entry["kind"] for entry in made.entries] == kinds
    assert made.slower == []
    assert made.unable["tensorrt"] == "not installed; pip install it"
    assert not any("cuda" in str(entry) for entry in made.entries)


@pytest.mark.parametrize(
    ("kind", "precision", "asked"),
    [("torch", "fp16", ["fp16", "fp16", "fp16", "fp16"]),
     ("exported_program", "bf16", ["bf16", None, None, None]),  # ONNX is exported in fp32
     ("torch", "fp64", ["fp64"] * 4), ("onnx", "int8", ["int8"] * 3),
     ("onnx", "bf16", ["bf16"] * 3)],
)  # fmt: skip
def test_a_model_is_proposed_in_its_own_precision(
    kind: str, precision: str, asked: list[str | None]
) -> None:
    made = runnable(replace(found(kind), precision=precision), CPU)
    assert [entry.get("precision") for entry in made.entries] == asked
    for entry in made.entries:
        parse_backend(entry)


def test_quantized_layers_run_where_pytorch_does() -> None:
    made = runnable(replace(found("torch"), precision="int8", packed=True), CPU)
    assert [(e.get("serve", e["kind"]), e["precision"]) for e in made.entries] == [
        ("torch", "int8"), ("torch", "int8"), ("torch", "int8")
    ]  # fmt: skip
    assert "seldom be exported" in made.unable["onnxruntime (cpu)"]


def test_on_a_gpu_the_cpu_is_only_named() -> None:
    made = runnable(found("torch"), GPU)
    assert [entry["kind"] for entry in made.entries] == [
        "torch", "onnxruntime", "tensorrt", "triton", "triton"
    ]  # fmt: skip
    assert all(entry.get("device") == "cuda" for entry in made.entries if entry["kind"] == "triton")
    assert [entry["kind"] for entry in made.slower] == ["torch", "onnxruntime"]
    assert made.unable == {}


def test_without_anything_every_reason_is_there() -> None:
    lacks = [Check(BACKENDS, "torch", MISSING, "not installed", "pip install torch")]
    made = runnable(found("torch"), lacks)
    assert made.entries == []
    assert made.unable["torch (cpu)"] == "not installed; pip install torch"
    assert made.unable["triton server"] == "not found here"


def test_a_model_on_a_server_has_its_own() -> None:
    entry = {"kind": "triton", "protocol": "grpc", "server": {"url": "a:8001"}}
    made = runnable(Found("triton", {"triton": "a"}, "a", (), servers=[entry]), [])
    assert made.entries == [entry]
