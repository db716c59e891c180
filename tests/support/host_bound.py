"""A backend that all processes of a host wait for: its 20 ms are spent under one lock.

For what runs side by side: beside another it is half as fast. `install` makes its kind known to
every Python that is started with a folder on its PYTHONPATH, as lanes are.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO, ClassVar, Literal

from pydantic import Field

from harness.backends.base import Backend, BackendContext, Caller, LoadCost
from harness.models.tensors import Signature, Tensors
from harness.scenario.spec.backend import BackendSettings

SERVICE_S = 0.02
HAND_OVER_S = 0.001
"""The lock is not fair: who asks again at once keeps the others out, at times for seconds."""


class HostBoundSettings(BackendSettings):
    """The keys of the scenario."""

    sources: ClassVar = ("fake",)
    start_seconds: ClassVar = 1.0

    kind: Literal["host_bound"] = Field(description="waits for a lock of the host")
    lock: str = Field(description="its file")


class HostBoundCaller(Caller[Tensors, Tensors]):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def infer(self, request: Tensors) -> Tensors:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            time.sleep(SERVICE_S)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        time.sleep(HAND_OVER_S)
        return request

    def outputs(self, reply: Tensors) -> Tensors:
        return {}

    def __exit__(self, *error: object) -> None:
        self._file.close()


class HostBoundBackend(Backend[Tensors, Tensors]):
    def __init__(self, settings: HostBoundSettings, context: BackendContext) -> None:
        self._lock = settings.lock

    @property
    def signature(self) -> Signature:
        return Signature((), ())

    def load(self) -> LoadCost:
        return LoadCost(0.0)

    def prepare(self, inputs: Tensors) -> Tensors:
        return inputs

    def caller(self) -> HostBoundCaller:
        return HostBoundCaller(Path(self._lock).open("wb"))


def install(folder: Path) -> None:
    """A `sitecustomize` that registers it, and this module beside it."""
    (folder / "host_bound.py").write_text(Path(__file__).read_text("utf-8"))
    (folder / "sitecustomize.py").write_text(
        "from harness.backends import registry\n"
        "registry.register('host_bound', settings='host_bound:HostBoundSettings',\n"
        "                  backend='host_bound:HostBoundBackend')\n"
    )
