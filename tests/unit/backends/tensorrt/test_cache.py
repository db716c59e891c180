"""Keys and files of the cache of engines; building is tested with TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path

from harness.backends.tensorrt import cache as engine_cache
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.build import (
    BuildOptions,
    batch_ranges,
    make_profiles,
)
from harness.backends.tensorrt.cache import EngineTarget
from harness.models.cache import file_hash
from harness.models.tensors import TensorSpec

IMAGE = TensorSpec("input", "float32", ("batch", 3, 16, 16))


def test_the_key_depends_on_everything_that_the_engine_depends_on(tmp_path: Path) -> None:
    one, two = tmp_path / "1.onnx", tmp_path / "2.onnx"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    flavor = trt.Flavor("tensorrt", "10.9.0.34", None)
    base = EngineTarget("m", "k", one, "NVIDIA H200 9.0", BuildOptions())
    profiles = make_profiles([IMAGE], batch_ranges([1, 4]), {})
    others = [
        (flavor, EngineTarget("m", "k", two, base.gpu, base.options)),
        (flavor, EngineTarget("m", "k", one, "NVIDIA A10 8.6", base.options)),
        (
            flavor,
            EngineTarget("m", "k", one, base.gpu, BuildOptions(precision="fp16")),
        ),
        (flavor, EngineTarget("m", "k", one, base.gpu, BuildOptions(workspace=1))),
        (
            flavor,
            EngineTarget("m", "k", one, base.gpu, BuildOptions(profiles=profiles)),
        ),
        (flavor, EngineTarget("m", "other weights", one, base.gpu, base.options)),
        (trt.Flavor("tensorrt", "10.9.1.0", None), base),
        (trt.Flavor("tensorrt-rtx", "10.9.0.34", None), base),
    ]
    keys = [engine_cache.key(flavor, base), *(engine_cache.key(*other) for other in others)]
    assert len(set(keys)) == len(keys)
    assert engine_cache.key(flavor, base) == keys[0]


def test_a_file_of_the_cache_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "engines" / "timing"
    engine_cache.save(path, b"one")
    engine_cache.save(path, b"two")
    assert [p.name for p in path.parent.iterdir()] == ["timing"]
    assert path.read_bytes() == b"two"


def test_compiled_kernels_belong_to_an_engine_a_release_and_a_gpu(tmp_path: Path) -> None:
    plan = tmp_path / "m.engine"
    plan.write_bytes(b"engine")
    rtx = trt.Release("tensorrt-rtx", "1.7.1.116")
    built = engine_cache.Engine(plan, 6, 1.0, False, file_hash(plan), {}, tmp_path / "log")
    path = engine_cache.runtime_cache(rtx, built, "gpu 9.0", tmp_path)
    assert path == engine_cache.runtime_cache(rtx, plan, "gpu 9.0", tmp_path)
    other = trt.Release("tensorrt-rtx", "1.8.0.1")
    others = {
        engine_cache.runtime_cache(other, plan, "gpu 9.0", tmp_path),
        engine_cache.runtime_cache(rtx, plan, "gpu 8.6", tmp_path),
    }
    assert len({path, *others}) == 3
