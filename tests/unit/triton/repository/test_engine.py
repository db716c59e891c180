"""The engine inside Triton: the model.py that is written, on an engine in host memory."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.host_cuda import HostCuda, HostEngine, Mode

from harness.backends.base import LoadCost
from harness.backends.tensorrt import backend as tensorrt
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.bindings import bindings
from harness.backends.tensorrt.settings import TensorRtSettings
from harness.errors import DeviceError, ServerError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.triton.client.settings import TritonSettings
from harness.triton.repository.engine import LOADED, check_engine, engine_spec, open_engine
from harness.triton.repository.write import make_config, write_model

MODEL = PreparedModel(
    name="net", source={"onnx": "m.onnx"}, key="k",
    inputs=(TensorSpec("x", "float32", ("batch", 4)),),
    outputs=(TensorSpec("sum", "float32", ("batch",)),),
    files={"onnx": "m.onnx", "onnx_fp16": "h.onnx"}, max_batch_size=2,
)  # fmt: skip
TRT = SimpleNamespace(TensorIOMode=Mode, BuilderFlag=SimpleNamespace())
VERSION = "10.9.0.34"


def spec(**settings: Any) -> TritonSettings:
    return TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "serve": "tensorrt", "device": "cuda", "name": "t",
        **settings,
    })  # fmt: skip


def parameters(cache: Path, **settings: Any) -> dict[str, str]:
    config = make_config(MODEL, spec(**settings), 8, cache)
    return {key: value.string_value for key, value in config.parameters.items()}


def plan(path: Path, version: str = VERSION) -> Path:
    head = b"ftrt" + bytes(12) + struct.pack("<Q", 28) + bytes(map(int, version.split(".")))
    path.write_bytes(head)
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"precision": "bf16", "flavor": "tensorrt-rtx", "cuda_graphs": True},
        {"precision": "tf32", "workspace": "2GiB", "optimization_level": 5},
    ],
)
def test_what_the_scenario_says_reaches_the_engine(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    wanted = TensorRtSettings.model_validate(
        {"kind": "tensorrt", "name": "engine", "device": "cuda:1", **settings}
    )
    assert engine_spec(parameters(tmp_path, **settings), 1) == wanted


def test_engines_need_a_cache_and_types_that_numpy_has() -> None:
    from dataclasses import replace

    with pytest.raises(ServerError, match="cache folder"):
        make_config(MODEL, spec(), 8)
    odd = replace(MODEL, outputs=(TensorSpec("h", "bfloat16", ("batch",)),))
    with pytest.raises(ServerError, match="'h' is bfloat16, which TensorRT"):
        make_config(odd, spec(), 8, Path())


# ------------------------------------------------------------------------------------- model.py


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Any:
        return self.array


class Response:
    def __init__(self, output_tensors: Any = (), error: Any = None) -> None:
        self.outputs, self.error = {t.name: t.array for t in output_tensors}, error


@pytest.fixture
def python_model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`templates/python_model.py`, with what only Triton's own process has replaced."""
    stub: Any = ModuleType("triton_python_backend_utils")
    stub.Tensor, stub.InferenceResponse, stub.TritonError = Tensor, Response, str
    stub.get_input_tensor_by_name = lambda request, name: request.get(name)
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    source = files("harness.triton.repository") / "templates" / "python_model.py"
    found = importlib.util.spec_from_file_location("model_under_test", str(source))
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HostCuda]:
    """Loading gives the engine in host memory, with a file that has a real header."""
    host = HostCuda()

    def load(self: tensorrt.TensorRtBackend) -> LoadCost:
        low, high = self.context.batch_sizes
        engine: Any = HostEngine(host, [(low, high, high)])
        inputs, outputs = bindings(TRT, engine)
        self._loaded = tensorrt.Loaded(
            trt.Flavor("tensorrt", VERSION, TRT), trt.Messages(), host, engine, inputs, outputs,
            tensorrt._profiles(engine, inputs),
        )  # fmt: skip
        path = plan(tmp_path / "model.engine")
        facts = {"tensorrt": VERSION, "flavor": "tensorrt", "engine": str(path), "built": True}
        return LoadCost(1.5, path.stat().st_size, facts)

    monkeypatch.setattr(tensorrt.TensorRtBackend, "load", load)
    yield host


def started(
    module: ModuleType,
    repository: Path,
    kind: str = "GPU",
    instance: str = "net_0",
    **settings: Any,
) -> Any:
    from harness.triton.metadata import proto

    write_model(repository, MODEL, spec(**settings), 8, repository / "cache")
    config = make_config(MODEL, spec(**settings), 8, repository / "cache")
    model = module.TritonPythonModel()
    model.initialize({
        "model_config": json.dumps(proto().to_dict(config)), "model_instance_kind": kind,
        "model_instance_device_id": "0", "model_version": "1", "model_instance_name": instance,
        "model_repository": str(repository / "net"),
    })  # fmt: skip
    return model


def request(*rows: float) -> dict[str, Tensor]:
    return {"x": Tensor("x", np.outer(rows, np.ones(4)).astype("float32"))}


@pytest.mark.parametrize("graphs", [False, True])
def test_each_request_gets_its_own_rows(
    python_model: ModuleType, cuda: HostCuda, tmp_path: Path, graphs: bool
) -> None:
    model = started(python_model, tmp_path, cuda_graphs=graphs)
    for _ in range(3):
        (alone,) = model.execute([request(1, 2)])
        assert alone.outputs["sum"].tolist() == [4, 8]
    answers = model.execute([request(1), request(2, 3, 4), request(5, 6)])
    assert [a.outputs["sum"].tolist() for a in answers] == [[4], [8, 12, 16], [20, 24]]
    assert (cuda.launched > 0) == graphs


def test_a_request_that_came_alone_is_copied_by_the_driver_only(
    python_model: ModuleType, cuda: HostCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = started(python_model, tmp_path)
    sources: list[Any] = []
    to_device = cuda.to_device
    monkeypatch.setattr(
        cuda, "to_device", lambda a, array, s: (sources.append(array), to_device(a, array, s))
    )
    asked = request(1, 2)
    pins = cuda.pins
    model.execute([asked])
    (source,) = sources
    assert np.shares_memory(source, asked["x"].array)
    assert cuda.pins == pins + 1  # the output's own buffer, made once
    model.execute([asked])
    assert cuda.pins == pins + 1


def test_what_is_wrong_with_a_request_is_its_answer(
    python_model: ModuleType, cuda: HostCuda, tmp_path: Path
) -> None:
    model = started(python_model, tmp_path)
    (answer,) = model.execute([request(*range(9))])
    assert "profiles do not cover" in answer.error
    (answer,) = model.execute([{}])
    assert "wants an input 'x'" in answer.error
    (answer,) = model.execute([request(3)])
    assert answer.outputs["sum"].tolist() == [12]


def test_an_instance_on_the_cpu_is_refused(python_model: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="TensorRT runs on a GPU"):
        started(python_model, tmp_path, kind="CPU")


def test_why_loading_failed_reaches_triton_with_what_to_do(
    python_model: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: object) -> LoadCost:
        raise DeviceError("no CUDA-capable device", fix="check `nvidia-smi`")

    monkeypatch.setattr(tensorrt.TensorRtBackend, "load", load)
    with pytest.raises(RuntimeError, match=r"^no CUDA-capable device; check `nvidia-smi`$"):
        started(python_model, tmp_path)


# --------------------------------------------------------------------------------- after loading


def test_what_the_instances_loaded_is_known_outside(
    python_model: ModuleType, cuda: HostCuda, tmp_path: Path
) -> None:
    started(python_model, tmp_path, instance="net_0_0")
    facts = check_engine(tmp_path / "net")
    assert (facts["tensorrt"], facts["engine_bytes"]) == (VERSION, 28)
    assert facts["load_seconds"] == 1.5


def test_the_batches_are_those_that_the_configuration_admits(
    cuda: HostCuda, tmp_path: Path
) -> None:
    write_model(tmp_path, MODEL, spec(), 8, tmp_path)
    prepared = tmp_path / "net" / "1" / "prepared.json"
    for largest, expected in ((8, 8), (0, 2)):  # 0: Triton does not batch
        runner = open_engine(prepared, parameters(tmp_path), 0, largest, ["sum"])
        ((profile,),) = [b.values() for b in runner._backend.loaded.profiles]
        assert (profile.min, profile.opt, profile.max) == ((1, 4), (expected, 4), (expected, 4))


def test_an_engine_of_another_tensorrt_names_both_versions(
    python_model: ModuleType, cuda: HostCuda, tmp_path: Path
) -> None:
    started(python_model, tmp_path)
    path = plan(tmp_path / "model.engine", "10.3.0.26")
    with pytest.raises(ServerError, match=r"10\.3\.0\.26.*TensorRT 10\.9\.0\.34") as caught:
        check_engine(tmp_path / "net")
    assert caught.value.fix is not None
    assert str(path) in caught.value.fix


def test_writing_the_model_again_forgets_what_was_loaded(
    python_model: ModuleType, cuda: HostCuda, tmp_path: Path
) -> None:
    started(python_model, tmp_path)
    assert list((tmp_path / "net" / "1").glob(LOADED.format("*")))
    write_model(tmp_path, MODEL, spec(), 8, tmp_path)
    with pytest.raises(ServerError, match="no instance of 'net'"):
        check_engine(tmp_path / "net")
