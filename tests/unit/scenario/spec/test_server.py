import pytest
from pydantic import ValidationError

from harness.errors import WorkerDiedError
from harness.scenario.spec.server import Server, TlsSettings, access_of, tls_of
from harness.system import credentials
from harness.system.child import Child


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"http_port": 1, "grpc_port": 2, "metrics_port": 1}, "metrics_port: port 1 is there"),
        ({"url": "h:1", "docker": {"image": "i"}}, "found docker and url"),
        ({"url": "h:1", "args": "--x"}, "args: goes with a server that the harness starts"),
        ({"tls": {}}, "tls: goes with the `url`"),
        ({"load": True}, "load: goes with the `url`"),
        ({"backend_directory": "d"}, "backend_directory: goes with `binary`"),
        ({"docker": {"image": "i"}, "trace": True}, "trace: goes with the embedded server"),
        ({"binary": "b", "trace": True}, "trace: goes with the embedded server"),
        ({"url": "h:1", "trace": True}, "trace: goes with a server that the harness starts"),
        ({"url": "h:1", "headers": {"a b": "c"}}, "headers.a b: no header has such a name"),
        ({"url": "h:1", "headers": {"Authorization": "me"}}, "environment variable"),
        ({"url": "h:1", "headers": {"X-Key": "abc"}}, "environment variable"),
        ({"url": "h:1", "headers": {"X-Mine": "Bearer abc${X}"}}, "environment variable"),
        ({"url": "h:1", "headers": {"Authorization": "Bearer abc${X}"}}, "environment variable"),
        ({"url": "h:1", "headers": {"Host": "me"}}, "is set by the client itself"),
        ({"url": "h:1", "headers": {"a": "b\n"}}, "one line of printable"),
        ({"docker": {"image": "i", "mounts": "a"}}, r"HOST:CONTAINER\[:ro\], found 'a'"),
        ({"docker": {"image": "i", "args": ["-p80:80"]}}, "-p80:80 is set by the harness"),
        ({"docker": {"image": "i", "args": ["-itP"]}}, "-itP is set by the harness"),
        ({"docker": {"image": "i", "args": "--gpus=1"}}, "--gpus is set by the harness"),
        ({"url": "h:1", "telemetry": {"url": "h:2", "token": "secret"}}, r"must be \$\{NAME\}"),
    ],
)
def test_what_does_not_go_together(keys, message):
    with pytest.raises(ValidationError, match=message):
        Server.model_validate(keys)


def test_tls_needs_both_halves_of_a_certificate():
    with pytest.raises(ValidationError, match="key: needs `cert`"):
        TlsSettings(key="k.pem")
    with pytest.raises(ValidationError, match="is not used with `verify: false`"):
        TlsSettings(ca="ca.pem", verify=False)


def test_containers_use_tritons_own_backend_unless_told_otherwise():
    docker = {"docker": {"image": "i"}}
    assert Server.model_validate(docker).uses_native
    assert not Server.model_validate({**docker, "native": False}).uses_native
    assert not Server.model_validate({}).uses_native


def test_variables_are_put_into_headers_when_they_are_used(monkeypatch):
    monkeypatch.setenv("KEY", "123")
    server = Server.model_validate({"url": "h:1", "headers": {"X-Api-Key": "a ${KEY}"}})
    assert access_of(server).headers == (("X-Api-Key", "a 123"),)
    assert tls_of(server.tls) is None
    tls = tls_of(TlsSettings(ca="ca.pem"))
    assert tls is not None
    assert (tls.ca, tls.verify) == ("ca.pem", True)


def test_who_reads_a_scenario_redacts_what_others_print(monkeypatch, tmp_path):
    monkeypatch.setattr(credentials, "_placeholders", {})
    values = {"A_TOKEN": "s3cr3t-of-a-header", "B_TOKEN": "s3cr3t-of-a-source"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    Server(
        url="h:1", headers={"Authorization": "Bearer ${A_TOKEN}"},
        telemetry={"url": "h:2", "token": "${B_TOKEN}"},
    )  # fmt: skip
    (tmp_path / "printing.py").write_text(
        f"import sys; sys.exit('sent: ' + {' '.join(values.values())!r})"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    child = Child("the worker", "printing", log=tmp_path / "log", env=env)
    with child, pytest.raises(WorkerDiedError) as caught:
        child.line(60)
    assert caught.value.message.endswith("its last words: sent: ${A_TOKEN} ${B_TOKEN}")
