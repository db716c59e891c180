"""Ports for a server on this machine: free ones, and who has the one that was asked for."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence

from harness.errors import PortInUseError, ServerError
from harness.system.network import is_loopback

HOST = "127.0.0.1"
SERVICES = ("http", "grpc", "metrics")


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
    values = {service: option(args, f"--{service}-port") for service in SERVICES}
    return {service: int(value) for service, value in values.items() if value.isdigit()}


def switched_off(args: Sequence[str]) -> set[str]:
    """The services that the arguments turn off, as `--allow-metrics=false` does."""
    return {s for s in SERVICES if option(args, f"--allow-{s}").lower() in ("false", "0", "off")}


def option(args: Sequence[str], name: str) -> str:
    """The last value that the arguments give an option; empty if they don't."""
    found = ""
    for index, argument in enumerate(args):
        key, equals, value = argument.partition("=")
        if key == name:
            found = value if equals else "".join(args[index + 1 : index + 2])
    return found


def listeners(pid: int) -> set[tuple[str, int]]:
    """The addresses on which a process of this user listens by TCP: IP and port."""
    import psutil

    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {
        (c.laddr[0], c.laddr[1]) for c in connections if c.laddr and c.status == psutil.CONN_LISTEN
    }


def check_loopback(pid: int) -> None:
    """Raise ServerError where a server listens to others than this machine."""
    found = sorted(f"{ip}:{port}" for ip, port in listeners(pid) if not is_loopback(ip))
    if found:
        raise ServerError(
            f"the Triton server listens on {', '.join(found)}, for other machines, too",
            fix="leave out of server.args and env what opens a port",
        )


def check_free(asked: Mapping[str, int]) -> None:
    """Raise PortInUseError when a port that was asked for is in use, saying by whom."""
    for service, port in asked.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise in_use(service, port, error) from error


def in_use(service: str, port: int, error: OSError | None = None) -> PortInUseError:
    """The error for a port that can't be had."""
    fix = "choose another port, or leave it out: a free one is then found"
    if isinstance(error, PermissionError):
        return PortInUseError(f"port {port} ({service}) needs root", fix=fix)
    return PortInUseError(f"port {port} ({service}) is in use{_by(port)}", fix=fix)


def _by(port: int) -> str:
    """` by NAME (pid N)`, as far as this user may see it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr[1] == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
