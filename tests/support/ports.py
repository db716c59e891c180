"""A port for a server that is told its port, and listens a while later."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """One of loopback's that is free, and that the kernel gives to nobody meanwhile: it lies below
    those from which connections and listeners that name none have theirs.
    """
    lowest = int(_RANGE.read_text().split()[0])
    while True:
        port = random.randrange(max(1024, lowest - 16384), lowest)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
