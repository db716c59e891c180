"""grpcio's channels, against grpcio's own server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import ServerDiedError
from harness.load.wire import grpcio as module
from harness.load.wire.grpcio import GrpcioTransport
from harness.results.samples import ERROR, TIMEOUT

grpc = pytest.importorskip("grpc")


@pytest.fixture
def server():
    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(self.behave)

        def behave(self, message, context):
            if message == b"bad":
                context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
            if message == b"late":
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")
            return message * 2

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def transport(address, requests, slots=2):
    made, log = GrpcioTransport(address, requests, slots, 10.0, connections=2), []
    made.done = lambda slot, now: log.append(("done", slot))
    made.failed = lambda slot, now, status, text: log.append(("failed", slot, status, text))
    made.keep = lambda slot, raw: log.append(("keep", slot, raw))
    return made, log


def test_answers_and_errors_reach_their_slots(server):
    made, log = transport(server, [b"ab", b"bad", b"late"])
    made.open()
    made.wanted[1] = True
    for slot, request in ((1, 0), (0, 1), (1, 2)):
        count = sum(entry[0] != "keep" for entry in log)
        made.send(slot, request)
        while sum(entry[0] != "keep" for entry in log) == count:
            made.poll(1.0)
        made.wanted[1] = False
    made.close()
    assert log == [
        ("keep", 1, b"abab"), ("done", 1), ("failed", 0, ERROR, "gRPC status 5: no such model"),
        ("failed", 1, TIMEOUT, "gRPC status 4: too slow"),
    ]  # fmt: skip


def test_an_abandoned_call_is_nobodys(server):
    made, log = transport(server, [b"ab"], slots=1)
    made.open()
    first = made._slots[0]
    made.abandon(0)
    made._take(first, 1, b"late")
    assert log == [] and made._slots[0] is not first
    made.close()


def test_nobody_listens(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.05)
    made, _ = transport("127.0.0.1:1", [b"x"])
    with pytest.raises(ServerDiedError, match=r"127\.0\.0\.1:1"):
        made.open()
    made.close()
