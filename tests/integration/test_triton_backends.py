"""Both protocols against a real tritonserver that runs real ONNX Runtime and PyTorch."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest
from onnx import TensorProto, helper
from support.paths import DATA

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.backends.registry import open_backend
from harness.errors import BackendError, DeadlineError, ServerDiedError, ServerError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.scenario.spec.model import ModelSpec
from harness.triton.client.backend import fetch
from harness.triton.client.settings import TritonSettings
from harness.triton.counters.statistics import difference
from harness.triton.repository.engine import said
from harness.triton.repository.write import write_model
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
PROTOCOLS = pytest.mark.parametrize("protocol", ["http", "grpc"])
TYPES = {
    "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64, "int32": TensorProto.INT32, "int16": TensorProto.INT16,
    "int8": TensorProto.INT8, "uint64": TensorProto.UINT64, "uint32": TensorProto.UINT32,
    "uint16": TensorProto.UINT16, "uint8": TensorProto.UINT8, "bool": TensorProto.BOOL,
}  # fmt: skip
SLOW = """
import time
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        out = []
        for request in requests:
            x = pb.get_input_tensor_by_name(request, "x").as_numpy()
            if (x < 0).any():
                out.append(pb.InferenceResponse(error=pb.TritonError("negative numbers")))
                continue
            time.sleep(float(x.max()))
            out.append(pb.InferenceResponse([pb.Tensor("y", x)]))
        return out
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 2, -1 ] }
input { name: "extra" data_type: TYPE_INT64 dims: [ 1 ] optional: true }
output { name: "y" data_type: TYPE_FP32 dims: [ 2, -1 ] }
instance_group { count: 1 kind: KIND_CPU }
"""


def spec(protocol="http", **settings):
    return TritonSettings.model_validate(
        {"kind": "triton", "protocol": protocol, "serve": "onnxruntime", "name": "t", **settings}
    )


def save(graph, path: Path) -> str:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


def affine(folder: Path) -> PreparedModel:
    """y = x·w (x of any length), and z = a + b of integers: two outputs, three inputs."""
    weights = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Add", ["a", "b"], ["z"])],
        "affine",
        [info("x", TensorProto.FLOAT, ["batch", "n", 4]), info("a", TensorProto.INT64, ["batch"]),
         info("b", TensorProto.INT64, ["batch"])],
        [info("y", TensorProto.FLOAT, ["batch", "n", 3]), info("z", TensorProto.INT64, ["batch"])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    path = save(graph, folder / "affine.onnx")
    return PreparedModel(
        "affine", {"onnx": path}, "k",
        (TensorSpec("x", "float32", ("batch", "n", 4)), TensorSpec("a", "int64", ("batch",)),
         TensorSpec("b", "int64", ("batch",))),
        (TensorSpec("y", "float32", ("batch", "n", 3)), TensorSpec("z", "int64", ("batch",))),
        {"onnx": path}, dynamic={"n": 5}, max_batch_size=16,
    )  # fmt: skip


def every_type(folder: Path) -> PreparedModel:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"in_{t}"], [f"out_{t}"]) for t in TYPES], "types",
        [info(f"in_{t}", code, ["batch", 3]) for t, code in TYPES.items()],
        [info(f"out_{t}", code, ["batch", 3]) for t, code in TYPES.items()],
    )  # fmt: skip
    path = save(graph, folder / "types.onnx")
    inputs, outputs = (
        tuple(TensorSpec(f"{side}_{t}", t, ("batch", 3)) for t in TYPES) for side in ("in", "out")
    )
    return PreparedModel("types", {"onnx": path}, "k", inputs, outputs, {"onnx": path})


def scaled(folder: Path) -> PreparedModel:
    """y = k·x and its sum, k and the sum being scalars."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "k"], ["y"]),
         helper.make_node("ReduceSum", ["y"], ["sum"], keepdims=0)],
        "scaled",
        [info("x", TensorProto.FLOAT, ["batch", 3]), info("k", TensorProto.FLOAT, [])],
        [info("y", TensorProto.FLOAT, ["batch", 3]), info("sum", TensorProto.FLOAT, [])],
    )  # fmt: skip
    path = save(graph, folder / "scaled.onnx")
    inputs = TensorSpec("x", "float32", ("batch", 3)), TensorSpec("k", "float32", ())
    outputs = TensorSpec("y", "float32", ("batch", 3)), TensorSpec("sum", "float32", ())
    return PreparedModel("scaled", {"onnx": path}, "k", inputs, outputs, {"onnx": path})


def linear(folder: Path, dtype: str) -> PreparedModel:
    """A real torch source, prepared for real."""
    from harness.models.prepare import prepare

    source = {"torch": "torch.nn:Linear", "kwargs": {"in_features": 4, "out_features": 3}}
    wanted = ModelSpec.model_validate(
        {"name": f"linear-{dtype}", "source": source,
         "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]}
    )  # fmt: skip
    model, _ = prepare(wanted, ["torch"], [1, 2], folder / "cache", base=folder)
    return model


def masked(folder: Path) -> PreparedModel:
    """Casts its mask to fp32 in the middle, which fp16's weights are then to be multiplied with."""
    from harness.models.prepare import prepare

    wanted = ModelSpec.model_validate({
        "name": "masked", "source": {"torch": "sample_models:masked"},
        "inputs": [{"name": "ids", "dtype": "int64", "shape": ["batch", 6], "range": [0, 100]},
                   {"name": "mask", "dtype": "int64", "shape": ["batch", 6]}],
    })  # fmt: skip
    model, _ = prepare(wanted, ["torch"], [1, 2], folder / "cache", base=DATA / "models")
    return model


def sample(folder: Path, name: str, factory: str) -> PreparedModel:
    """One of tests/data's, of vectors."""
    from harness.models.prepare import prepare

    wanted = ModelSpec.model_validate({
        "name": name, "source": {"torch": f"sample_models:{factory}"},
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 8]}],
    })  # fmt: skip
    model, _ = prepare(wanted, ["torch"], [1, 2], folder / "cache", base=DATA / "models")
    return model


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One server with every model of this file."""
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "repository"
    models = {
        "affine": (affine(folder), spec(instances=1)),
        "batching": (replace(affine(folder), name="batching"), spec(dynamic_batching=True)),
        "types": (every_type(folder), spec()),
        "scaled": (scaled(folder), spec()),
        "linear-float32": (linear(folder, "float32"), spec(serve="torch")),
    }
    half = replace(models["linear-float32"][0], name="linear-bf16")
    half = replace(
        half,
        inputs=(TensorSpec("x", "bfloat16", ("batch", 4)),),
        outputs=(TensorSpec(half.outputs[0].name, "bfloat16", ("batch", 3)),),
    )
    models["linear-bf16"] = (half, spec(serve="torch", precision="bf16"))
    models["masked"] = (masked(folder), spec(serve="torch", precision="fp16"))
    # its factory calls torch.compile, which reads a text file that is not ASCII
    models["compiled"] = (sample(folder, "compiled", "compiled_inside"), spec(serve="torch"))
    models["layouts"] = (sample(folder, "layouts", "layouts"), spec(serve="torch"))
    packed = sample(folder, "packed", "quantized_half")
    models["packed"] = (packed, spec(serve="torch", precision="fp16"))
    for model, settings in models.values():
        write_model(repository, model, settings, 16)
    with TritonServer.start(find(), repository, log=folder / "log", prepared=True) as server:
        for name in models:
            server.load(name)
        yield server, {name: model for name, (model, _) in models.items()}, repository


def opened(served, name, protocol, stack, timeout=30.0, model=None):
    server, models, *_ = served
    context = BackendContext(
        model or models[name], request_timeout=timeout,
        server=ServerAddress(server.http, server.grpc, name),
    )  # fmt: skip
    backend = stack.enter_context(open_backend(spec(protocol), context))
    return backend, backend.load()


def affine_inputs(batch, seed, n=5):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(batch, n, 4)).astype("float32"),
        "a": rng.integers(0, 100, batch),
        "b": rng.integers(0, 100, batch),
    }


def reference(model, inputs):
    session = onnxruntime.InferenceSession(model.files["onnx"], providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@PROTOCOLS
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_outputs_are_those_of_onnx_runtime(served, protocol, batch):
    with ExitStack() as stack:
        backend, cost = opened(served, "affine", protocol, stack)
        inputs = affine_inputs(batch, seed=batch)
        found, expected = run_once(backend, inputs), reference(served[1]["affine"], inputs)
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-6)
            assert found[name].dtype == array.dtype
        assert cost.details["server_version"].startswith("2.")
        assert 'backend: "python"' in cost.details["config"]


@PROTOCOLS
def test_every_type_passes_unchanged(served, protocol):
    values = np.array([[0, 1, 2], [3, 4, 5]])
    inputs = {f"in_{t}": values.astype(t) for t in TYPES}
    with ExitStack() as stack:
        backend, _ = opened(served, "types", protocol, stack)
        found = run_once(backend, inputs)
    for dtype in TYPES:
        assert found[f"out_{dtype}"].dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found[f"out_{dtype}"], inputs[f"in_{dtype}"])


@PROTOCOLS
@pytest.mark.parametrize("batch", [1, 3])
def test_scalars_are_scalars_on_both_sides_of_the_server(served, protocol, batch):
    """triton-inference-server/server#3239: it takes none where a model does not batch."""
    inputs = {"x": np.ones((batch, 3), np.float32), "k": np.full((), 2.0, np.float32)}
    with ExitStack() as stack:
        backend, _ = opened(served, "scaled", protocol, stack)
        found = run_once(backend, inputs)
    assert {name: array.shape for name, array in found.items()} == {"y": (batch, 3), "sum": ()}
    assert (found["y"].max(), found["sum"]) == (2.0, 6.0 * batch)


@PROTOCOLS
@pytest.mark.parametrize(("name", "tolerance"), [("linear-float32", 1e-6), ("linear-bf16", 2e-2)])
def test_torch_serves_the_same_weights(served, protocol, name, tolerance):
    import torch

    model = served[1][name]
    weights = torch.load(model.file("state_dict"), weights_only=True)
    x = np.random.default_rng(3).integers(-4, 5, (5, 4)).astype("float32")  # exact in bfloat16
    expected = x @ weights["weight"].numpy().T + weights["bias"].numpy()
    with ExitStack() as stack:
        backend, _ = opened(served, name, protocol, stack)
        (found,) = run_once(backend, {"x": x}).values()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    if name == "linear-bf16":
        assert (found.view(np.uint32) & 0xFFFF == 0).all()  # every value is a bfloat16


def test_a_torch_model_in_fp16_may_cast_to_fp32_in_the_middle(served):
    from harness.models.inputs import make_inputs
    from harness.models.sources import open_model

    model = served[1]["masked"]
    inputs = make_inputs(model, 3, 0)
    with ExitStack() as stack:
        backend, _ = opened(served, "masked", "grpc", stack)
        (found,) = run_once(backend, inputs).values()
    np.testing.assert_allclose(found, open_model(model)(inputs)[0], atol=0.005)
    (facts,) = said(served[2] / "masked")
    assert str(facts["note"]).startswith("it runs under torch.autocast: forward mixes types")
    assert said(served[2] / "linear-bf16") == []


def test_outputs_that_only_pytorch_lays_out_so_are_served_dense(served):
    x = np.random.default_rng(3).normal(size=(3, 8)).astype("float32")
    with ExitStack() as stack:
        backend, _ = opened(served, "layouts", "http", stack)
        found = run_once(backend, {"x": x})
    some = np.maximum(x, 0)
    for name, expected in (("sparse", some), ("rows", some), ("coded", np.round(some))):
        np.testing.assert_array_equal(found[name], expected)
    assert found["uneven"].shape == (2, 3, 8)
    assert not found["uneven"][0, 1:].any()
    np.testing.assert_array_equal(found["uneven"][1], x)


def test_layers_quantized_to_fp16_are_served_as_they_are(served):
    from harness.models.sources import open_model

    inputs = {"x": np.random.default_rng(3).normal(size=(3, 8)).astype("float32")}
    with ExitStack() as stack:
        backend, _ = opened(served, "packed", "grpc", stack)
        (found,) = run_once(backend, inputs).values()
    np.testing.assert_allclose(found, open_model(served[1]["packed"])(inputs)[0], atol=1e-6)


def test_a_factory_that_compiles_its_module_is_served(served):
    with ExitStack() as stack:
        backend, _ = opened(served, "compiled", "grpc", stack)
        assert [o.name for o in backend.signature.outputs] == ["output"]


@PROTOCOLS
def test_joined_requests_get_their_own_answers(served, protocol):
    callers, each = 8, 40
    with ExitStack() as stack:
        backend, _ = opened(served, "batching", protocol, stack)
        before = backend.statistics()

        def call(index):
            worst = 0.0
            with backend.caller() as caller:
                for k in range(each):
                    inputs = affine_inputs(1 + (index + k) % 3, seed=100 * index + k)
                    found = caller.outputs(caller.infer(backend.prepare(inputs)))
                    expected = reference(served[1]["batching"], inputs)
                    worst = max(worst, float(np.abs(found["y"] - expected["y"]).max()))
                    np.testing.assert_array_equal(found["z"], expected["z"])
            return worst

        with ThreadPoolExecutor(callers) as pool:
            assert max(pool.map(call, range(callers))) < 1e-5
        split = difference(settled(backend, before, callers * each), before)
    assert split is not None
    assert split.count == callers * each
    assert split.executions < split.count
    assert all(value > 0 for value in split.server_us.values())


def settled(backend, before, count):
    """The counters once the server has counted everything: it counts after it has answered."""
    for _ in range(200):
        found = backend.statistics()
        if found["count"] - before["count"] >= count:
            break
        time.sleep(0.01)
    return found


@PROTOCOLS
def test_each_caller_has_a_connection_of_its_own(served, protocol):
    server, *_ = served
    port = int(getattr(server, protocol).rpartition(":")[2])

    def connections():
        found = psutil.Process().net_connections("tcp")
        return sum(c.status == "ESTABLISHED" and c.raddr.port == port for c in found)

    with ExitStack() as stack:
        backend, _ = opened(served, "affine", protocol, stack)
        alone = connections()
        gate, seen = threading.Barrier(6, timeout=30), []

        def call():
            with backend.caller() as caller:
                caller.infer(backend.prepare(affine_inputs(1, 0)))
                gate.wait()
                gate.wait()

        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        gate.wait()
        seen.append(connections() - alone)
        gate.wait()
        for thread in threads:
            thread.join()
    assert seen == [5]


@PROTOCOLS
def test_callers_in_many_threads_leave_nothing_open(served, protocol):
    process = psutil.Process()
    with ExitStack() as stack:
        backend, _ = opened(served, "affine", protocol, stack)
        request = backend.prepare(affine_inputs(1, 0))

        def call():
            with backend.caller() as caller:
                caller.infer(request)

        counts = []
        for _ in range(3):
            for _ in range(10):
                thread = threading.Thread(target=call)
                thread.start()
                thread.join()
            counts.append(process.num_fds())
    assert counts[2] <= counts[0] + 2


@PROTOCOLS
def test_a_batch_too_large_fails_before_it_is_sent(served, protocol):
    with ExitStack() as stack:
        backend, _ = opened(served, "affine", protocol, stack)
        with pytest.raises(ServerError, match="batch 17 is more than the max_batch_size 16"):
            backend.prepare(affine_inputs(17, 0))


@PROTOCOLS
def test_inputs_that_the_server_does_not_take(served, protocol):
    wrong = replace(served[1]["affine"], inputs=(TensorSpec("x", "float64", ("batch", "n", 4)),))
    with ExitStack() as stack, pytest.raises(ServerError) as caught:
        opened(served, "affine", protocol, stack, model=wrong)
    assert "input 'x' is float32 (FP32) there, float64 (FP64) here" in caught.value.message
    assert "it needs an input 'a'" in caught.value.message


@PROTOCOLS
def test_a_model_that_is_not_there(served, protocol):
    with ExitStack() as stack, pytest.raises(ServerError, match="nobody"):
        opened(served, "nobody", protocol, stack, model=served[1]["affine"])


@PROTOCOLS
def test_nobody_listens(served, protocol):
    context = BackendContext(
        served[1]["affine"], request_timeout=2, server=ServerAddress("127.0.0.1:9", "127.0.0.1:9")
    )
    with (
        open_backend(spec(protocol), context) as backend,
        pytest.raises(ServerError, match=r"127\.0\.0\.1:9 can't be reached"),
    ):
        backend.load()


# ------------------------------------------------------------- a repository that the user has


@pytest.fixture
def slow(tmp_path):
    version = tmp_path / "repository" / "slow" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(SLOW)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    log = tmp_path / "log"
    with TritonServer.start(find(), tmp_path / "repository", log=log, prepared=True) as server:
        server.load("slow")
        model = PreparedModel(
            "slow", {"triton": "slow"}, "", (TensorSpec("x", "float32", ("batch", 2, "n")),), ()
        )
        yield server, {"slow": model}


def naps(seconds):
    return {"x": np.full((1, 2, 3), seconds, "float32")}


@PROTOCOLS
def test_describe(slow, protocol):
    server, _ = slow
    found = fetch(protocol, getattr(server, protocol), "slow")
    assert found.signature.inputs == (
        TensorSpec("x", "float32", ("batch", 2, "x_2")),
        TensorSpec("extra", "int64", ("batch", 1)),
    )
    assert found.signature.outputs == (TensorSpec("y", "float32", ("batch", 2, "y_2")),)
    assert found.max_batch_size == 4
    assert 'name: "slow"' in found.config


def answered(caller, request):
    """Its answer, once the server has time for one: it works on what is late to the end."""
    for _ in range(100):
        with suppress(DeadlineError):
            return caller.infer(request)
    raise AssertionError("no answer in time")


@PROTOCOLS
def test_a_late_answer_an_error_and_then_a_good_one(slow, protocol):
    with ExitStack() as stack:
        backend, _ = opened(slow, "slow", protocol, stack, timeout=0.3)
        with backend.caller() as caller:
            with pytest.raises(DeadlineError, match=r"within 0\.3 s"):
                caller.infer(backend.prepare(naps(0.6)))
            with pytest.raises(BackendError, match="negative numbers"):
                answered(caller, backend.prepare(naps(-1)))
            found = caller.outputs(answered(caller, backend.prepare(naps(0.01))))
    np.testing.assert_array_equal(found["y"], naps(0.01)["x"])


@PROTOCOLS
def test_a_server_killed_in_the_middle_of_a_request(slow, protocol):
    server, _ = slow
    with ExitStack() as stack:
        backend, _ = opened(slow, "slow", protocol, stack)
        with backend.caller() as caller:
            killer = threading.Timer(0.3, psutil.Process(server.pid).kill)
            killer.start()
            with pytest.raises(ServerDiedError, match="is gone"):
                caller.infer(backend.prepare(naps(20)))
            with pytest.raises(ServerDiedError, match="is gone"):
                caller.infer(backend.prepare(naps(0)))
        with pytest.raises(ServerError, match="can't be reached"):
            backend.statistics()
    for _ in range(100):
        if not server.alive():
            break
        time.sleep(0.05)
    assert server.exit_reason() == "was killed by signal 9 (SIGKILL)"


@PROTOCOLS
def test_a_python_process_killed_under_its_model(slow, protocol):
    server, _ = slow
    with ExitStack() as stack:
        backend, _ = opened(slow, "slow", protocol, stack)
        with backend.caller() as caller:
            request = backend.prepare(naps(0))
            caller.infer(request)
            assert server.alive()
            (stub,) = psutil.Process(server.pid).children()
            stub.kill()
            with pytest.raises(ServerDiedError, match="lost a Python process"):
                caller.infer(request)
    assert not server.alive()
    assert f"pid {stub.pid}" in server.exit_reason()


def test_large_outputs_are_given_back(slow):
    server, _ = slow
    (stub,) = psutil.Process(server.pid).children()
    big = {"x": np.zeros((4, 2, 32768), "float32")}  # 1 MiB
    with ExitStack() as stack:
        backend, _ = opened(slow, "slow", "grpc", stack)
        request = backend.prepare(big)
        with backend.caller() as caller:
            for _ in range(20):
                caller.infer(request)
            before = stub.memory_info().rss
            for _ in range(80):
                caller.infer(request)
    assert stub.memory_info().rss - before < 40 * 2**20
