"""HTTPS in front of a plain server: takes TLS off, notes what clients send first, passes on."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import Self

from support.certificates import Certificates


class TlsRelay:
    """A context manager. `address` is where it listens, `heads` what clients sent first.

    With `refuse`, each request gets that text as the body of a 401, its headers included.
    """

    def __init__(
        self, target: str, files: Certificates, *, ask_client: bool = False, refuse: bool = False
    ) -> None:
        self.heads: list[bytes] = []
        self.address = ""
        host, _, port = target.rpartition(":")
        self._target, self._refuse = (host, int(port)), refuse
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.cert, files.key)
        if ask_client:
            self._context.load_verify_locations(files.ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        )
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refuse:
                await self._refuse_all(reader, writer)
                return
            inner_reader, inner_writer = await asyncio.open_connection(*self._target)
            await asyncio.gather(
                self._pipe(reader, inner_writer, True), self._pipe(inner_reader, writer, False)
            )
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _refuse_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.heads.append(head)
            body = b"this proxy does not know you: " + head
            size = str(len(body)).encode()
            writer.write(
                b"HTTP/1.1 401 Unauthorized\r\nContent-Length: " + size + b"\r\n\r\n" + body
            )
            await writer.drain()

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool
    ) -> None:
        first = up
        while data := await reader.read(1 << 16):
            if first:
                self.heads.append(data.partition(b"\r\n\r\n")[0])
                first = False
            writer.write(data)
            await writer.drain()
        writer.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
