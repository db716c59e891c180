"""A TCP proxy that can be slow: between the clients and the server, in a process of its own.

`python -m harness.stress.proxy HOST:PORT ADDRESS` listens on a free port of ADDRESS (127.0.0.1, or
the master's where workers come from other hosts), prints it as a line of JSON, and takes
`{"delay_s": …, "stall": …}` on stdin. Where the kernel has netem, every connection goes over a
network of the harness's own that the kernel makes slow (`netem`). Elsewhere
the proxy does: every piece of data is passed on in order, `delay_s` after it came; a share `stall`
of the pieces waits for `STALL_S` more, and all that is behind it on the same connection with it:
what a lost packet does (Linux sends again after 200 ms at the earliest, RTO_MIN). It adds a hop of
some 0.1 ms also where nothing is slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from pathlib import Path
from typing import Self

from harness.errors import SetupError, WorkerDiedError
from harness.stress.netem import Lane
from harness.system.child import Child
from harness.system.network import split_address

STALL_S = 0.2
NETEM = ("by the kernel's netem, on the loopback of a network namespace of the harness's own that "
         "all requests cross; a stalled piece is a lost packet")  # fmt: skip
PROXY = ("by a proxy of the harness's own between the clients and the server, since the kernel's "
         "netem can't be had")  # fmt: skip
HOST = "127.0.0.1"
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


async def serve(target: str, on: str, lane: Lane | None, why_not: str) -> None:
    """Pass everything on until the end of stdin; through `lane` where there is one."""
    host, port = split_address(target)
    settings, chance = Settings(), random.Random(0)  # noqa: S311 - drawn again alike

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [(reader, writer)]
        try:
            ends.append(await asyncio.open_connection(host, port))
            if lane is not None:
                pair = await asyncio.to_thread(lane.pair)
                ends[1:1] = [await asyncio.open_connection(sock=end) for end in pair]
        except OSError:
            for _, end in ends:
                end.transport.abort()  # broken, as by a server that died
            return
        await asyncio.gather(*(
            _pass(a[0], b[1], settings, chance)
            for one, other in zip(ends[::2], ends[1::2], strict=True)
            for a, b in ((one, other), (other, one))
        ))  # fmt: skip

    server = await asyncio.start_server(connected, on, 0)
    address = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": address, "netem": lane is not None, "why": why_not}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = json.loads(line)
        slow = float(told["delay_s"]), float(told["stall"])
        if lane is not None:
            await asyncio.to_thread(lane.set, *slow)
        else:
            settings.delay_s, settings.stall = slow
        print(json.dumps({"set": True}), flush=True)


class Proxy:
    """The parent's end: a context manager."""

    def __init__(self, target: str, log: Path, on: str = HOST) -> None:
        self._child = Child("the proxy", "harness.stress.proxy", [target, on], log=log)
        try:
            found = json.loads(self._line())
            self.address = f"[{on}]:{found['port']}" if ":" in on else f"{on}:{found['port']}"
            self.how = NETEM if found["netem"] else f"{PROXY}: {found['why']}"
            """In words, what makes it slow."""
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


def main(target: str, on: str) -> None:
    """Serve, with netem where it can be had."""
    try:
        with Lane() as lane:
            lane.set(0.0, 0.0)
            asyncio.run(serve(target, on, lane, ""))
    except SetupError as error:
        asyncio.run(serve(target, on, None, error.message))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
