"""TLS and headers against a real Triton: its own for gRPC, a relay in front of it for HTTPS."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from support.certificates import make
from support.tls_relay import TlsRelay

from harness.backends.base import BackendContext, ServerAddress, run_once
from harness.backends.registry import open_backend
from harness.errors import SetupError, TlsError
from harness.load.plan import LoadPlan
from harness.load.wire.generator import for_backend
from harness.load.wire.grpc import WireGrpc
from harness.load.wire.requests import DECODE
from harness.models.tensors import PreparedModel
from harness.results.samples import OK
from harness.scenario.spec.server import access_of
from harness.system.network import Access, Tls
from harness.triton.client.backend import fetch
from harness.triton.client.settings import TritonSettings
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
PROTOCOLS = pytest.mark.parametrize("protocol", ["http", "grpc"])
NAME, SECRET = "double", "s3cr3t-bearer-value"
CONFIG = """
backend: "python"
max_batch_size: 64
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in xs]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, files):
    """gRPC with TLS, asking clients for a certificate; HTTP without, for the relays."""
    path = tmp_path_factory.mktemp("triton")
    version = path / "repository" / NAME / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    args = [
        "--grpc-use-ssl=true", "--grpc-use-ssl-mutual=true", f"--grpc-server-cert={files.cert}",
        f"--grpc-server-key={files.key}", f"--grpc-root-cert={files.ca}",
    ]  # fmt: skip
    with TritonServer.start(
        find(), path / "repository", log=path / "log", timeout=60, args=args
    ) as server:
        server.load(NAME)
        yield server


@pytest.fixture(scope="module")
def relay(server, files):
    with TlsRelay(server.http, files, ask_client=True) as relay:
        yield relay


@pytest.fixture
def spec(server, relay, files, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", SECRET)

    def make_spec(protocol, **settings):
        tls = {"ca": str(files.ca), "cert": str(files.client_cert), "key": str(files.client_key)}
        address = relay.address if protocol == "http" else server.grpc
        there = {"url": address, "tls": tls, "headers": {"Authorization": "Bearer ${TEST_TOKEN}"}}
        there |= settings.pop("server", {})
        return TritonSettings.model_validate(
            {"kind": "triton", "protocol": protocol, "name": "t", "server": there, **settings}
        )

    return make_spec


def backend(spec):
    model = PreparedModel(NAME, {"triton": NAME}, "k", (), ())
    where = ServerAddress(spec.server.url, spec.server.url, NAME)
    return open_backend(spec, BackendContext(model, 10.0, where))


@PROTOCOLS
def test_the_official_client_and_the_description(spec, protocol, relay):
    wanted = spec(protocol)
    found = fetch(protocol, wanted.server.url, NAME, access_of(wanted.server))
    assert [i.name for i in found.signature.inputs] == ["x"]
    with backend(wanted) as opened:
        opened.load()
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        assert np.array_equal(run_once(opened, {"x": x})["y"], 2 * x)
        assert "count" in opened.statistics()
    if protocol == "http":
        assert f"Bearer {SECRET}".encode() in b"".join(relay.heads)


@PROTOCOLS
@pytest.mark.parametrize("processes", [1, 2])
def test_the_wire_client_under_load(spec, protocol, processes):
    """Large requests and answers too: more than a TLS record, more than a socket's buffer."""
    with backend(spec(protocol)) as opened:
        opened.load()
        rows = [np.random.default_rng(i).random((2, 40_000), np.float32) for i in range(3)]
        requests = [opened.prepare({"x": x}) for x in rows]
        generator = for_backend(
            opened, requests, LoadPlan(4, processes=processes), request_timeout=10
        )
        generator.start()
        deadline = time.monotonic() + 120
        while generator.completed() < 250 and time.monotonic() < deadline:
            time.sleep(0.01)
        samples = generator.stop(10)
    assert (samples.status == OK).all(), samples.messages
    assert len(samples.done) >= 250
    assert (samples.done > samples.sent).all()
    kept = generator.sampled()
    assert len(kept) >= 2
    for request, raw in kept:
        assert np.array_equal(DECODE[protocol](raw)["y"], 2 * rows[request])


@PROTOCOLS
def test_a_certificate_that_is_not_trusted(spec, protocol):
    wanted = spec(protocol, server={"tls": {}})
    with pytest.raises(TlsError, match="not trusted here") as told, backend(wanted) as opened:
        opened.load()
    assert "tls: {ca:" in str(told.value.fix)


@PROTOCOLS
def test_a_refused_certificate_is_said_by_the_harness_alone(spec, run_cli, tmp_path, protocol):
    """gRPC's core would write a line of its own log into a command's errors."""
    url = spec(protocol).server.url
    path = tmp_path / "s.yaml"
    path.write_text(
        f"scenario: s\nmodel: {{name: m, source: {{triton: {NAME}}}}}\n"
        f"backends: [{{kind: triton, protocol: {protocol}, server: {{url: '{url}', tls: {{}}}}}}]\n"
        "load: {batch_sizes: [1], concurrency: [1]}\n"
    )
    done = run_cli("validate", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "note: not at this moment: Triton at" in done.stdout
    assert "a certificate that is not trusted here" in done.stdout


@PROTOCOLS
def test_without_the_clients_certificate(spec, protocol, files):
    wanted = spec(protocol, server={"tls": {"ca": str(files.ca)}})
    with pytest.raises(TlsError) as told, backend(wanted) as opened:
        opened.load()
    assert "cert:" in str(told.value.fix)


@PROTOCOLS
def test_a_server_with_tls_asked_without(spec, protocol):
    with pytest.raises(TlsError, match="speaks TLS") as told:
        fetch(protocol, spec(protocol).server.url, NAME)
    assert "tls: {ca:" in str(told.value.fix)


def test_a_server_without_tls_asked_with(server, files):
    with pytest.raises(TlsError) as told:
        fetch("http", server.http, NAME, Access(Tls(ca=str(files.ca))))
    assert "leave `tls` out" in str(told.value.fix)


@PROTOCOLS
def test_unchecked_certificates(spec, protocol, files):
    """Of an unknown authority, for another name than the address."""
    tls = {"verify": False, "cert": str(files.client_cert), "key": str(files.client_key)}
    with backend(spec(protocol, server={"tls": tls})) as opened:
        opened.load()
        x = np.ones((1, 2), np.float32)
        assert np.array_equal(run_once(opened, {"x": x})["y"], 2 * x)
        generator = for_backend(
            opened, [opened.prepare({"x": x})], LoadPlan(1), request_timeout=5
        )  # fmt: skip
        generator.start()
        time.sleep(0.2)
        assert (generator.stop(5).status == OK).all()


def test_an_abandoned_call_is_not_taken_for_the_next_one(spec, server):
    wanted = spec("grpc")
    transport = WireGrpc(server.grpc, [b"\0"], 1, access=access_of(wanted.server))
    seen = []
    transport.failed = lambda slot, now, status, text: seen.append(text)
    transport.done = lambda slot, now: seen.append("done")
    transport.open()
    transport.send(0, 0)
    transport.flush()
    transport.abandon(0)
    transport.send(0, 0)
    transport.flush()
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        transport.poll(0.05)
    transport.poll(0.2)
    transport.close()
    assert len(seen) == 1
    assert "gRPC status" in seen[0]


def test_a_variable_that_is_not_set_is_said(spec, monkeypatch):
    monkeypatch.delenv("TEST_TOKEN")
    with pytest.raises(SetupError, match="TEST_TOKEN, which is not set"):
        backend(spec("http"))


# ---------------------------------------------------------------------------------- whole runs

SCENARIO = """
scenario: secret
model: {{name: double, source: {{triton: double}}, inputs: [{{name: x, shape: [batch, 4]}}]}}
backends:
  - kind: triton
    protocol: http
    name: wire
    server: &server
      url: "{url}"
      tls: {{ca: {ca}, cert: {cert}, key: {key}}}
      headers: {{Authorization: "Bearer ${{TEST_TOKEN}}"}}
  - {{kind: triton, protocol: http, client: tritonclient, name: library, server: *server}}
load: {{batch_sizes: 1, concurrency: 2}}
measurement: {{rounds: 1, rounds_max: 1, warmup: 50ms, warmup_requests: 1, window: 300ms,
              window_requests: 11, window_max: 20s}}
"""


def run_it(run_cli, tmp_path, files, address, *more):
    text = SCENARIO.format(url=address, ca=files.ca, cert=files.client_cert, key=files.client_key)
    (tmp_path / "s.yaml").write_text(text)
    done = run_cli(
        "--debug", "run", tmp_path / "s.yaml", "-o", tmp_path / "run", *more, cache=True,
        env={"TEST_TOKEN": SECRET}, cwd=tmp_path,
    )  # fmt: skip
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").open()]
    return done, events


def holding(folder: Path, secret: str) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def test_the_run_directory_never_holds_the_secret(run_cli, tmp_path, files, relay):
    done, events = run_it(run_cli, tmp_path, files, relay.address)
    measured = [e for e in events if e["event"] == "measurement"]
    assert {e["backend"] for e in measured} == {"wire", "library"}, done.stderr
    assert all(e["requests"] > 10 and e["errors"] == 0 for e in measured)
    assert holding(tmp_path, SECRET) == []
    assert SECRET not in done.stdout + done.stderr
    assert "Bearer ${TEST_TOKEN}" in (tmp_path / "run/manifest.json").read_text()
    assert (tmp_path / "run/report.html").exists()


def test_a_server_that_quotes_the_secret(run_cli, tmp_path, files, server):
    with TlsRelay(server.http, files, refuse=True) as proxy:
        done, events = run_it(run_cli, tmp_path, files, proxy.address, "--no-report")
        assert SECRET.encode() in b"".join(proxy.heads)
    (first, *_) = [e for e in events if e["event"] == "failure"]
    assert "does not know you" in first["message"]
    assert "Bearer ${TEST_TOKEN}" in first["message"]
    assert first["reason"] == "access_denied"
    assert done.returncode == 3
    assert holding(tmp_path, SECRET) == []
    assert SECRET not in done.stdout + done.stderr
