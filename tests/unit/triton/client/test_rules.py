import pytest
from pydantic import ValidationError

from harness.scenario.spec.model import ModelSpec
from harness.triton.client import rules
from harness.triton.client.settings import TritonSettings

TORCH = {"name": "m", "source": {"torch": "a:b"}, "inputs": {"name": "x", "shape": ["batch"]}}
THERE = {"name": "m", "source": {"triton": "m"}}


def triton(**settings):
    return TritonSettings.model_validate({"kind": "triton", "protocol": "http", **settings})


def said(spec, model, largest=1):
    found = rules.with_model(spec, ModelSpec.model_validate(model), largest)
    return [(broken.loc, broken.message.partition(";")[0]) for broken in found]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"serve": "tensorrt"}, "serve: TensorRT runs on a GPU"),
        ({"serve": "tensorrt", "device": "cpu"}, "device: TensorRT runs on a GPU"),
        ({"serve": "torch", "workspace": "1GiB"}, "workspace: goes with `serve: tensorrt`"),
        ({"env": {"1X": "a"}}, "env.1X: an environment variable's name"),
        ({"env": {"X": ["1", "1"]}}, "env.X.1: 1 is there twice"),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(ValidationError, match=message):
        triton(**settings)


def test_bf16_is_for_onnxruntime_where_a_file_is_in_it():
    spec = triton(serve="onnxruntime", precision="bf16")
    assert said(spec, TORCH) == [(("precision",), "ONNX Runtime has no bf16 here")]
    assert said(spec, {"name": "m", "source": {"onnx": "m.onnx"}}) == []
    assert said(triton(serve="torch", precision="bf16"), TORCH) == []


def test_a_batch_that_is_too_large_for_the_server():
    spec = triton(serve="torch", max_batch_size=4)
    assert said(spec, TORCH, 4) == []
    assert said(spec, TORCH, 5) == [
        (("max_batch_size",), "is 4, but load.batch_sizes goes up to 5")
    ]
    assert said(triton(serve="torch", max_batch_size=[2, 4]), TORCH, 5) == []


def test_a_model_of_the_harness_needs_serve_and_no_server_with_its_own():
    ((loc, message),) = said(triton(), TORCH)
    assert (loc, message.startswith("needs `serve`")) == ((), True)
    ((loc, message),) = said(triton(serve="torch", server={"url": "h:1"}), TORCH)
    assert (loc, message.startswith("goes with `source: {triton: NAME}`")) == (
        ("server", "url"), True,
    )  # fmt: skip


def test_a_model_that_is_there_needs_a_server_that_has_it_and_nothing_else():
    assert [loc for loc, _ in said(triton(), THERE)] == [()]
    assert [loc for loc, _ in said(triton(server={"args": "--x"}), THERE)] == [("server",)]
    assert said(triton(server={"repository": "r"}, instances=2), THERE) == []
    url = triton(server={"url": "h:1"}, instances=2, threads=1)
    assert [loc for loc, _ in said(url, THERE)] == [("threads",), ("instances",)]


def test_another_model_is_not_the_measured_one():
    other = {"name": "m", "model": {k: v for k, v in TORCH.items() if k != "name"},
             "load": {"concurrency": 1}}  # fmt: skip
    found = said(triton(serve="torch", colocated=other), TORCH)
    assert found == [(("colocated", 0, "name"), "'m' is the measured model's name")]
