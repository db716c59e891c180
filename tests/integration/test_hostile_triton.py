"""Servers that do what no Triton does: every client says what it was, in time and in memory."""

import time

import psutil
import pytest
from support.certificates import make as make_certificates
from support.hostile_triton import GRPC, HTTP, JSON, HostileTriton
from support.null_load import http_post

from harness.errors import HarnessError
from harness.load.wire.http1 import KEPT_BYTES
from harness.load.wire.plan import Plan, make
from harness.results.samples import OK
from harness.system.network import Access, Tls
from harness.triton.client.backend import connect
from harness.triton.client.common import ServerTarget

TIMEOUT_S = 0.8
PATIENCE_S = 15.0
"""Connecting (5 s), the load and its end, a client's block; and a busy machine."""
MOST_BYTES = 3 * KEPT_BYTES
"""Two slots' answers, and half as much: a buffer that grows is copied."""
CASES = [("http", name) for name in HTTP] + [("grpc", name) for name in GRPC]
SCRIPTS = {"http": {**HTTP, **JSON}, "grpc": GRPC}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def loaded(protocol, address, tls=None):
    """What a load on that server ends in: the error that it raises, or its failures' words."""
    request = http_post(address, 1000) if protocol == "http" else bytes(1000)
    plan = Plan(
        protocol, address, (request,), 2, TIMEOUT_S, sample_every=1, access=Access(tls)
    )  # fmt: skip
    before, most = psutil.Process().memory_info().rss, 0
    generator = make(plan)
    try:
        generator.start()
        end = time.monotonic() + 2 * TIMEOUT_S
        while generator.failure is None and time.monotonic() < end:
            most = max(most, psutil.Process().memory_info().rss - before)
            time.sleep(0.02)
        samples = generator.stop(6.0)
    except HarnessError as error:
        return error.message
    finally:
        assert most < MOST_BYTES
    assert len(samples) and not (samples.status == OK).any()
    return "; ".join(samples.messages)


@pytest.mark.parametrize(("protocol", "name"), CASES)
def test_the_wire_client_names_what_came(protocol, name):
    began = time.monotonic()
    with HostileTriton(SCRIPTS[protocol][name]) as server:
        words = loaded(protocol, server.address)
    assert words and "Error" not in words, words
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    ("protocol", "name"),
    [("http", "garbage"), ("http", "half closed"), ("http", "huge, with a length"),
     ("http", "a byte a second"), ("http", "reset"), ("grpc", "garbage"), ("grpc", "never"),
     ("grpc", "goaway"), ("grpc", "ping flood"), ("grpc", "huge")],
)  # fmt: skip
def test_the_same_within_tls(protocol, name, certificates):
    began = time.monotonic()
    with HostileTriton(SCRIPTS[protocol][name], certificates) as server:
        words = loaded(protocol, server.address, Tls(ca=str(certificates.ca)))
    assert words
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    ("protocol", "name"),
    CASES + [("http", name) for name in JSON],
)
def test_the_official_client_has_a_reason_too(protocol, name):
    began = time.monotonic()
    with (
        HostileTriton(SCRIPTS[protocol][name]) as server,
        pytest.raises(HarnessError) as raised,
        connect(protocol, ServerTarget(server.address, "m", TIMEOUT_S)) as connection,
    ):
        connection.describe()
    assert server.address in raised.value.message or "no model 'm'" in raised.value.message
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    ("protocol", "name"),
    [("http", "headers without end"), ("http", "huge, without one"),
     ("http", "four bytes a second"), ("grpc", "ping flood"), ("grpc", "a byte a second")],
)  # fmt: skip
def test_a_request_of_the_official_client_ends_in_its_time(protocol, name):
    began, before = time.monotonic(), psutil.Process().memory_info().rss
    with (
        HostileTriton(SCRIPTS[protocol][name]) as server,
        connect(protocol, ServerTarget(server.address, "m", TIMEOUT_S)) as connection,
        pytest.raises(HarnessError) as raised,
    ):
        connection.infer([])
    assert raised.value.message
    assert raised.value.reason in ("hung", "raised", "server_died")
    assert time.monotonic() - began < PATIENCE_S
    assert psutil.Process().memory_info().rss - before < 1800 << 20
