"""One helper process of `WireProcesses`: a plan comes in on stdin, samples go out into files."""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import cast

import numpy as np

from harness.errors import BackendError
from harness.load.wire.loop import WireGenerator
from harness.load.wire.plan import Order, Plan, make
from harness.load.wire.recorder import RECENT
from harness.results.samples import Int64
from harness.system.credentials import learn
from harness.system.faults import known
from harness.system.files import named
from harness.system.network import Access, Tls

ROW = 3 + RECENT
"""The live row of a helper, int64: requests completed, CPU time in ns, how many latencies follow,
these in ns.
"""
PUBLISH_S = 0.01
READY = b"ready"
CHUNK = 1 << 20


def dumps(message: object) -> bytes:
    """As JSON, in which plans, addresses, arrays and bytes are objects with one key: their kind.

    Bytes and arrays come after the text as they are, each object once: requests are large, and
    many are the same. Before it stands the text's length, in 8 bytes.
    """
    parts: list[bytes] = []
    places: dict[int, tuple[int, int]] = {}
    end = 0

    def plain(value: object) -> dict[str, object]:
        nonlocal end
        if isinstance(value, bytes | np.ndarray):
            if id(value) not in places:
                parts.append(value if isinstance(value, bytes) else value.tobytes())
                places[id(value)] = end, end + len(parts[-1])
                end += len(parts[-1])
            return {type(value).__name__: places[id(value)]}
        assert is_dataclass(value)
        return {type(value).__name__: [getattr(value, field.name) for field in fields(value)]}

    text = json.dumps(message, default=plain).encode()
    return b"".join((struct.pack(">Q", len(text)), text, *parts))


_KINDS: dict[str, Callable[..., object]] = {
    "Plan": lambda f: Plan(*[*f[:2], tuple(f[2]), *f[3:-1], tuple(f[-1])]),
    "Tls": lambda f: Tls(*f),
    "Access": lambda f: Access(f[0], tuple(map(tuple, f[1]))),
}  # fmt: skip


def loads(data: bytes | bytearray) -> object:
    """What `dumps` wrote; tuples are lists."""
    begin = 8 + struct.unpack_from(">Q", data)[0]
    rest = memoryview(data)[begin:]
    known: dict[tuple[int, int], bytes] = {}

    def piece(first: int, end: int) -> bytes:
        if (first, end) not in known:
            known[first, end] = bytes(rest[first:end])
        return known[first, end]

    def made(one: dict[str, list[int]]) -> object:
        ((kind, value),) = one.items()
        match kind:
            case "bytes":
                return piece(*value)
            case "ndarray":
                return np.frombuffer(piece(*value), np.int64)
            case _:
                return _KINDS[kind](value)

    return json.loads(bytes(data[8:begin]), object_hook=made)


def pack(message: object) -> bytes:
    """A message to a helper: its length, and `dumps` of it."""
    data = dumps(message)
    return struct.pack(">Q", len(data)) + data


def receive(descriptor: int) -> object:
    """Read one message and no byte more, so that select sees the next one. Raises EOFError."""
    return loads(_exactly(descriptor, *struct.unpack(">Q", _exactly(descriptor, 8))))


def _exactly(descriptor: int, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        part = os.read(descriptor, min(size - len(data), CHUNK))
        if not part:
            raise EOFError
        data += part
    return data


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    """An error ends the process, and is its last line: a file might find no room."""
    try:
        yield
    except Exception as error:
        why = known(error, BackendError)
        print(
            json.dumps({"reason": why.reason, "message": why.message, "fix": why.fix}), flush=True
        )
        raise SystemExit(1) from error


def _publish_until_told(generator: WireGenerator, live: Int64) -> None:
    while not select.select([0], [], [], PUBLISH_S)[0]:
        recent = generator.recent_ns()
        live[3 : 3 + len(recent)] = recent
        live[2] = len(recent)
        live[1] = time.process_time_ns()
        live[0] = generator.completed()
        if generator.failure is not None:
            raise generator.failure


def main() -> None:
    """Connect, say so, begin when told, publish counts, and save the samples when told to stop."""
    index, directory, plan, secrets = Order(*cast(Order, receive(0)))
    learn(dict(secrets))
    base = Path(directory)
    live = np.memmap(base / "live", np.int64, "r+").reshape(-1, ROW)[index]
    with _errors_told():
        generator = make(plan)
        generator.open()
        print(READY.decode(), flush=True)
        generator.start(cast(int, receive(0)))
        _publish_until_told(generator, live)
        samples = generator.stop(cast(float, receive(0)))
        samples.save(base / f"{index}.npz")
        last = generator.last() if plan.pinned else []
        rest = [*samples.messages.items()], generator.sampled(), last
        with named(base / f"{index}.rest"):
            (base / f"{index}.rest").write_bytes(dumps(rest))


if __name__ == "__main__":
    main()
