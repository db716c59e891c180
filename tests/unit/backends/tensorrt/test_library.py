from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.backends.tensorrt import library as trt
from harness.errors import BackendError, MissingPackageError, OutOfMemoryError

RTX = trt.Release("tensorrt-rtx", "1.7.1.116")


def plan(tag: bytes, version: tuple[int, ...], length: int | None = None, size: int = 64) -> bytes:
    head = tag + bytes(12) + struct.pack("<Q", size if length is None else length) + bytes(version)
    return head.ljust(size, b"\0")


def test_header_names_flavour_and_version(tmp_path: Path) -> None:
    path = tmp_path / "m.engine"
    path.write_bytes(plan(b"vtrt", (1, 7, 1, 116)))
    assert trt.engine_header(path) == trt.Release("tensorrt-rtx", "1.7.1.116")
    path.write_bytes(plan(b"ftrt", (10, 9, 0, 34)))
    assert trt.engine_header(path) == trt.Release("tensorrt", "10.9.0.34")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no TensorRT engine"),
        (b"\x08\x08onnx" * 10, "no TensorRT engine"),
        (plan(b"vtrt", (1, 7, 1, 116))[:20], "no TensorRT engine"),
        (plan(b"vtrt", (1, 7, 1, 116), length=4096), "damaged"),
    ],
)
def test_what_is_no_engine_is_said_before_it_is_loaded(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "m.engine"
    path.write_bytes(data)
    with pytest.raises(BackendError, match=words):
        trt.engine_header(path)


def test_misfit_names_both_versions() -> None:
    assert trt.misfit(trt.Release("tensorrt-rtx", "1.7.1.116"), RTX) == ""
    old = trt.misfit(trt.Release("tensorrt-rtx", "1.6.1.120"), RTX)
    assert old == "it was built by TensorRT-RTX 1.6.1.120, and this is TensorRT-RTX 1.7.1.116"
    assert "built by TensorRT 10.9.0.34" in trt.misfit(trt.Release("tensorrt", "10.9.0.34"), RTX)


def test_messages_keep_the_first_error_without_source_positions() -> None:
    messages = trt.Messages()
    messages.add("VERBOSE", "noise")
    messages.add(
        "ERROR",
        "IBuilder::buildSerializedNetwork: Error Code 6: API Usage Error (Unable to load library: "
        "libnvinfer_lean.so.1 In Impl at /_src/runtime/dispatch/libLoader.cpp:305)",
    )
    messages.add("ERROR", "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime ()")
    error = messages.error("TensorRT could not build the engine")
    assert isinstance(error, BackendError)
    assert error.message == (
        "TensorRT could not build the engine: IBuilder::buildSerializedNetwork: API Usage Error "
        "(Unable to load library: libnvinfer_lean.so.1)"
    )
    assert messages.lines[0].startswith("ERROR")


def test_running_out_of_memory_is_told_apart() -> None:
    messages = trt.Messages()
    messages.add("ERROR", "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of "
                 "memory)")  # fmt: skip
    assert isinstance(messages.error("creating an execution context"), OutOfMemoryError)


def test_without_messages_the_sentence_says_so() -> None:
    assert trt.Messages().error("loading").message == "loading: it gave no reason"


def test_missing_flavour_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackageError) as caught:
        trt.find("tensorrt")
    assert "pip install tensorrt-cu13" in str(caught.value)


def test_auto_prefers_tensorrt_and_falls_back_to_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(Builder=object, __version__="10.9.0.34")
    rtx = SimpleNamespace(Builder=object, __version__="1.6.1.120")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", rtx)
    monkeypatch.setitem(sys.modules, "tensorrt", full)
    assert trt.find("auto").title == "TensorRT 10.9.0.34"
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())  # an empty namespace package
    assert trt.find("auto").title == "TensorRT-RTX 1.6.1.120"


@pytest.mark.parametrize(
    ("name", "flags", "weak"),
    [
        ("tensorrt", ("FP16",), True),
        ("tensorrt", (), False),
        ("tensorrt-rtx", ("FP16",), False),
    ],
)
def test_only_tensorrt_with_precision_flags_is_weakly_typed(
    name: trt.FlavorName, flags: tuple[str, ...], weak: bool
) -> None:
    module = SimpleNamespace(BuilderFlag=SimpleNamespace(**dict.fromkeys(flags, 0)))
    assert trt.Flavor(name, "10.0", module).weakly_typed is weak
