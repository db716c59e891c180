"""How a server is written into a scenario, and repositories that have nothing to offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.init.triton import Written, examine_repository
from harness.triton.client.url import parse_url


def test_a_server_is_written_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRONT_TOKEN", "s3cret-token")
    headers = ["Authorization: Bearer ${FRONT_TOKEN}"]
    url = parse_url("https://a", headers)
    assert Written(headers).server(url) == {
        "url": "a:443", "tls": {}, "headers": {"Authorization": "Bearer ${FRONT_TOKEN}"},
    }  # fmt: skip
    assert Written(ca="ca.pem").server(url)["tls"] == {"ca": "ca.pem"}
    assert Written(verify=False).server(url)["tls"] == {"verify": False}
    assert Written().server(parse_url("grpc://a")) == {"url": "a:8001"}


def test_a_repository_without_a_model_that_runs_here(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no model that the embedded server can run"):
        examine_repository(tmp_path, "r", "", lambda *_: "")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.pbtxt").write_text('platform: "tensorrt_plan"')
    with pytest.raises(UsageError, match="net: the embedded server has no backend for tensorrt"):
        examine_repository(tmp_path, "r", "", lambda *_: "")
