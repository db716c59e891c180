"""A container engine of the least kind: its "containers" are the embedded tritonserver.

`Engine` runs in the test's process, as dockerd does beside the harness; this file run as a program
is the client, put on PATH as `docker`. Options are parsed strictly, by what `docker run --help`
documents, so a command line that the real client would refuse is refused here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

SOCKET = "TEST_DOCKER_SOCKET"
HELP = "Run 'docker run --help' for more information"
FLAGS = ("--rm", "--init", "--privileged", "--read-only")
LISTS = ("--env", "--label", "--mount", "--publish", "--ulimit", "--volume")
VALUES = ("--gpus", "--ipc", "--memory", "--name", "--network", "--pid", "--pull", "--runtime",
          "--shm-size", "--user", "--workdir")  # fmt: skip


class Refused(Exception):
    """What the engine answers with an error."""


def run_parser() -> argparse.ArgumentParser:
    """`docker run [OPTIONS] IMAGE [COMMAND] [ARG...]`."""
    parser = argparse.ArgumentParser("docker run", allow_abbrev=False, exit_on_error=False)
    for name in FLAGS:
        parser.add_argument(name, action="store_true")
    for name in LISTS:
        parser.add_argument(name, action="append", default=[])
    for name in VALUES:
        parser.add_argument(name)
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def parse_mount(text: str) -> tuple[Path, Path, bool]:
    """Source, target and whether it is read-only, of `--mount`."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    assert fields.pop("type") == "bind", text
    read_only = "readonly" in fields
    fields.pop("readonly", None)
    source, target = Path(fields.pop("source")), Path(fields.pop("target"))
    assert not fields, f"unknown fields: {fields}"
    assert source.exists() and source.is_absolute() and target.is_absolute(), text
    return source, target, read_only


class Engine:
    """A context manager. `runs` are the parsed command lines, `alive` the containers by name."""

    def __init__(self, folder: Path, binary: Path, options: list[str], env: dict[str, str]) -> None:
        self.runs: list[argparse.Namespace] = []
        self.environments: list[dict[str, str]] = []
        self.alive: dict[str, subprocess.Popen[bytes]] = {}
        self._binary, self._options, self._env = binary, options, env
        self.path = folder / "docker.sock"
        client = folder / "bin" / "docker"
        client.parent.mkdir()
        client.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} "$@"\n')
        client.chmod(0o755)
        self.environ = {SOCKET: str(self.path), "PATH": f"{client.parent}:{os.environ['PATH']}"}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            data, fds, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            request = json.loads(data)
            try:
                code, text = getattr(self, f"_{request['do']}")(request, fds, connection)
            except Refused as error:
                code, text = 125, f"docker: Error response from daemon: {error}\n\n{HELP}\n"
            except AssertionError as error:
                code, text = 125, f"docker: {error}\n"
            finally:
                for fd in fds:
                    os.close(fd)
            with contextlib.suppress(OSError):  # the client was killed
                connection.sendall(json.dumps([code, text]).encode())
                connection.shutdown(socket.SHUT_RDWR)  # wakes `_relay` too

    def _run(self, request: dict[str, Any], fds: list[int], connection: socket.socket) -> Any:
        parsed = run_parser().parse_args(request["args"])
        if "missing" in parsed.image:
            raise Refused(f"pull access denied for {parsed.image}, repository does not exist")
        assert parsed.name not in self.alive, "that name is taken"
        mounts = [parse_mount(mount) for mount in parsed.mount]
        program, *arguments = parsed.command
        assert program == "tritonserver"
        (repository,) = (a.partition("=")[2] for a in arguments if "--model-repository=" in a)
        assert Path(repository) in [target for _, target, _ in mounts], "it is not mounted"
        if parsed.network != "host":
            published = {text.split(":")[2] for text in parsed.publish}
            asked = {a.partition("=")[2] for a in arguments if "-port=" in a}
            assert asked <= published, "a port is not published"
        given = {name: request["env"][name] for name in parsed.env}
        self.runs.append(parsed)
        self.environments.append(given)
        process = subprocess.Popen(
            [self._binary, *self._options, *arguments], env={**self._env, **given},
            stdin=subprocess.DEVNULL, stdout=fds[0], stderr=fds[1], start_new_session=True,
        )  # fmt: skip
        self.alive[parsed.name] = process
        threading.Thread(target=self._relay, args=(connection, process), daemon=True).start()
        code = process.wait()
        if parsed.rm:
            self.alive.pop(parsed.name, None)
        return (code if code >= 0 else 128 - code), ""

    def _relay(self, connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """Signals come from a client that lives; one that is gone changes nothing."""
        with contextlib.suppress(OSError):
            while data := connection.recv(1):
                process.send_signal(data[0])

    def _inspect(self, request: dict[str, Any], *_: Any) -> Any:
        form, template, name = request["args"]
        assert (form, template) == ("--format", "{{.State.Pid}}")
        process = self.alive.get(name)
        return (0, f"{process.pid}\n") if process else (1, f"Error: No such object: {name}\n")

    def _rm(self, request: dict[str, Any], *_: Any) -> Any:
        *options, name = request["args"]
        assert set(options) <= {"--force", "--volumes"}
        if name not in self.alive:
            return 1, f"Error response from daemon: No such container: {name}\n"
        process = self.alive.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 0, name

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for process in list(self.alive.values()):
            os.killpg(process.pid, signal.SIGKILL)


def client() -> int:
    """`docker COMMAND …`: ask the engine, pass on signals and output."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.environ[SOCKET])
    command, *args = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: connection.send(bytes([n])))
    request = json.dumps({"do": command, "args": args, "env": dict(os.environ)}).encode()
    socket.send_fds(connection, [request], [1, 2])
    data = b""
    while part := connection.recv(1 << 16):
        data += part
    code, text = json.loads(data)
    print(text, end="", file=sys.stderr if code else sys.stdout)
    return int(code)


if __name__ == "__main__":
    sys.exit(client())
