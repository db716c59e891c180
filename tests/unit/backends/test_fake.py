import time
from types import SimpleNamespace

import numpy as np

from harness.backends import fake as module
from harness.backends.base import BackendContext, run_once
from harness.backends.fake import FakeBackend, FakeSettings
from harness.models.tensors import PreparedModel, TensorSpec


def fake(**settings):
    model = PreparedModel("m", {"fake": {}}, "k", (TensorSpec("x", "float32", ("batch", 3)),), ())
    context = BackendContext(model)
    return FakeBackend(FakeSettings(kind="fake", name="f", **settings), context)


def durations(backend, monkeypatch, count):
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: 0))
    with backend.caller() as caller:
        return [_planned(caller, backend.prepare({})) for _ in range(count)]


def _planned(caller, request):
    """Until when the caller means to wait, in ns of a clock that stands at 0, without waiting."""
    planned = []
    caller._wait_until = planned.append
    caller.infer(request)
    return planned[0]


def test_outputs_are_a_function_of_the_inputs():
    backend = fake(service_time_ms=0.0)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(run_once(backend, {"x": x})["output"], [3, 12])
    assert run_once(backend, {})["output"].shape == (1,)
    assert [o.name for o in backend.signature.outputs] == ["output"]


def test_an_answer_never_comes_before_its_time():
    backend = fake(service_time_ms=2.0)
    request = backend.prepare({})
    with backend.caller() as caller:
        for _ in range(3):
            start = time.monotonic_ns()
            caller.infer(request)
            assert time.monotonic_ns() - start >= 2_000_000


def test_the_batch_adds_its_share():
    backend = fake(service_time_ms=1.0, per_item_ms=0.5)
    assert backend.prepare({"x": np.zeros((4, 3))}).service_ns == 3_000_000
    assert backend.prepare({}).service_ns == 1_500_000


def test_jitter_stays_in_its_bounds_and_repeats_for_the_same_seed(monkeypatch):
    def jitters(seed):
        rng = fake(service_time_ms=1.0, jitter=0.2, seed=seed).caller()._uniform
        return [rng(-0.2, 0.2) for _ in range(5)]

    assert jitters(1) == jitters(1) != jitters(2)
    waits = durations(fake(service_time_ms=10.0, jitter=0.2), monkeypatch, 50)
    assert all(8_000_000 <= w <= 12_000_000 for w in waits)
    assert max(waits) - min(waits) > 1_000_000


def test_callers_have_jitters_of_their_own():
    backend = fake(service_time_ms=1.0, jitter=0.2)
    one, two = backend.caller(), backend.caller()
    assert [one._uniform(0, 1) for _ in range(3)] != [two._uniform(0, 1) for _ in range(3)]
