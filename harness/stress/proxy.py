"""A TCP proxy that can be slow: between the clients and the server, in a process of its own.

`python -m harness.stress.proxy HOST:PORT` listens on a free port of 127.0.0.1, prints it as a line
of JSON, and takes `{"delay_s": …, "stall": …}` on stdin. Every piece of data is passed on in order,
`delay_s` after it came; a share `stall` of the pieces waits for `STALL_S` more, and all that is
behind it on the same connection with it: what a lost packet does (Linux sends again after 200 ms
at the earliest, RTO_MIN). It adds a hop of some 0.1 ms also where nothing is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from pathlib import Path
from typing import Self

from harness.errors import WorkerDiedError
from harness.system.child import Child
from harness.system.network import split_address

STALL_S = 0.2
PIECE = 1 << 16
START_S = 20.0


class Settings:
    """What is in force now."""

    delay_s = 0.0
    stall = 0.0


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: Settings,
    chance: random.Random,
) -> None:  # fmt: skip
    """One direction of a connection."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def read() -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                wait = settings.delay_s + (STALL_S if chance.random() < settings.stall else 0.0)
                await pieces.put((loop.time() + wait, data))
        await pieces.put((0.0, b""))

    reading = asyncio.ensure_future(read())
    with contextlib.suppress(OSError):
        while True:
            due, data = await pieces.get()
            if not data:
                break
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            writer.write(data)
            await writer.drain()
    reading.cancel()
    writer.close()


async def serve(target: str) -> None:
    """Pass everything on until the end of stdin."""
    host, port = split_address(target)
    settings, chance = Settings(), random.Random(0)  # noqa: S311 - drawn again alike

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()  # broken, as by a server that died
            return
        await asyncio.gather(
            _pass(reader, back, settings, chance), _pass(there, writer, settings, chance)
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = json.loads(line)
        settings.delay_s, settings.stall = float(told["delay_s"]), float(told["stall"])
        print(json.dumps({"set": True}), flush=True)


class Proxy:
    """The parent's end: a context manager."""

    def __init__(self, target: str, log: Path) -> None:
        self._child = Child("the proxy", "harness.stress.proxy", [target], log=log)
        try:
            self.address = f"127.0.0.1:{json.loads(self._line())['port']}"
        except BaseException:
            self._child.kill()
            raise

    def _line(self) -> bytes:
        line = self._child.line(START_S)
        if line is None:
            raise WorkerDiedError("the proxy gave no answer")
        return line

    def set(self, delay_s: float, stall: float) -> None:
        """From now on. Raises WorkerDiedError."""
        self._child.send(json.dumps({"delay_s": delay_s, "stall": stall}).encode() + b"\n")
        self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
