"""A proxy before a gRPC server that answers in HTTP itself: one status, in HTTP/1 or HTTP/2."""

from __future__ import annotations

import socket

from support.hostile_triton import Script

from harness.load.wire import http2

PAGE = b"<html><h1>no</h1></html>"


def _read(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (more := sock.recv(size - len(found))):
            raise EOFError
        found += more
    return found


def http1(status: int) -> Script:
    """What each connection of a `HostileTriton` gets: a page in HTTP/1, and its end."""

    def talk(sock: socket.socket) -> None:
        sock.recv(1 << 16)
        head = f"HTTP/1.1 {status} No\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}"
        sock.sendall(head.encode() + b"\r\nConnection: close\r\n\r\n" + PAGE)

    return talk


def http2_page(status: int) -> Script:
    """The same in HTTP/2, for every request of the connection."""
    fields = http2.literal(b":status", str(status).encode())
    fields += http2.literal(b"content-type", b"text/html")

    def talk(sock: socket.socket) -> None:
        _read(sock, len(http2.PREFACE))
        sock.sendall(http2.frame(http2.SETTINGS, 0, 0, b""))
        while True:
            word, flags, stream = http2.FRAME.unpack(_read(sock, http2.HEAD))
            payload, kind = _read(sock, word >> 8), word & 0xFF
            if kind in (http2.SETTINGS, http2.PING) and not flags & http2.ACK:
                body = payload if kind == http2.PING else b""
                sock.sendall(http2.frame(kind, http2.ACK, 0, body))
            if kind == http2.HEADERS:
                head = http2.frame(http2.HEADERS, http2.END_HEADERS, stream, fields)
                sock.sendall(head + http2.frame(http2.DATA, http2.END_STREAM, stream, PAGE))

    return talk
