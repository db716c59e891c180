"""Which process of this machine is the Triton server behind an address."""

from __future__ import annotations

import socket

from harness.system.network import is_loopback, split_address

TRITON = "tritonserver"


def server_pid(address: str) -> int | None:
    """Pid of the tritonserver of this machine that listens at `host:port`.

    None where it is on another machine, belongs to another user, or something else listens there
    (a proxy, the port of a container).
    """
    import psutil

    host, port = split_address(address)
    if not is_here(host):
        return None
    try:
        for found in psutil.net_connections("tcp"):
            if found.pid is None or found.status != psutil.CONN_LISTEN:
                continue
            if tuple(found.laddr)[1:] != (port,):
                continue
            if psutil.Process(found.pid).name() == TRITON:
                return found.pid
    except psutil.Error:
        pass
    return None


def is_here(host: str) -> bool:
    """Whether a host's name or address means this machine."""
    import psutil

    try:
        wanted = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    if any(map(is_loopback, wanted)):
        return True
    ours = {a.address for entries in psutil.net_if_addrs().values() for a in entries}
    return bool(wanted & ours)
