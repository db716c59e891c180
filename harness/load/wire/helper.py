"""One helper process of `WireProcesses`: a plan comes in on stdin, samples go out into files."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from harness.errors import BackendError, HarnessError
from harness.load.wire.loop import WireGenerator
from harness.load.wire.plan import Order, Rest, make
from harness.load.wire.recorder import RECENT
from harness.results.samples import Int64
from harness.system.credentials import learn

ROW = 3 + RECENT
"""The live row of a helper, int64: requests completed, CPU time in ns, how many latencies follow,
these in ns.
"""
PUBLISH_S = 0.01
READY = b"ready"
CHUNK = 1 << 20


def pack(message: object) -> bytes:
    """A message to a helper: its length, and the pickled object."""
    data = pickle.dumps(message)
    return struct.pack(">Q", len(data)) + data


def receive(descriptor: int) -> object:
    """Read one message and no byte more, so that select sees the next one. Raises EOFError."""
    return pickle.loads(_exactly(descriptor, *struct.unpack(">Q", _exactly(descriptor, 8))))


def _exactly(descriptor: int, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        part = os.read(descriptor, min(size - len(data), CHUNK))
        if not part:
            raise EOFError
        data += part
    return data


@contextlib.contextmanager
def _errors_to(path: Path) -> Iterator[None]:
    try:
        yield
    except (HarnessError, OSError, ValueError) as error:
        if not isinstance(error, HarnessError):
            error = BackendError(f"{type(error).__name__}: {error}")
        text = {"reason": error.reason, "message": error.message, "fix": error.fix}
        path.write_text(json.dumps(text), encoding="utf-8")
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
    index, directory, plan, secrets = cast(Order, receive(0))
    learn(secrets)
    base = Path(directory)
    live = np.memmap(base / "live", np.int64, "r+").reshape(-1, ROW)[index]
    with _errors_to(base / f"{index}.error"):
        generator = make(plan)
        generator.open()
        print(READY.decode(), flush=True)
        generator.start(cast(int, receive(0)))
        _publish_until_told(generator, live)
        samples = generator.stop(cast(float, receive(0)))
        samples.save(base / f"{index}.npz")
        last = generator.last() if plan.pinned else []
        rest = Rest(dict(samples.messages), generator.sampled(), last)
        (base / f"{index}.rest").write_bytes(pickle.dumps(rest))


if __name__ == "__main__":
    main()
