"""From what a backend prepared to a plan of bytes."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.load.wire.generator import plan_for, run
from harness.load.wire.loop import WireGenerator
from harness.load.wire.plan import Plan
from harness.load.wire.processes import WireProcesses
from harness.system.network import Access
from harness.triton.client.common import ServerTarget

tritonclient = pytest.importorskip("tritonclient")


def backend(protocol, **access):
    target = ServerTarget("host:1", "net", 1.0, access=Access(**access))
    return SimpleNamespace(spec=SimpleNamespace(protocol=protocol), target=target, regions=None)


def request(module, value):
    tensor = module.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.full((1, 4), value, np.float32))
    return [tensor]


def test_http_requests_carry_the_scenarios_headers():
    import tritonclient.http as module

    requests = [request(module, 1), request(module, 2)]
    plan = plan_for(backend("http", headers=(("X-Key", "secret"),)), requests, 3, 5.0)
    assert (plan.slots, plan.request_timeout, plan.pinned) == (3, 5.0, False)
    first, second = plan.requests
    assert first.startswith(b"POST /v2/models/net/infer HTTP/1.1\r\nHost: host:1\r\n")
    assert b"\r\nX-Key: secret\r\n" in first
    assert first.endswith(np.full(4, 1, np.float32).tobytes())
    assert second.endswith(np.full(4, 2, np.float32).tobytes())


def test_grpc_requests_leave_the_headers_to_the_connection():
    import tritonclient.grpc as module
    from tritonclient.grpc import service_pb2

    plan = plan_for(backend("grpc", headers=(("x-key", "s"),)), [request(module, 3)], 1, 5.0)
    message = service_pb2.ModelInferRequest.FromString(plan.requests[0])
    assert message.model_name == "net" and b"x-key" not in plan.requests[0]
    assert plan.access.metadata == (("x-key", "s"),)


@pytest.mark.parametrize(("slots", "processes", "kind"), [
    (4, 1, WireGenerator), (1, 4, WireGenerator), (4, 2, WireProcesses),
])  # fmt: skip
def test_helpers_only_where_there_is_something_to_share(slots, processes, kind):
    generator = run(Plan("http", "host:1", (b"x",), slots, 1.0), processes)
    assert type(generator) is kind
    if isinstance(generator, WireProcesses):
        generator._end()
