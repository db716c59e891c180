"""Which generator a point gets."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.load.choose import make_generator
from harness.load.closed import ClosedLoop
from harness.load.open import OpenLoop
from harness.load.plan import LoadPlan
from harness.load.schedule import Segment
from harness.load.streams import StreamLoad
from harness.load.wire.loop import WireGenerator
from harness.system.network import PLAIN
from harness.triton.client.common import ServerTarget

OPEN = LoadPlan(segments=(Segment(100.0, 100.0, 0.02),), max_outstanding=7, shed=True)


@pytest.mark.parametrize(("plan", "kind"), [
    (LoadPlan(concurrency=3), ClosedLoop), (OPEN, OpenLoop),
])  # fmt: skip
def test_threads_for_what_runs_in_this_process(plan, kind):
    backend = SimpleNamespace(streams=False)
    assert type(make_generator(backend, ["r"], plan, request_timeout=1.0)) is kind


@pytest.mark.parametrize(("plan", "slots"), [(LoadPlan(concurrency=3), 3), (OPEN, 7)])
def test_one_thread_for_what_has_streams(plan, slots):
    made = make_generator(SimpleNamespace(streams=True), ["r"], plan, request_timeout=2.0)
    assert type(made) is StreamLoad and made._slots == slots
    assert made._shed == plan.shed and (made._due is None) == (plan.schedule is None)


def test_a_load_is_either_closed_or_open():
    with pytest.raises(ValueError, match="needs a concurrency or a schedule"):
        make_generator(object(), ["r"], LoadPlan(), request_timeout=1.0)


@pytest.mark.parametrize(("plan", "slots"), [
    (LoadPlan(concurrency=3), 3), (OPEN, 7),
])  # fmt: skip
def test_the_wire_client_has_a_slot_for_each_that_may_be_open(plan, slots):
    client = pytest.importorskip("tritonclient.http")
    tensor = client.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.zeros(1, np.float32))
    target = ServerTarget("host:1", "net", 1.0, access=PLAIN)
    backend = SimpleNamespace(spec=SimpleNamespace(protocol="http"), target=target, regions=None)
    made = make_generator(backend, [[tensor]], plan, request_timeout=2.0, wire=True)
    assert type(made) is WireGenerator and made._slots == slots
    assert made._shed == plan.shed and (made._due is None) == (plan.schedule is None)
