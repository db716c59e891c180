"""What `validate` says of servers: a note where a run would fail now, and then not "fine"."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.tiny_onnx import tiny_onnx

from harness.validate.command import command

NATIVE = "the embedded server has no backend for onnxruntime; use a full server image"


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def validate(folder: Path, source: str, backend: str) -> list[str]:
    """The lines that `harness validate` prints, without the last, on what was not called."""
    tiny_onnx(folder / "net.onnx")
    path = folder / "s.yaml"
    path.write_text(
        f"scenario: s\nmodel: {{name: net, source: {source}}}\nbackends: [{backend}]\n"
        "load: {batch_sizes: 1, concurrency: 1}\n"
    )
    result = CliRunner().invoke(command, [str(path)], standalone_mode=False)
    assert result.return_value == 0, result.exception
    *lines, last = result.output.replace(f"{path}: ", "").splitlines()
    assert "the model was not called" in last or "no request was sent" in last
    return [line for line in lines if "the batch is axis" not in line]


def served(server: str) -> str:
    return f"{{kind: triton, protocol: http, serve: onnxruntime, server: {{{server}}}}}"


def elsewhere(protocol: str, server: str) -> str:
    return f"{{kind: triton, protocol: {protocol}, server: {{{server}}}}}"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nobody_at_a_url(tmp_path: Path, closed: int, protocol: str) -> None:
    head, note = validate(
        tmp_path, "{triton: net}", elsewhere(protocol, f'url: "127.0.0.1:{closed}"')
    )
    assert head.startswith("no mistake, but here and now a run would lack something: 1 point")
    assert note.startswith(f"note: not at this moment: Triton at 127.0.0.1:{closed} can't be ")


def test_nobody_at_its_telemetry(
    tmp_path: Path, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_A_TEST", "abc")
    where = f"127.0.0.1:{closed}"
    source = f'url: "{where}", telemetry: {{url: "{where}", token: "${{TOKEN_OF_A_TEST}}"}}'
    _, *notes = validate(tmp_path, "{triton: net}", elsewhere("http", source))
    asked = [f"the telemetry at {where}", f"Triton at {where}"]
    assert [note.partition(" can't be reached")[0] for note in notes] == [
        f"note: not at this moment: {what}" for what in asked
    ]


@pytest.mark.triton
@pytest.mark.parametrize("key", ["http_port: {}", "grpc_port: {}", "args: ['--metrics-port={}']"])
def test_a_port_that_is_taken(tmp_path: Path, listening: int, closed: int, key: str) -> None:
    head, note = validate(tmp_path, "{onnx: net.onnx}", served(key.format(listening)))
    assert "here and now" in head
    assert f"note: not at this moment: port {listening} " in note and "is in use" in note
    (head,) = validate(tmp_path, "{onnx: net.onnx}", served(key.format(closed)))
    assert head.startswith("fine: 1 point")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("", "can't be run: [Errno 2] No such file"),
        ("echo 'Cannot connect to the daemon' >&2; exit 1", "starts no container: Cannot connect"),
        ("exit 0", ""),
    ],
)
def test_docker_that_is_not_here(tmp_path: Path, program: str, words: str) -> None:
    docker = tmp_path / "docker"
    if program:
        docker.write_text(f"#!/bin/sh\n{program}\n")
        docker.chmod(0o755)
    backend = served(f'docker: {{image: "triton:1", command: {docker}}}')
    head, *notes = validate(tmp_path, "{onnx: net.onnx}", backend)
    assert head.startswith("fine") == (not words)
    assert len(notes) == bool(words)
    assert all(note.startswith(f"note: not on this machine: {docker} {words}") for note in notes)


@pytest.mark.triton
def test_a_backend_that_the_embedded_server_has_not(tmp_path: Path) -> None:
    head, note = validate(tmp_path, "{onnx: net.onnx}", served("native: true"))
    assert "here and now" in head and note == f"note: not on this machine: {NATIVE}"
    (head,) = validate(tmp_path, "{onnx: net.onnx}", served("native: false"))
    assert head.startswith("fine")


@pytest.mark.triton
@pytest.mark.parametrize(
    ("config", "files", "notes"),
    [
        ('platform: "onnxruntime_onnx"', "model.onnx", 1),
        ('backend: "tensorrt"', "model.plan", 1),
        ('backend: "python"', "model.py", 0),
        ("", "model.py", 0),  # Triton knows it by the file
    ],
)
def test_a_model_of_a_repository_for_another_server(
    tmp_path: Path, config: str, files: str, notes: int
) -> None:
    (version := tmp_path / "models" / "net" / "1").mkdir(parents=True)
    (version / files).touch()
    (version.parent / "config.pbtxt").write_text(config)
    head, *found = validate(tmp_path, "{triton: net}", elsewhere("http", "repository: models"))
    assert head.startswith("fine") == (not notes)
    assert len(found) == notes
    assert all("not on this machine: net: the embedded server has no" in note for note in found)
