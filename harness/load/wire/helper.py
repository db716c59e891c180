"""One helper process of `WireProcesses`: a plan comes in on stdin, samples go out into files."""

from __future__ import annotations

import contextlib
import json
import pickle
import select
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from harness.errors import BackendError, HarnessError
from harness.load.wire.loop import WireGenerator
from harness.load.wire.plan import make
from harness.load.wire.recorder import RECENT

ROW = 3 + RECENT
"""The live row of a helper, int64: requests completed, CPU time in ns, how many latencies follow,
these in ns.
"""
PUBLISH_S = 0.01
READY = b"ready\n"


def send(pipe: BinaryIO, message: object) -> None:
    """Write one message to a helper."""
    data = pickle.dumps(message)
    pipe.write(struct.pack(">Q", len(data)) + data)
    pipe.flush()


def receive(pipe: BinaryIO) -> Any:
    """Read one message. Raises EOFError when the other side has gone."""
    return pickle.loads(_exactly(pipe, *struct.unpack(">Q", _exactly(pipe, 8))))


def _exactly(pipe: BinaryIO, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = pipe.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


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


def _publish_until_told(generator: WireGenerator, live: np.ndarray[Any, Any]) -> None:
    while not select.select([sys.stdin], [], [], PUBLISH_S)[0]:
        recent = generator.recent_ns()
        live[3 : 3 + len(recent)] = recent
        live[2] = len(recent)
        live[1] = time.process_time_ns()
        live[0] = generator.completed()
        if generator.failure is not None:
            raise generator.failure


def main() -> None:
    """Connect, say so, begin when told, publish counts, and save the samples when told to stop."""
    pipe: BinaryIO = cast(Any, sys.stdin.buffer).raw  # unbuffered: select must see what is there
    index, directory, plan = receive(pipe)
    base = Path(directory)
    live = np.memmap(base / "live", np.int64, "r+").reshape(-1, ROW)[index]
    with _errors_to(base / f"{index}.error"):
        generator = make(plan)
        generator.open()
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        generator.start(receive(pipe))
        _publish_until_told(generator, live)
        samples = generator.stop(receive(pipe))
        samples.save(base / f"{index}.npz")
        rest = dict(samples.messages), generator.sampled(), generator.last() if plan.pinned else []
        (base / f"{index}.rest").write_bytes(pickle.dumps(rest))


if __name__ == "__main__":
    main()
