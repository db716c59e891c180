import sys

import pytest
from pydantic import ValidationError

from harness.backends.registry import parse_spec
from harness.backends.tensorrt.settings import PROBE, TensorRtSettings, judge
from harness.system.check import probe


@pytest.mark.parametrize("gpu", [True, False])
def test_the_full_tensorrt_is_said_never_to_have_run(gpu):
    answer = {"name": "tensorrt", "version": "10.9", "memory": "pycuda", "why_not": ""}
    assert "; TensorRT 10 and 11 had never run with the harness" in judge(answer, gpu).detail
    assert "never" not in judge(answer | {"name": "tensorrt_rtx"}, gpu).detail


def test_tensorrt_without_a_gpu_builds_only():
    answer = {"name": "tensorrt_rtx", "version": "1.7", "memory": "pycuda", "why_not": ""}
    assert not judge(answer, False).runs
    assert judge(answer, True).runs


@pytest.mark.parametrize("library", ["pycuda/driver", "cuda/bindings/runtime"])
def test_tensorrt_needs_one_library_for_device_memory(tmp_path, monkeypatch, library):
    (tmp_path / "tensorrt.py").write_text("__version__ = '10.9'\n")
    for name in ("pycuda/driver", "cuda/bindings/runtime"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text("raise ImportError('built for another CUDA')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for package in ("pycuda", "cuda", "cuda/bindings"):
        (tmp_path / package / "__init__.py").touch()
    without = judge(probe(PROBE), True)
    assert (without.status, without.runs) == ("missing", False)
    assert "needs pycuda or cuda-python, one of both" in without.detail
    assert "built for another CUDA" in without.detail
    assert without.fix == f"{sys.executable} -m pip install cuda-python"
    (tmp_path / f"{library}.py").write_text("")
    assert judge(probe(PROBE), True).runs


def test_a_missing_package_says_what_to_install():
    missing = judge("ModuleNotFoundError: No module named 'tensorrt_rtx'", True)
    assert missing.detail == "not installed (No module named 'tensorrt_rtx')"
    assert missing.fix == f"{sys.executable} -m pip install 'tensorrt-rtx-cu13>=1.4'"


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"each": True, "max": 4}, "give `each`, or min, opt and max, not both"),
        ({"min": 4, "max": 2}, "min ≤ opt ≤ max must hold"),
        ({"dynamic": {"words": [1, 9, 8]}}, "dynamic.words: write .min, opt, max."),
    ],
)
def test_what_a_profile_can_not_be(profile, message):
    with pytest.raises(ValidationError, match=message):
        TensorRtSettings.model_validate({"kind": "tensorrt", "profile": profile})


def test_it_runs_on_a_gpu_only_and_is_built_from_what_its_precision_needs():
    with pytest.raises(ValidationError, match="TensorRT runs on a GPU"):
        TensorRtSettings(kind="tensorrt", device="cpu")
    formats = [TensorRtSettings(kind="tensorrt", precision=p).formats for p in ("tf32", "bf16")]
    assert formats == [{"onnx"}, {"onnx", "onnx_bf16"}]


def test_callers_are_streams_unless_threads_are_asked_for():
    spec = TensorRtSettings(kind="tensorrt")
    assert (spec.callers, spec.default_name) == ("streams", "tensorrt-fp32")
    assert spec.less_launching == "cuda_graphs: true"
    threads = TensorRtSettings(kind="tensorrt", cuda_graphs=True, callers="threads")
    assert (threads.default_name, threads.less_launching) == ("tensorrt-fp32-graphs-threads", "")


def made(**settings):
    return parse_spec({"kind": "tensorrt", **settings})


@pytest.mark.parametrize(("precision", "formats"), [
    ("fp32", {"onnx"}), ("tf32", {"onnx"}), ("fp16", {"onnx", "onnx_fp16"}),
    ("bf16", {"onnx", "onnx_bf16"}),
])  # fmt: skip
def test_a_low_precision_may_need_a_converted_file(precision, formats):
    assert made(precision=precision).formats == formats


def test_an_engine_is_a_source_and_it_runs_on_a_gpu():
    assert "engine" in made().sources
    assert made().on_gpu


def test_sizes_of_other_dimensions_are_three_each():
    profile = made(profile={"dynamic": {"seq": [1, 64, 512]}}).profile
    assert profile.dynamic == {"seq": (1, 64, 512)}
    with pytest.raises(ValueError, match="dynamic"):
        made(profile={"dynamic": {"seq": [1, 64]}})
