"""The wire client against a real Triton: right answers under load, shared memory, its death."""

import os
import signal
import time

import numpy as np
import pytest

from harness.backends.base import BackendContext, ServerAddress
from harness.backends.registry import open_backend
from harness.errors import ServerDiedError
from harness.load.plan import LoadPlan, WindowSettings
from harness.load.schedule import Segment
from harness.load.wire.generator import for_backend, run
from harness.load.wire.plan import Plan, make
from harness.load.wire.requests import DECODE, grpc_request, http_request
from harness.measure.window import measure
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import ERROR, OK
from harness.triton.client.settings import TritonSettings
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
CONFIG = """
backend: "python"
max_batch_size: 256
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
instance_group { count: 2 kind: KIND_CPU }
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in xs]
"""
NAME = "double"


def serve(path):
    version = path / "repository" / NAME / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    server = TritonServer.start(find(), path / "repository", log=path / "log", timeout=60)
    server.load(NAME)
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("triton")) as server:
        yield server


def input_of(protocol, array):
    import tritonclient.grpc
    import tritonclient.http

    module = tritonclient.http if protocol == "http" else tritonclient.grpc
    tensor = module.InferInput("x", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return [tensor]


def request_of(protocol, server, *arguments, name=NAME):
    if protocol == "http":
        return http_request(server.http, name, *arguments)
    return grpc_request(name, *arguments)


def address(protocol, server):
    return server.http if protocol == "http" else server.grpc


def load(plan, count, processes=1):
    generator = run(plan, processes)
    generator.start()
    deadline = time.monotonic() + 60
    while generator.completed() < count and generator.failure is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return generator.stop(30.0), generator


def arrays(count, shape):
    random = np.random.default_rng(3)
    return [random.random(shape, np.float32) for _ in range(count)]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    ("shape", "slots", "count"),
    [((1, 16), 8, 1000), ((3, 1000), 1, 200), ((64, 150_528), 2, 6)],
)
def test_every_sampled_answer_is_right(server, protocol, shape, slots, count):
    inputs = arrays(5 if count > 10 else 2, shape)
    requests = tuple(request_of(protocol, server, input_of(protocol, x)) for x in inputs)
    plan = Plan(protocol, address(protocol, server), requests, slots, 60.0, sample_every=7)
    if count < 10:
        plan = Plan(protocol, address(protocol, server), requests, slots, 60.0, sample_every=1)
    samples, generator = load(plan, count)
    assert (samples.status == OK).all(), samples.messages
    sampled = generator.sampled()
    assert {index for index, _ in sampled} == set(range(len(inputs)))
    for index, raw in sampled:
        found = DECODE[protocol](raw)
        assert list(found) == ["y"]
        np.testing.assert_array_equal(found["y"], inputs[index] * 2)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_official_client_gives_the_same_answer(server, protocol):
    import tritonclient.grpc
    import tritonclient.http

    module = tritonclient.http if protocol == "http" else tritonclient.grpc
    (array,) = arrays(1, (2, 16))
    client = module.InferenceServerClient(address(protocol, server))
    official = client.infer(NAME, input_of(protocol, array)).as_numpy("y")
    client.close()
    request = request_of(protocol, server, input_of(protocol, array))
    plan = Plan(protocol, address(protocol, server), (request,), 1, 10.0, sample_every=1)
    _, generator = load(plan, 1)
    np.testing.assert_array_equal(DECODE[protocol](generator.sampled()[0][1])["y"], official)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_servers_error_is_told(server, protocol):
    request = request_of(protocol, server, input_of(protocol, arrays(1, (1, 4))[0]), name="absent")
    plan = Plan(protocol, address(protocol, server), (request,), 2, 10.0)
    samples, _ = load(plan, 4)
    assert (samples.status == ERROR).all()
    (message,) = samples.messages
    assert "unknown model: 'absent'" in message


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_triton_counts_the_same_requests(server, protocol):
    import tritonclient.http

    def count():
        with tritonclient.http.InferenceServerClient(server.http) as client:
            found = client.get_inference_statistics(NAME)["model_stats"][0]
        return int(found["inference_stats"]["success"]["count"])

    request = request_of(protocol, server, input_of(protocol, arrays(1, (1, 16))[0]))
    plan = Plan(protocol, address(protocol, server), (request,), 6, 10.0)
    before = count()
    samples, _ = load(plan, 500, processes=2)
    assert (samples.status == OK).all()
    deadline = time.monotonic() + 20
    while count() - before < len(samples) and time.monotonic() < deadline:
        time.sleep(0.05)  # it counts a request after its answer is on the way
    assert count() - before == len(samples)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("open_loop", [False, True])
def test_a_whole_window_over_a_backend(server, protocol, open_loop):
    spec = TritonSettings.model_validate(
        {"kind": "triton", "protocol": protocol, "serve": "onnxruntime", "name": "t"}
    )
    tensors = TensorSpec("x", "float32", ("batch", 16)), TensorSpec("y", "float32", ("batch", 16))
    model = PreparedModel(NAME, {}, "key", tensors[:1], tensors[1:])
    context = BackendContext(model, server=ServerAddress(server.http, server.grpc, NAME))
    inputs = arrays(5, (2, 16))
    settings = WindowSettings(0.2, 10, 0.5, 20, 20.0, 10.0)
    load = LoadPlan(segments=(Segment(200.0, 200.0, 15.0),)) if open_loop else LoadPlan(3)
    with open_backend(spec, context) as backend:
        backend.load()
        requests = [backend.prepare({"x": x}) for x in inputs]
        generator = for_backend(backend, requests, load, request_timeout=10.0)
        window, samples = measure(backend, generator, settings, lambda *_: None)
    inside = (samples.done > window.begin_ns) & (samples.done <= window.end_ns)
    counted = window.after["count"] - window.before["count"]
    assert (samples.status[inside] == OK).all() and not window.cut
    (first, _), (_, last) = window.reads_ns  # the counters are of some moment while they are read
    most = ((samples.done > first) & (samples.done <= last)).sum()
    assert inside.sum() - 8 <= counted <= most + 8
    assert generator.sampled()
    for index, raw in generator.sampled():
        np.testing.assert_array_equal(DECODE[protocol](raw)["y"], inputs[index] * 2)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_killed_server_ends_the_load_with_its_reason(tmp_path, protocol):
    with serve(tmp_path) as server:
        request = request_of(protocol, server, input_of(protocol, arrays(1, (1, 16))[0]))
        generator = make(Plan(protocol, address(protocol, server), (request,), 4, 10.0))
        generator.start()
        while generator.completed() < 50:
            time.sleep(0.01)
        os.kill(server.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while generator.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert isinstance(generator.failure, ServerDiedError)
        with pytest.raises(ServerDiedError):
            generator.stop(1.0)
