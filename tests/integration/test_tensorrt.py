"""Real engines, built by TensorRT-RTX on a machine without a GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

pytest.importorskip("tensorrt_rtx")
from support.tiny_onnx import tiny_onnx

from harness.backends.base import BackendContext
from harness.backends.tensorrt import cache as engine_cache
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.backend import Host, TensorRtBackend
from harness.backends.tensorrt.build import (
    BuildOptions,
    batch_ranges,
    build,
    check_precision,
    make_profiles,
)
from harness.backends.tensorrt.settings import TensorRtSettings
from harness.errors import BackendError, UsageError
from harness.models.precision import convert
from harness.models.tensors import PreparedModel, TensorSpec

RTX = trt.find("tensorrt-rtx")
IMAGE = TensorSpec("input", "float32", ("batch", 3, 16, 16))
OPTIONS = BuildOptions(
    profiles=make_profiles([IMAGE], batch_ranges([1, 4]), {}), compute_capability="8.6"
)


def _build(onnx: Path, **changes: object) -> tuple[object, trt.Messages]:
    messages = trt.Messages()
    return build(RTX, onnx, replace(OPTIONS, **changes), messages), messages


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_graphs_precision_is_in_the_engine(tmp_path: Path, precision: str) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    convert(source, tmp_path / "low.onnx", precision)
    built, _ = _build(tmp_path / "low.onnx", precision=precision)
    share = check_precision(precision, built.types, RTX.title)
    assert share is not None and share > 0.5
    assert built.seconds > 0


def test_asking_for_fp16_with_an_fp32_graph_is_noticed(tmp_path: Path) -> None:
    built, _ = _build(tiny_onnx(tmp_path / "tiny.onnx"), precision="fp16")
    with pytest.raises(BackendError, match="made an engine in fp32"):
        check_precision("fp16", built.types, RTX.title)


RECORDS = """
import sys
from pathlib import Path
from harness.backends.cuda.devices import set_tf32
set_tf32(sys.argv[1])
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.build import BuildOptions, build
options = BuildOptions(precision=sys.argv[1], compute_capability="8.6")
plan = bytes(build(trt.find("tensorrt-rtx"), Path(sys.argv[2]), options, trt.Messages()).plan)
for key in (b"tf32=", b"nvidia_tf32_override="):
    at = plan.index(b"  " + key) + 2 + len(key)
    print(plan[at : plan.index(b"\\n", at)].decode())
"""


@pytest.mark.parametrize(("precision", "records"), [("fp32", "0 0"), ("tf32", "1 -1")])
def test_whether_tf32_is_allowed_is_in_the_engine(
    tmp_path: Path, precision: str, records: str
) -> None:
    """In a process each: the library reads the environment once."""
    onnx = str(tiny_onnx(tmp_path / "tiny.onnx", batch=2))
    done = subprocess.run(
        [sys.executable, "-c", RECORDS, precision, onnx], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == records.split()


def test_several_profiles_are_built_into_one_engine(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    each = make_profiles([IMAGE], batch_ranges([1, 2, 4], each=True), {})
    one, _ = _build(source)
    three, _ = _build(source, profiles=each)
    assert len(bytes(three.plan)) > len(bytes(one.plan))


def test_a_fixed_shape_needs_no_profile(tmp_path: Path) -> None:
    built, _ = _build(tiny_onnx(tmp_path / "fixed.onnx", batch=2), profiles=())
    assert len(bytes(built.plan)) > 1000


def test_why_a_build_failed_is_one_sentence(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    with pytest.raises(BackendError, match="workspace") as caught:
        _build(source, workspace=1024)
    assert "/_src/" not in caught.value.message
    assert "\n" not in caught.value.message
    with pytest.raises(BackendError, match="no optimization profile"):
        _build(source, profiles=())


def test_a_file_that_is_no_onnx_is_said_to_be_none(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nonsense")
    with pytest.raises(BackendError, match=r"can't read bad\.onnx: .*[Ff]ailed to parse"):
        _build(bad)


def test_an_operator_that_it_has_not_is_named_with_its_node(tmp_path: Path) -> None:
    """TensorRT's own reason for it is `false`."""
    source = tiny_onnx(tmp_path / "draws.onnx")
    model = onnx.load(source)
    (output,) = model.graph.output
    last = next(n for n in model.graph.node if output.name in n.output)
    last.output[0] = "drawn_from"
    model.graph.node.append(
        onnx.helper.make_node("Bernoulli", ["drawn_from"], [output.name], name="/net/draw")
    )
    onnx.save(model, source)
    with pytest.raises(BackendError, match=r"node /net/draw \(Bernoulli\): unsupported node$"):
        _build(source)


def test_options_that_rtx_lacks(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    for option in ("version_compatible", "hardware_compatible"):
        with pytest.raises(UsageError, match=option.replace("_", " ")):
            _build(source, **{option: True})
    with pytest.raises(UsageError, match=r"no compute capability 9\.9"):
        _build(source, compute_capability="9.9")


# ----------------------------------------------------------------------------------------- cache


def _target(tmp_path: Path) -> engine_cache.EngineTarget:
    return engine_cache.EngineTarget("tiny", "key", tiny_onnx(tmp_path / "tiny.onnx"), "", OPTIONS)


def _get(tmp_path: Path) -> engine_cache.Engine:
    return engine_cache.get(RTX, _target(tmp_path), tmp_path / "cache", trt.Messages())


def test_an_engine_is_built_once(tmp_path: Path) -> None:
    first, second = _get(tmp_path), _get(tmp_path)
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path
    assert second.seconds == first.seconds > 0
    assert second.types == first.types
    assert trt.engine_header(first.path) == trt.Release("tensorrt-rtx", RTX.version)
    assert "INFO" in first.log.read_text()
    assert "Layers:" in first.log.read_text()


def test_a_backend_says_that_it_builds_and_when_it_has(tmp_path: Path) -> None:
    files = {"onnx": str(tiny_onnx(tmp_path / "tiny.onnx"))}
    model = PreparedModel("tiny", {"onnx": "tiny.onnx"}, "key", (IMAGE,), (), files)
    told: list[tuple[str, bool]] = []

    def begin(step: str) -> None:
        told.append((step, any(tmp_path.glob("cache/engines/*/model.engine"))))

    context = BackendContext(model, cache=tmp_path / "cache", batch_sizes=(1, 4), begin=begin)
    settings = TensorRtSettings(kind="tensorrt", name="t", compute_capability="8.6")
    gpu = SimpleNamespace(gpu=SimpleNamespace(key=""))
    host = Host(RTX, gpu, None, trt.Messages())  # type: ignore[arg-type]
    assert not TensorRtBackend(settings, context)._build(host).cached
    assert told == [("build", False), ("load", True)]


def test_a_damaged_engine_is_built_again(tmp_path: Path) -> None:
    first = _get(tmp_path)
    good = first.path.read_bytes()
    first.path.write_bytes(good[:-1] + bytes([good[-1] ^ 255]))  # the header still fits
    again = _get(tmp_path)
    assert not again.cached
    assert "damaged" in again.note
    assert again.path.stat().st_size == again.bytes


@pytest.mark.parametrize("what", ["cut", "foreign", "nonsense"])
def test_an_engine_that_does_not_belong_here_is_built_again(tmp_path: Path, what: str) -> None:
    first = _get(tmp_path)
    good = first.path.read_bytes()
    wrong = {
        "cut": good[: len(good) // 2],
        "foreign": good[:24] + bytes([1, 6, 1, 120]) + good[28:],
        "nonsense": b"x" * len(good),
    }
    first.path.write_bytes(wrong[what])
    again = _get(tmp_path)
    assert not again.cached
    assert "thrown away" in again.note
    if what == "foreign":
        assert "TensorRT-RTX 1.6.1.120" in again.note
    assert trt.engine_header(again.path).version == RTX.version


def test_a_failed_build_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    target = replace(_target(tmp_path), options=replace(OPTIONS, workspace=1024))
    with pytest.raises(BackendError):
        engine_cache.get(RTX, target, tmp_path / "cache", trt.Messages())
    assert not engine_cache.folder_of(RTX, target, tmp_path / "cache").exists()


def test_tensorrt_says_why_it_can_not_load_an_engine_here(tmp_path: Path) -> None:
    """Without a GPU no engine can be loaded: the reason must come as a sentence."""
    messages = trt.Messages()
    runtime = RTX.trt.Runtime(trt.logger(RTX, messages))
    engine = runtime.deserialize_cuda_engine(_get(tmp_path).path.read_bytes())
    if engine is not None:
        pytest.skip("this machine has a GPU")
    error = messages.error("loading")
    assert "CUDA driver" in error.message
    assert "/_src/" not in error.message
