"""The address of a running Triton, as a command line says it."""

from __future__ import annotations

import pytest

from harness.errors import SetupError, UsageError
from harness.triton.client.url import is_url, parse_url


@pytest.mark.parametrize(
    ("text", "protocol", "address", "tls", "metrics"),
    [
        ("http://gpu-7:8000", "http", "gpu-7:8000", False, "gpu-7:8002"),
        ("http://gpu-7", "http", "gpu-7:8000", False, "gpu-7:8002"),
        ("GRPC://gpu-7/", "grpc", "gpu-7:8001", False, "gpu-7:8002"),
        ("localhost:8000", "http", "localhost:8000", False, "localhost:8002"),
        ("localhost:8001", "grpc", "localhost:8001", False, "localhost:8002"),
        ("localhost:9000", "http", "localhost:9000", False, None),
        ("[::1]:8001", "grpc", "[::1]:8001", False, "[::1]:8002"),
        ("https://infer.example.com", "http", "infer.example.com:443", True, None),
        ("grpcs://infer.example.com:8001", "grpc", "infer.example.com:8001", True,
         "infer.example.com:8002"),
    ],
)  # fmt: skip
def test_what_a_url_says(
    text: str, protocol: str, address: str, tls: bool, metrics: str | None
) -> None:
    found = parse_url(text)
    assert (found.protocol, found.address, found.metrics) == (protocol, address, metrics)
    assert (found.access.tls is not None) == tls
    assert parse_url(found.text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://a:1", "'ftp' is no protocol"),
        ("http://", "names no host"),
        ("http://a:99999", "Port out of range"),
        ("http://a:8000/v2/models", "nothing may stand behind the port"),
        ("http://me:secret@a:8000", "can't hold a password"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)


def test_headers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONT_TOKEN", "s3cret-token")
    found = parse_url("http://a", ["Authorization: Bearer ${FRONT_TOKEN}"])
    assert found.access.headers == (("Authorization", "Bearer s3cret-token"),)
    assert "s3cret" not in repr(found)
    with pytest.raises(SetupError, match="FRONT_NONE"):
        parse_url("http://a", ["Authorization: ${FRONT_NONE}"])
    with pytest.raises(UsageError, match="NAME: VALUE"):
        parse_url("http://a", ["Authorization"])


def test_certificates_go_with_tls() -> None:
    tls = parse_url("https://a", ca="ca.pem").access.tls
    assert tls is not None
    assert tls.ca == "ca.pem"
    with pytest.raises(UsageError, match="go with https"):
        parse_url("http://a", ca="ca.pem")
    with pytest.raises(UsageError, match="go with https"):
        parse_url("grpc://a", verify=False)


@pytest.mark.parametrize(
    ("text", "url"),
    [("http://a", True), ("a:8000", True), ("[::1]:1", True), ("models/a.onnx", False),
     ("module:function", False), ("./a:1/x", False), ("scenario.yaml", False)],
)  # fmt: skip
def test_a_url_is_told_from_files_and_modules(text: str, url: bool) -> None:
    assert is_url(text) == url
