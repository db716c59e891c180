"""What each option of perf_analyzer becomes, in the scenario as it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.migrate.perf_analyzer import translate
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario
from harness.triton.client.settings import TritonSettings


def made(directory: Path, *argv: str) -> Scenario:
    """The scenario of a command line, with all the files that it may name there."""
    for name in ("ca", "cert", "key"):
        (directory / name).touch()
    (directory / "models").mkdir(exist_ok=True)
    draft = translate(["-m", "net", *argv], directory)
    assert draft.problems == []
    for name, text in draft.files.items():
        (directory / name).write_text(text)
    return load_text(draft.text(), "made.yaml", directory)


def triton(scenario: Scenario) -> TritonSettings:
    (backend,) = scenario.backends
    assert isinstance(backend, TritonSettings)
    return backend


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_defaults_are_perf_analyzers(here: Path) -> None:
    scenario = made(here)
    assert scenario.model.source.triton == "net"
    assert (triton(scenario).protocol, triton(scenario).server.url) == ("http", "localhost:8000")
    assert (scenario.load.concurrency, scenario.load.batch_sizes) == ((1,), (1,))
    assert triton(made(here, "-i", "gRPC")).server.url == "localhost:8001"


def test_the_model_its_shapes_and_memory(here: Path) -> None:
    scenario = made(here, "-x", "2", "-b", "8", "--shape", "a:3,224", "--shape=b:5",
                    "--shared-memory", "cuda", "--bls-composing-models", "x:3,y")  # fmt: skip
    backend = triton(scenario)
    assert (backend.version, backend.io) == (2, "cuda_shared_memory")
    assert backend.composing == ("x", "y")
    assert scenario.load.batch_sizes == (8,)
    assert scenario.model.dynamic == {"a_1": 3, "a_2": 224, "b_1": 5}


def test_a_repository_is_served(here: Path) -> None:
    backend = triton(made(here, "--service-kind=triton_c_api", "--model-repository", "models"))
    assert backend.server.url is None
    assert backend.server.repository == str(here / "models")


def test_tls_of_the_protocol_in_use(here: Path) -> None:
    grpc = ("-i", "grpc", "--ssl-grpc-use-ssl", "--ssl-grpc-root-certifications-file", "ca",
            "--ssl-grpc-private-key-file=key", "--ssl-grpc-certificate-chain-file=cert",
            "--ssl-https-verify-peer", "0")  # fmt: skip
    found = triton(made(here, *grpc)).server.tls
    assert found is not None
    assert (found.ca, found.cert, found.key, found.verify) == (
        *(str(here / name) for name in ("ca", "cert", "key")), True,
    )  # fmt: skip
    https = triton(made(here, "-u", "https://host:443", "--ssl-https-verify-host", "0",
                        "--ssl-https-ca-certificates-file", "ca")).server  # fmt: skip
    assert https.url == "host:443"
    assert https.tls is not None
    assert (https.tls.verify, https.tls.ca) == (False, None)


def test_a_secret_never_reaches_the_scenario(here: Path) -> None:
    argv = ["-m", "net", "-H", "Authorization: Bearer hush-hush-123", "-H", "X-Kind: test"]
    draft = translate(argv, here)
    assert "hush" not in draft.text()
    headers = triton(load_text(draft.text(), "m", here)).server.headers
    assert headers == {"Authorization": "${AUTHORIZATION}", "X-Kind": "test"}


def test_metrics(here: Path) -> None:
    assert triton(made(here, "--metrics-url=h:1/metrics")).server.metrics_url == "h:1/metrics"
    assert triton(made(here, "--collect-metrics", "-u", "h:1")).server.metrics_url == "h:8002"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-b", "x"], "expected a whole number"),
        (["-u", "host"], "expected host:port"),
        (["-u", "ftp://h:1"], "ftp address"),
        (["-i", "udp"], "one of http, grpc"),
        (["--service-kind", "openai"], "can't be called"),
        (["--service-kind", "triton_c_api"], "needs --model-repository"),
        (["--concurrency-range", "5:2"], "before its start"),
        (["--request-rate-range", "5:0"], "needs --latency-threshold"),
        (["--request-rate-range", "0"], "above 0"),
        (["--request-intervals", "nowhere"], "can't read 'nowhere'"),
        (["--percentile", "100"], "from 1 to 99"),
        (["--shape", "1,2"], "expected name:1,2,3"),
        (["-H", "nothing"], "expected Header:Value"),
        (["-s", "0"], "above 0"),
        (["-r", "2000"], "1000 rounds"),
    ],
)
def test_a_bad_value_is_said_with_its_place(here: Path, argv: list[str], says: str) -> None:
    draft = translate(["-m", "net", *argv], here)
    (problem,) = draft.problems
    assert says in problem.message
    assert (problem.file, problem.line) == ("command-line", 1)
    assert problem.column == len("perf_analyzer -m net ") + (
        1 if "=" in argv[0] else len(argv[0]) + 2
    )


def test_a_password_in_the_address_is_written_nowhere(here: Path) -> None:
    draft = translate(["-m", "net", "-u", "http://user:hunter2@host:8000"], here)
    assert "a password does not stand in a scenario" in draft.problems[0].message
    assert "hunter2" not in draft.text()
