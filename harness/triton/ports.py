"""Ports for a server on this machine: free ones, and who has the one that was asked for."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping, Sequence

from harness.errors import ServerError

HOST = "127.0.0.1"
SERVICES = ("http", "grpc", "metrics")
_FLAG = re.compile(r"^--(http|grpc|metrics)-port(?:=(\d+))?$")


def choose(asked: Mapping[str, int]) -> dict[str, int]:
    """A port for each of `SERVICES`: the one asked for, else a free one."""
    with contextlib.ExitStack() as stack:
        free = {}
        for service in SERVICES:
            listener = stack.enter_context(socket.socket())
            listener.bind((HOST, 0))
            free[service] = listener.getsockname()[1]
    return {**free, **asked}


def asked_in(args: Sequence[str]) -> dict[str, int]:
    """The ports that tritonserver arguments set, as `--http-port=8000` or `--http-port 8000`."""
    found = {}
    for index, argument in enumerate(args):
        match = _FLAG.match(argument)
        if match is None:
            continue
        value = match[2] or (args[index + 1] if index + 1 < len(args) else "")
        if value.isdigit():
            found[match[1]] = int(value)
    return found


def check_free(asked: Mapping[str, int]) -> None:
    """Raise ServerError when a port that was asked for is in use, saying by whom."""
    for service, port in asked.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise in_use(service, port, error) from error


def in_use(service: str, port: int, error: OSError | None = None) -> ServerError:
    """The error for a port that can't be had."""
    fix = "choose another port, or leave it out: a free one is then found"
    if isinstance(error, PermissionError):
        return ServerError(f"port {port} ({service}) needs root", fix=fix)
    return ServerError(f"port {port} ({service}) is in use{_by(port)}", fix=fix)


def _by(port: int) -> str:
    """` by NAME (pid N)`, as far as this user may see it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr[1] == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
