"""Placeholders: read late, and put back wherever a value would be written."""

import json

import pytest

from harness.errors import SetupError
from harness.results.rows import ArtifactRow
from harness.results.store import RunStore
from harness.system import credentials as secrets

VALUE = 'a "quoted" välue'


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(secrets, "_placeholders", {})


def test_expand(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "abcdefgh")
    monkeypatch.setenv("B", "b")
    assert secrets.expand("Bearer ${A_TOKEN}, ${B} and $C {D} ${}") == (
        "Bearer abcdefgh, b and $C {D} ${}"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "TOKEN, which is not set"), ("", "not set"), ("a\nb", "line break"),
     ("x\r\nHost: evil", "line break")],
)  # fmt: skip
def test_what_can_not_be_used(monkeypatch, value, words):
    monkeypatch.delenv("TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("TOKEN", value)
    with pytest.raises(SetupError, match=words):
        secrets.expand("${TOKEN}")


def test_redact(monkeypatch):
    monkeypatch.setenv("LONG", "secret-and-more")
    monkeypatch.setenv("PART", "secret")
    monkeypatch.setenv("SHORT", "event")
    assert secrets.redact("secret") == "secret"  # nobody has asked for it
    for name in ("LONG", "PART", "SHORT"):
        secrets.expand(f"${{{name}}}")
    assert secrets.redact("secret-and-more, secret, event") == "${LONG}, ${PART}, event"


def test_the_journal_holds_the_placeholder(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", VALUE)
    secrets.expand("${TOKEN}")
    with RunStore.create(tmp_path / "run", {"a": 1}) as store:
        details = {"more": [{"x": (VALUE, 1)}]}
        store.append(ArtifactRow("onnx", f"no {VALUE}!", 1, 1.0, False, details))
    text = (tmp_path / "run" / "journal.jsonl").read_text()
    line = json.loads(text)
    assert line["path"] == "no ${TOKEN}!"
    assert line["details"] == {"more": [{"x": ["${TOKEN}", 1]}]}
    assert "lue" not in text


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "cookie", "X-Auth-Token"])
def test_sensitive_headers(name):
    assert secrets.is_sensitive(name)
    assert not secrets.is_sensitive("X-Tenant")
