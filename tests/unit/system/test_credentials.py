"""Placeholders: read late, and put back wherever a value would be written."""

import base64
import html
import json
import urllib.parse

import pytest

from harness.errors import SetupError
from harness.load.threads import classify
from harness.load.wire.http1 import ProtocolError, parse_head
from harness.load.wire.recorder import Recorder
from harness.results.events import Note
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


AWKWARD = "pass/wörd+\"'<&>\\ 😀=%7"


@pytest.mark.parametrize(
    "form",
    [
        str,
        json.dumps,
        lambda v: json.dumps(v, ensure_ascii=False),
        repr,
        ascii,
        lambda v: repr(v.encode()),
        lambda v: json.dumps(json.dumps(v)),
        html.escape,
        urllib.parse.quote,
        urllib.parse.quote_plus,
        lambda v: urllib.parse.quote(v, safe=""),
        lambda v: urllib.parse.quote(v, safe="").replace("%C3", "%c3"),
        lambda v: json.dumps(v).replace("/", "\\/"),
    ],
)
@pytest.mark.parametrize("value", [VALUE, AWKWARD, "plain-token-0123456789"])
def test_every_spelling_of_a_value_is_found(monkeypatch, form, value):
    monkeypatch.setenv("TOKEN", value)
    secrets.expand("${TOKEN}")
    expected = f"a {form('X')} b".replace("X", "${TOKEN}")
    assert secrets.redact(f"a {form(value)} b") == expected


@pytest.mark.parametrize("around", ["{}", "Bearer {}", "user:{}", "me:{}:x", "{}:password"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_in_base64_is_found(monkeypatch, around, encode):
    value = "s3cret?>~and+more"
    monkeypatch.setenv("TOKEN", value)
    secrets.expand("${TOKEN}")
    before = encode(around.format(value).encode()).decode()
    after = secrets.redact(f"Basic {before}")
    assert "${TOKEN}" in after
    left = after.replace("${TOKEN}", "").removeprefix("Basic ")
    assert len(left) <= len(before) - len(value) * 4 // 3 + 2  # only what is around it


@pytest.mark.parametrize("where", range(440, 500, 7))
def test_a_value_at_the_cut_is_not_cut_in_half(monkeypatch, where):
    token = "tok-" + "0123456789abcdef" * 2
    monkeypatch.setenv("TOKEN", token)
    secrets.expand("${TOKEN}")
    text = "x" * where + token + "y" * 200
    recorder = Recorder(1)
    recorder.bad(None, 1, 2, 0, 1, text)
    (written,) = recorder.samples(10**9).messages
    for cut in (classify(RuntimeError(text))[1], written, secrets.cut(text, 480)):
        assert "tok-" not in cut
        assert len(cut) <= 500
    with pytest.raises(ProtocolError) as raised:
        parse_head(b"x" * 50 + token.encode())
    assert "tok-" not in str(raised.value)


def test_a_helper_process_is_told_what_to_redact(monkeypatch):
    monkeypatch.setenv("TOKEN", "abcdefgh")
    secrets.expand("${TOKEN}")
    told = secrets.known()
    monkeypatch.setattr(secrets, "_placeholders", {})
    secrets.learn(told)
    assert secrets.redact("abcdefgh") == "${TOKEN}"


def test_what_observers_hear_and_the_manifest_hold_the_placeholder(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", VALUE)
    secrets.expand("${TOKEN}")
    assert Note(f"no {VALUE}").outward() == Note("no ${TOKEN}")
    RunStore.create(tmp_path / "run", {"a": [VALUE]}).close()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest == {"a": ["${TOKEN}"]}


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        ("Bearer ${X}", True), ("${USER}:${PASS}", True), ("a=${X}; b=${Y}", True),
        ("Basic ${X}", True), ("Bearer abc${X}", False), ("abc", False), ("${X}abc", False),
        ("Bearer abc ${X}", False), ("a=${X}; b=1", False), ("", False),
    ],
)  # fmt: skip
def test_beside_variables_nothing_that_may_be_secret(value, hidden):
    assert secrets.is_hidden(value) == hidden


def test_a_scheme_tells_that_any_header_is_secret():
    assert secrets.is_sensitive("X-Mine", "Bearer abc")
    assert not secrets.is_sensitive("X-Mine", "bearers of news")


@pytest.mark.parametrize(
    "name",
    [
        "X-Key",
        "X-Auth",
        "triton-grpc-protocol-infer-key",
        "Authorization",
        "X-Api-Key",
        "cookie",
        "X-Auth-Token",
    ],
)
def test_sensitive_headers(name):
    assert secrets.is_sensitive(name)
    assert not secrets.is_sensitive("X-Tenant")
