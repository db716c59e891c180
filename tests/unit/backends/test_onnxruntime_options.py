"""Which options reach ONNX Runtime's GPU providers; what they do is tested on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from harness.backends.base import BackendContext
from harness.backends.onnxruntime.backend import _engines, _providers
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings as Spec
from harness.models.tensors import PreparedModel

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"


def options(provider: str, cache: Path | None = None, **settings: object) -> list[tuple[str, dict]]:
    spec = Spec.model_validate({"kind": "onnxruntime", "provider": provider, **settings})
    return _providers(spec, 1, cache)


def test_the_cpu_has_none() -> None:
    assert options("CPUExecutionProvider") == [("CPUExecutionProvider", {})]


def test_what_is_not_written_is_left_to_onnxruntime_but_tf32_is_said() -> None:
    assert options(CUDA) == [(CUDA, {"device_id": "1", "use_tf32": "0"})]
    assert options(CUDA, precision="tf32")[0][1]["use_tf32"] == "1"


def test_arena_search_and_graphs() -> None:
    ((_, found),) = options(
        CUDA, gpu_memory_limit="2GiB", arena_extend_strategy="kSameAsRequested",
        cudnn_conv_algo_search="HEURISTIC", cuda_graphs=True, io="device",
    )  # fmt: skip
    assert found == {
        "device_id": "1", "use_tf32": "0", "gpu_mem_limit": str(2**31),
        "arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC",
        "enable_cuda_graph": "1",
    }  # fmt: skip


def test_tensorrt_keeps_its_engines_and_has_cuda_behind_it(tmp_path: Path) -> None:
    (first, found), (second, cuda) = options(TENSORRT, tmp_path, cuda_graphs=True, io="device")
    assert (first, second) == (TENSORRT, CUDA)
    assert found["trt_engine_cache_path"] == str(tmp_path / "fp32")
    assert Path(found["trt_engine_cache_path"]).is_dir()
    assert found["trt_cuda_graph_enable"] == "1"
    assert "enable_cuda_graph" not in cuda  # one of the two captures


def test_models_with_other_weights_do_not_share_engines(tmp_path: Path) -> None:
    models = [PreparedModel(name, {}, key, (), ()) for name in "ab" for key in "kl"]
    folders = {_engines(BackendContext(model, cache=tmp_path)) for model in models}
    assert len(folders) == 4
    assert {folder.parent for folder in folders if folder} == {tmp_path / "ort-tensorrt"}
    assert _engines(BackendContext(models[0])) is None
