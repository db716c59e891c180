"""A server on loopback that does what no Triton does: over HTTP and gRPC, one way at a time."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

from support.certificates import Certificates
from support.http2_peer import STATUS, TRAILERS, WHOLE

from harness.load.wire import http2

Script = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG_S = 30.0


class HostileTriton:
    """A context manager; `address` is where it listens, `script` what each connection gets."""

    def __init__(self, script: Script, files: Certificates | None = None) -> None:
        self._script, self._context = script, None
        if files is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(files.cert, files.key)
            self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), sock:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self._script(sock)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
                sock.close()


# ------------------------------------------------------------------------------------------- HTTP


def asked(sock: socket.socket) -> None:
    """Read until a request's head has come."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(1 << 16)
        if not part:
            raise EOFError
        data += part


def silence(sock: socket.socket) -> None:
    """Never answer."""
    asked(sock)
    time.sleep(LONG_S)


def hang_up(sock: socket.socket) -> None:
    """Reset the connection as soon as it is there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answers(*parts: bytes, then: float = LONG_S) -> Script:
    """These bytes to each request; then nothing for `then` seconds, and the end."""

    def script(sock: socket.socket) -> None:
        asked(sock)
        for part in parts:
            sock.sendall(part)
        time.sleep(then)

    return script


def endless(begin: bytes, again: bytes) -> Script:
    """A beginning, and then the same for ever."""

    def script(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(begin)
        for _ in itertools.repeat(None):
            sock.sendall(again)

    return script


def slowly(data: bytes, pause: float = 1.0) -> Script:
    """A byte of it, and then another after so many seconds."""

    def script(sock: socket.socket) -> None:
        asked(sock)
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(pause)

    return script


def half_closed(sock: socket.socket) -> None:
    """The sending half of the connection ends after a part of the answer."""
    asked(sock)
    sock.sendall(OK + b"Content-Length: 100\r\n\r\nhalf")
    if isinstance(sock, ssl.SSLSocket):
        sock = socket.socket(fileno=sock.detach())
    sock.shutdown(socket.SHUT_WR)
    time.sleep(LONG_S)


ZEROS = bytes(1 << 20)
HTTP: dict[str, Script] = {
    "garbage": answers(os.urandom(4096)),
    "never": silence,
    "reset": hang_up,
    "a byte a second": slowly(OK + b"Content-Length: 2\r\n\r\n{}"),
    "four bytes a second": slowly(OK + b"X: " + b"y" * 999, 0.25),
    "huge, with a length": endless(OK + b"Content-Length: 1099511627776\r\n\r\n", ZEROS),
    "huge, without one": endless(OK + b"\r\n", ZEROS),
    "huge, in chunks": endless(CHUNKED, b"100000\r\n" + ZEROS + b"\r\n"),
    "shorter than its length": answers(OK + b"Content-Length: 99\r\n\r\nfew", then=0),
    "negative length": answers(OK + b"Content-Length: -7\r\n\r\nhello"),
    "length of 5,000 digits": answers(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "status of 5,000 digits": answers(b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\n\r\n"),
    "headers without end": endless(OK, b"X-More: " + b"y" * 4096 + b"\r\n"),
    "interim answers without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4096),
    "redirect": answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                        b"Content-Length: 0\r\n\r\n"),
    "compressed": answers(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\0\0"),
    "negative chunk": answers(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk of 5,000 digits": answers(CHUNKED + b"9" * 5000 + b"\r\n"),
    "chunk longer than its size": answers(CHUNKED + b"2\r\nhello\r\n0\r\n\r\n"),
    "chunk size without end": endless(CHUNKED, b"0" * 4096),
    "trailer without end": endless(CHUNKED + b"0\r\n", b"y" * 4096),
    "half closed": half_closed,
}  # fmt: skip
"""What a server does → how. None of it is an answer to an inference."""


def _json(body: bytes) -> Script:
    head = OK + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    def script(sock: socket.socket) -> None:
        while True:
            asked(sock)
            sock.sendall(head + body)

    return script


JSON: dict[str, Script] = {
    "no JSON": _json(b"<html>"),
    "NaN": _json(b'{"name": NaN, "inputs": NaN, "versions": NaN}'),
    "a list": _json(b"[1, 2]"),
    "a number": _json(b"7"),
    "wrong types": _json(b'{"name": 5, "inputs": {"a": []}, "outputs": "x", "versions": 3}'),
    "not UTF-8": _json(b'{"name": "\xff\xfe"}'),
    "nested deeply": _json(b"[" * 100_000),
}
"""Answers of the right form whose content is none: what a client that reads them must survive."""


# ------------------------------------------------------------------------------------------- gRPC


def greeted(sock: socket.socket, *, settings: bool = True) -> None:
    """Take the client's preface and, unless told otherwise, send settings."""
    data = b""
    while len(data) < len(http2.PREFACE):
        part = sock.recv(1 << 16)
        if not part:
            raise EOFError
        data += part
    if settings:
        sock.sendall(http2.settings({}))


def frames(*parts: bytes, settings: bool = True, forever: bool = False) -> Script:
    """These bytes once the client's first request may be there, once or for ever."""

    def script(sock: socket.socket) -> None:
        greeted(sock, settings=settings)
        time.sleep(0.2)
        for part in itertools.cycle(parts) if forever else parts:
            sock.sendall(part)
        time.sleep(LONG_S)

    return script


def _slow_greeting(sock: socket.socket) -> None:
    greeted(sock, settings=False)
    for byte in http2.settings({1: 1, 3: 5}):
        sock.sendall(bytes([byte]))
        time.sleep(1.0)


def _answer(payload: bytes, trailers: bytes = TRAILERS) -> bytes:
    return (
        http2.frame(http2.HEADERS, http2.END_HEADERS, 1, STATUS)
        + http2.frame(http2.DATA, 0, 1, payload)
        + http2.frame(http2.HEADERS, WHOLE, 1, trailers)
    )


HEADERS = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, STATUS)
PING = http2.frame(http2.PING, 0, 0, bytes(8))
GRPC: dict[str, Script] = {
    "garbage": frames(os.urandom(4096), settings=False),
    "HTTP/1.1": frames(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", settings=False),
    "never, not even settings": frames(settings=False),
    "never": frames(),
    "reset": hang_up,
    "a byte a second": _slow_greeting,
    "settings flood": frames(http2.settings({}) * 4096, forever=True),
    "ping flood": frames(PING * 4096, forever=True),
    "frames of no size": frames(http2.settings({http2.MAX_FRAME: 0})),
    "window beyond its bound": frames(http2.settings({http2.INITIAL_WINDOW: 0xFFFFFFFF})),
    "window of nothing": frames(http2.settings({http2.INITIAL_WINDOW: 0})),
    "odd settings": frames(http2.frame(http2.SETTINGS, 0, 0, b"abc")),
    "goaway": frames(http2.frame(http2.GOAWAY, 0, 0, bytes(4) + b"\0\0\0\x0bcalm")),
    "short goaway": frames(http2.frame(http2.GOAWAY, 0, 0, b"x")),
    "stream reset": frames(http2.reset(1, 2) + http2.reset(3, 2)),
    "stream refused for ever": frames(http2.reset(1, 7) + http2.reset(3, 7)),
    "short reset": frames(http2.frame(http2.RST_STREAM, 0, 1, b"x")),
    "giant frame": frames(http2.FRAME.pack(0xFFFFFF << 8 | http2.PING, 0, 0), ZEROS, ZEROS),
    "push": frames(http2.frame(http2.PUSH_PROMISE, 4, 1, bytes(8))),
    "headers without end": frames(
        http2.frame(http2.HEADERS, 0, 1, STATUS),
        *[http2.frame(http2.CONTINUATION, 0, 1, bytes(16384))] * 100,
    ),
    "header bomb": frames(http2.frame(http2.HEADERS, WHOLE, 1, b"\x7f\xff\xff\xff\xff\xff\xff")),
    "header of another table": frames(http2.frame(http2.HEADERS, WHOLE, 1, b"\xff\x7f")),
    "padding only": frames(http2.frame(http2.DATA, http2.PADDED, 1, b"\xff")),
    "continuation of nothing": frames(http2.frame(http2.CONTINUATION, 4, 1, b"")),
    "compressed": frames(_answer(b"\1\0\0\0\5hello")),
    "message longer than said": frames(_answer(b"\0\0\0\0\1hello")),
    "message shorter than said": frames(_answer(b"\0\0\0\1\0hello")),
    "no message": frames(_answer(b"")),
    "no trailers": frames(HEADERS + http2.frame(http2.DATA, http2.END_STREAM, 1, bytes(5))),
    "no status": frames(http2.frame(http2.HEADERS, WHOLE, 1, STATUS)),
    "redirect": frames(http2.frame(http2.HEADERS, WHOLE, 1, http2.literal(b":status", b"302"))),
    "status that is none": frames(http2.frame(
        http2.HEADERS, WHOLE, 1, STATUS + http2.literal(b"grpc-status", b"\xff\xfe")
    )),
    "huge": frames(
        HEADERS + http2.FRAME.pack(5 << 8, 0, 1) + b"\0\x7f\xff\xff\xff",
        *[http2.frame(http2.DATA, 0, 1, bytes(16384))] * 40_000,
    ),
}  # fmt: skip
"""What a server does → how, for the first stream of a connection."""
