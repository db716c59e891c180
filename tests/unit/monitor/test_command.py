"""`harness monitor` as it is called: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import watched_triton
from support.watched_triton import served

from harness.errors import ServerError, UsageError
from harness.monitor.command import command
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("command") / "repository"
    with served(watched_triton.write(repository)) as found:
        yield found


def run(*args: object) -> Result:
    return CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )


def test_once_is_one_interval(server: TritonServer) -> None:
    args = (server.http, "--interval", "100ms", "--metrics", server.metrics)
    assert "without a request: echo, quiet" in run(*args, "--once").output
    (line,) = run(*args, "--once", "--json").output.splitlines()
    found = json.loads(line)
    assert found["models"]["echo"]["requests"] == 0
    assert found["models"]["echo"]["pending"] == 0
    lines = run(*args, "--json", "--duration", "300ms", "--model", "echo").output.splitlines()
    assert [list(json.loads(line)["models"]) for line in lines] == [["echo"]] * 3


def test_a_trace_is_of_one_model(server: TritonServer, tmp_path: Path) -> None:
    path = tmp_path / "t"
    args = (f"grpc://{server.grpc}", "--interval", "50ms", "--once", "--record", path)
    with pytest.raises(UsageError, match="of one model; there is echo, quiet"):
        run(*args)
    assert not path.exists()
    assert "0 requests" in run(*args, "--model", "echo").output
    assert "'echo'" in path.read_text()


def test_nobody_there_at_the_start_is_an_error() -> None:
    with pytest.raises(ServerError, match="can't be reached"):
        run("http://127.0.0.1:1", "--once")


def test_the_wrong_protocol_is_an_error_that_says_so(server: TritonServer) -> None:
    for url in (f"http://{server.grpc}", f"grpc://{server.http}"):
        with pytest.raises(ServerError, match=r"Triton at 127\.0\.0\.1"):
            run(url, "--once")
