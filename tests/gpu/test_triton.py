"""A real Triton on the GPU: ONNX Runtime and TensorRT behind both protocols, against the reference.

Needs the embedded Triton: pytriton importable, or `harness triton install`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.backends.base import BackendContext, run_once
from harness.backends.registry import open_backend, parse_spec
from harness.backends.tensorrt import library as trt
from harness.errors import MissingPackageError, ServerError
from harness.models.inputs import make_inputs
from harness.models.tensors import PreparedModel
from harness.triton.launch import Served, launch
from harness.triton.server.install import find

pytestmark = [pytest.mark.gpu, pytest.mark.triton]

try:
    find()
except ServerError as missing:
    pytest.skip(f"{missing.message}", allow_module_level=True)

BATCHES = (1, 4)
CASES = [
    ("onnxruntime", "fp32"), ("onnxruntime", "tf32"), ("onnxruntime", "fp16"),
    ("tensorrt", "fp32"), ("tensorrt", "tf32"), ("tensorrt", "fp16"),
]  # fmt: skip


@pytest.fixture
def serve(
    resnet: tuple[PreparedModel, Path], cache: Path, tmp_path: Path
) -> Iterator[Callable[..., tuple[Any, Any, Served]]]:
    """Serve ResNet-50 and load the client backend; all ends with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(**settings: Any) -> tuple[Any, Any, Served]:
            spec: Any = parse_spec(
                {"kind": "triton", "protocol": "http", "device": "cuda", "name": "t", **settings}
            )
            if spec.serve == "tensorrt":
                try:
                    trt.find()
                except MissingPackageError as error:
                    pytest.skip(error.message)
            served = launch(
                spec, resnet[0], max_batch_size=BATCHES[-1], base=tmp_path,
                log=tmp_path / "server.log", repository=tmp_path / "repository", cache=cache,
                load_timeout=600.0,
            )  # fmt: skip
            assert served.server is not None
            stack.callback(served.server.stop)
            return *client(stack, spec, served, resnet[0]), served

        yield start


def client(stack: Any, spec: Any, served: Served, model: PreparedModel) -> tuple[Any, Any]:
    context = BackendContext(model, server=served.address, batch_sizes=BATCHES)
    backend = stack.enter_context(open_backend(spec, context))
    return backend, backend.load()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(("runtime", "precision"), CASES)
def test_outputs_agree_with_the_reference(
    serve, agrees, runtime: str, precision: str, protocol: str
) -> None:
    backend, _, served = serve(serve=runtime, precision=precision, protocol=protocol)
    agrees(backend)
    print(runtime, precision, protocol, dict(served.engine))


def test_the_server_runs_the_same_engine_as_the_local_backend(serve, opened) -> None:
    pytest.importorskip(trt.MODULES[_flavor()])
    local, cost = opened(kind="tensorrt", precision="fp16")
    local.__exit__(None, None, None)
    _, _, served = serve(serve="tensorrt", precision="fp16", instances=2)
    assert served.engine["sha256"] == cost.details["sha256"]
    assert not served.engine["built"]
    assert served.engine["precision_share"] > 0.5


def _flavor() -> Any:
    try:
        return trt.find().name
    except MissingPackageError as error:
        pytest.skip(error.message)


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_joined_requests_and_several_instances_give_each_its_own_answer(
    serve, resnet, runtime: str
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    backend, _, _ = serve(
        serve=runtime, instances=2, dynamic_batching=True, max_batch_size=8, protocol="grpc"
    )
    inputs = [make_inputs(resnet[0], 2, v) for v in range(3)]
    expected = [run_once(backend, i)["output"] for i in inputs]

    def call(which: int) -> float:
        request = backend.prepare(inputs[which % 3])
        with backend.caller() as caller:
            worst = 0.0
            for _ in range(20):
                (got,) = caller.outputs(caller.infer(request)).values()
                worst = max(worst, float(np.abs(got - expected[which % 3]).max()))
        return worst

    with ThreadPoolExecutor(6) as pool:
        worst = max(pool.map(call, range(6)))
    assert worst < 1e-2 * np.abs(expected[0]).max()
    counted = backend.statistics()
    assert counted["executions"] < counted["count"], "nothing was joined"


def test_a_gpu_that_is_not_there_is_one_sentence(serve) -> None:
    with pytest.raises(ServerError, match="its instances are for GPU 63") as caught:
        serve(serve="onnxruntime", device="cuda:63")
    assert "\n" not in caught.value.message


def test_why_an_engine_cannot_be_built_reaches_the_user(serve, resnet, tmp_path: Path) -> None:
    model = replace(resnet[0], files={**resnet[0].files, "onnx": str(tmp_path / "gone.onnx")})
    (tmp_path / "gone.onnx").write_bytes(b"no model")
    _flavor()
    spec: Any = parse_spec({"kind": "triton", "protocol": "http", "device": "cuda", "name": "t",
                            "serve": "tensorrt"})  # fmt: skip
    with pytest.raises(ServerError, match=r"can't read gone\.onnx") as caught:
        launch(spec, model, max_batch_size=4, base=tmp_path, log=tmp_path / "log",
               repository=tmp_path / "r", cache=tmp_path / "cache", load_timeout=120.0)  # fmt: skip
    assert "\n" not in caught.value.message
