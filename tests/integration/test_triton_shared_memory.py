"""`io: shared_memory` against a real Triton: both clients, both protocols, what is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.backends.registry import open_backend, parse_spec
from harness.errors import BackendError, ServerError
from harness.load.choose import make_generator
from harness.load.plan import LoadPlan
from harness.load.schedule import Segment
from harness.load.wire.requests import decode_grpc, decode_http
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import OK, UNFINISHED
from harness.triton.client.shared_memory import UNWRITTEN
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton

CONFIG = """
backend: "python"
max_batch_size: 64
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] },
        { name: "n" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] },
         { name: "m" data_type: TYPE_INT64 dims: [ 1 ] } ]
instance_group { count: 2 kind: KIND_CPU }
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        found = []
        for r in requests:
            x, n = (pb.get_input_tensor_by_name(r, k).as_numpy() for k in "xn")
            if x[0, 0] < 0:
                error = pb.TritonError("negative")
                found.append(pb.InferenceResponse([], error))
                continue
            found.append(pb.InferenceResponse([pb.Tensor("y", x * 2), pb.Tensor("m", n + 1)]))
        return found
"""
SOME = MODEL.replace(
    'pb.Tensor("y", x * 2), pb.Tensor("m", n + 1)', 'pb.Tensor("y", x[x > 0.5]), pb.Tensor("m", n)'
).replace("x[0, 0]", "x[0]")
SOME_CONFIG = """
backend: "python"
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] },
        { name: "n" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] },
         { name: "m" data_type: TYPE_INT64 dims: [ 1 ] } ]
"""
"""As many as there are above a half, as a detector's boxes."""
WORDS = """
import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        found = []
        for r in requests:
            sizes = pb.get_input_tensor_by_name(r, "n").as_numpy()
            said = np.array([["zoë" * n for n in row] for row in sizes.tolist()], object)
            found.append(pb.InferenceResponse([pb.Tensor("said", said), pb.Tensor("size", sizes)]))
        return found
"""
WORDS_CONFIG = """
backend: "python"
max_batch_size: 64
input [ { name: "n" data_type: TYPE_INT64 dims: [ 2 ] } ]
output [ { name: "said" data_type: TYPE_STRING dims: [ 2 ] },
         { name: "size" data_type: TYPE_INT64 dims: [ 2 ] } ]
"""
PAST = """
import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        found = []
        for r in requests:
            both = [pb.get_input_tensor_by_name(r, k).as_numpy() for k in ("past", "x")]
            found.append(pb.InferenceResponse([pb.Tensor("y", np.concatenate(both, axis=1))]))
        return found
"""
PAST_CONFIG = """
backend: "python"
max_batch_size: 64
input [ { name: "past" data_type: TYPE_FP32 dims: [ -1, 4 ] },
        { name: "x" data_type: TYPE_FP32 dims: [ 1, 4 ] } ]
output { name: "y" data_type: TYPE_FP32 dims: [ -1, 4 ] }
"""
"""A decoder's step: what it said so far, nothing at first, and the next word."""
MODELS = {
    "past": (PAST, PAST_CONFIG), "double": (MODEL, CONFIG), "some": (SOME, SOME_CONFIG),
    "words": (WORDS, WORDS_CONFIG),
}  # fmt: skip
SPECS = (TensorSpec("x", "float32", ("batch", 100)), TensorSpec("n", "int64", ("batch",)))
CASES = [(p, c) for p in ("http", "grpc") for c in ("wire", "tritonclient")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    path = tmp_path_factory.mktemp("triton")
    for name, (code, config) in MODELS.items():
        version = path / "repository" / name / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(code)
        (version.parent / "config.pbtxt").write_text(config)
    with TritonServer.start(find(), path / "repository", log=path / "log", timeout=60) as server:
        for name in MODELS:
            server.load(name)
        yield server


def backend_on(
    server: TritonServer, protocol: str, client: str = "wire", model: str = "double", **more: Any
) -> Any:
    spec: Any = parse_spec({
        "kind": "triton", "protocol": protocol, "client": client, "name": "t",
        "io": "shared_memory", **more,
    })  # fmt: skip
    outputs = (TensorSpec("y", "float32", ("batch", 100)), TensorSpec("m", "int64", ("batch",)))
    context = BackendContext(
        PreparedModel(model, {}, "key", SPECS if model == "double" else (), outputs),
        request_timeout=10.0, server=ServerAddress(server.http, server.grpc, model),
    )  # fmt: skip
    return open_backend(spec, context)


def inputs(seed: int, batch: int = 4) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"x": random.random((batch, 100), np.float32), "n": random.integers(0, 99, batch)}


def registered(server: TritonServer) -> list[str]:
    import tritonclient.http

    with tritonclient.http.InferenceServerClient(server.http) as client:
        return [r["name"] for r in client.get_system_shared_memory_status()]


def left_in_shm() -> set[str]:
    return {p.name for p in Path("/dev/shm").glob("psm_*")}


def names_stay_only_until_the_server_has_mapped_them(before: set[str]) -> None:
    """Those of other tests that run meanwhile come and go."""
    end = time.monotonic() + 20
    while left_in_shm() - before:
        assert time.monotonic() < end
        time.sleep(0.01)


def run(generator: Any, count: int) -> Any:
    generator.start()
    end = time.monotonic() + 60
    while generator.completed() < count and generator.failure is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return generator.stop(10.0)


@pytest.mark.parametrize(("protocol", "client"), CASES)
def test_a_call_goes_through_regions_and_leaves_nothing(server, protocol, client) -> None:
    before = left_in_shm()
    with backend_on(server, protocol, client) as backend:
        backend.load()
        for batch in (1, 4):
            given = inputs(batch, batch)
            found = run_once(backend, given)
            np.testing.assert_array_equal(found["y"], given["x"] * 2)
            np.testing.assert_array_equal(found["m"], given["n"] + 1)
        assert registered(server), "the call did not use shared memory"
        names_stay_only_until_the_server_has_mapped_them(before)
    assert registered(server) == []


@pytest.mark.parametrize(
    ("protocol", "client", "processes"),
    [(p, c, n) for p, c in CASES for n in (1, 2) if (c, n) != ("tritonclient", 2)],
)
@pytest.mark.parametrize("open_loop", [False, True])
def test_outputs_under_load_are_right(server, protocol, client, processes, open_loop) -> None:
    asked = LoadPlan(concurrency=5, processes=processes)
    if open_loop:
        asked = LoadPlan(
            segments=(Segment(1000 / 3, 1000 / 3, 0.9),), max_outstanding=5, processes=processes
        )
    given = [inputs(seed) for seed in range(3)]
    with backend_on(server, protocol, client) as backend:
        backend.load()
        requests = [backend.prepare(one) for one in given]
        generator = make_generator(
            backend, requests, asked, request_timeout=10.0, wire=client == "wire"
        )
        samples = run(generator, 100)
        assert np.isin(samples.status, (OK, UNFINISHED)).all(), samples.messages
        assert (samples.status == OK).sum() >= 100
        sampled = generator.sampled()
        assert len(sampled) == (5 if client == "wire" else len(sampled)) and sampled
        for which, outputs in sampled:
            np.testing.assert_array_equal(outputs["y"], given[which]["x"] * 2)
            np.testing.assert_array_equal(outputs["m"], given[which]["n"] + 1)
        backend.release()
        assert registered(server) == []


@pytest.mark.parametrize(("protocol", "client"), CASES)
def test_outputs_may_have_another_size_each_time_and_none(server, protocol, client) -> None:
    above = [0, 3, 100, 0, 57]
    given = [{"x": np.repeat([1, 0], (n, 100 - n)).astype(np.float32), "n": np.array([n])}
             for n in above]  # fmt: skip
    with backend_on(server, protocol, client, "some") as backend:
        backend.load()
        for one, n in zip(given, above, strict=True):
            assert run_once(backend, one)["y"].tolist() == [1.0] * n
        requests = [backend.prepare(one) for one in given]
        generator = make_generator(
            backend, requests, LoadPlan(concurrency=3), request_timeout=10.0,
            wire=client == "wire",
        )  # fmt: skip
        samples = run(generator, 60)
        assert np.isin(samples.status, (OK, UNFINISHED)).all(), samples.messages
        sampled = generator.sampled()
        assert sampled
        for which, outputs in sampled:
            assert (outputs["y"].tolist(), outputs["m"]) == ([1.0] * above[which], [above[which]])


@pytest.mark.parametrize(("protocol", "client"), CASES)
def test_an_input_of_no_size_is_one(server, protocol, client) -> None:
    """The first step of a decoder, `dynamic: {past: 0}`: a region of no bytes there is none."""
    x = np.arange(8, dtype=np.float32).reshape(2, 1, 4)
    given = [{"past": np.ones((2, n, 4), np.float32), "x": x} for n in (0, 3, 0)]
    with backend_on(server, protocol, client, "past") as backend:
        backend.load()
        for one in given:
            expected = np.concatenate([one["past"], x], axis=1)
            assert run_once(backend, one)["y"].tolist() == expected.tolist()
        first = [backend.prepare(one) for one in given[:1]]
        generator = make_generator(
            backend, first, LoadPlan(concurrency=2), request_timeout=10.0, wire=client == "wire"
        )
        samples = run(generator, 40)
        assert np.isin(samples.status, (OK, UNFINISHED)).all(), samples.messages
        assert all(outputs["y"].tolist() == x.tolist() for _, outputs in generator.sampled())


@pytest.mark.parametrize("io", ["host", "shared_memory"])
@pytest.mark.parametrize(("protocol", "client"), CASES)
def test_strings_of_any_length_come_out_beside_numbers(server, protocol, client, io) -> None:
    given = [{"n": np.array([[0, k], [2 * k, 1]])} for k in (1, 40, 3)]
    said = [[["zoë" * n for n in row] for row in one["n"].tolist()] for one in given]
    with backend_on(server, protocol, client, "words", io=io) as backend:
        backend.load()
        assert [o.dtype for o in backend.signature.outputs] == ["string", "int64"]
        for one, words in zip(given, said, strict=True):
            assert run_once(backend, one)["said"].tolist() == words
        requests = [backend.prepare(one) for one in given]
        generator = make_generator(
            backend, requests, LoadPlan(concurrency=2), request_timeout=10.0, wire=client == "wire"
        )
        samples = run(generator, 200)
        assert np.isin(samples.status, (OK, UNFINISHED)).all(), samples.messages
        sampled = generator.sampled()
        assert sampled
        decode = {"http": decode_http, "grpc": decode_grpc}[protocol]
        for which, found in sampled:
            outputs = decode(found) if isinstance(found, bytes) else found
            assert outputs["said"].tolist() == said[which]
            assert outputs["size"].tolist() == given[which]["n"].tolist()


def test_nothing_stays_registered_after_a_failure(server) -> None:
    bad = inputs(1)
    bad["x"][0, 0] = -1
    with pytest.raises(BackendError, match="negative"), backend_on(server, "http") as backend:
        backend.load()
        run_once(backend, bad)
    assert registered(server) == []


def test_what_was_not_answered_is_not_taken_for_an_output(server) -> None:
    good, bad = inputs(1), inputs(2)
    with backend_on(server, "grpc") as backend:
        backend.load()
        request = backend.prepare(good)
        bad["x"][0, 0] = -1
        region = backend.regions._prepared[-1]
        region.memory.write(0, np.ascontiguousarray(bad["x"]).reshape(-1).view(np.uint8))
        generator = make_generator(
            backend, [request], LoadPlan(concurrency=2), request_timeout=10.0, wire=True
        )
        samples = run(generator, 10)
        assert not (samples.status == OK).any()
        assert generator.sampled() == []
        (output, *_) = backend.regions.current
        assert (output.tensors(request.shapes)["y"].view(np.uint8) == UNWRITTEN).all()


def test_a_server_that_can_not_see_the_memory_says_what_to_do(server, monkeypatch) -> None:
    from harness.triton.client.shared_memory import SystemMemory

    def elsewhere(self: Any, client: Any, name: str) -> None:
        client.register_system_shared_memory(name, "/on-another-machine", self._size)

    monkeypatch.setattr(SystemMemory, "register", elsewhere)
    before = left_in_shm()
    with backend_on(server, "http") as backend:
        backend.load()
        with pytest.raises(ServerError, match="refuses system shared memory") as caught:
            backend.prepare(inputs(1))
    assert "on this machine" in str(caught.value.fix)
    assert left_in_shm() == before
