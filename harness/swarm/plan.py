"""What a load generator is told: written by `harness stress`, read in processes with gevent.

Nothing here imports gevent, a runtime or the scenario's reader beyond the parts that are told.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from harness.backends.base import ServerAddress
from harness.backends.registry import from_message, message_of
from harness.models.tensors import Array, PreparedModel, Tensors
from harness.scenario.reading.loader import LoadedScenario
from harness.swarm.settings import Stress
from harness.system.files import read_bytes
from harness.triton.client.settings import TritonSettings
from harness.version import __version__

PLAN, REQUESTS = "plan.json", "requests.npz"
"""The files of a generator's folder."""
SEPARATOR = "\t"
"""Between a request's number and the input's name in an .npz file."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a process is: `folder` holds the plan and takes the records, not of a worker."""

    mode: str
    folder: str = ""
    address: str = ""
    """host:port; where a master listens, or where a worker finds it."""
    scenario_hash: str = ""
    """Worker: of its own scenario."""
    locustfile: str = ""
    """Worker: its own copy."""
    web: int = 0
    """The port of Locust's page on 127.0.0.1; 0 for none."""
    join_s: float = 120.0
    """Master: how long to wait for its workers."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """A load, whoever makes it; JSON-able by `to_json`."""

    version: str
    scenario_hash: str
    stress: Mapping[str, Any]
    backend: Mapping[str, Any]
    model: Mapping[str, Any]
    parity: Mapping[str, Any]
    """The scenario's rule, by which answers under load are compared with quiet ones."""
    http: str | None
    grpc: str | None
    served_name: str
    timeout: float
    """Seconds that a request may take."""
    seed: int
    workers: int
    """Processes that make the load; 1 for the engine's own."""

    @property
    def shape_of(self) -> Stress:
        """The scenario's section."""
        return Stress.model_validate(dict(self.stress))

    @property
    def settings(self) -> TritonSettings:
        """The backend's."""
        found = from_message(self.backend)
        assert isinstance(found, TritonSettings)
        return found

    @property
    def prepared(self) -> PreparedModel:
        """The model, as the server has it."""
        return PreparedModel.from_json(self.model)

    @property
    def host(self) -> str:
        """The server's address for the protocol, with its scheme: what Locust calls the host."""
        address = self.http if self.settings.protocol == "http" else self.grpc
        scheme = "https" if self.settings.server.tls else "http"
        return f"{scheme}://{address}"

    def at(self, address: str) -> Self:
        """The same load, by another address of the same server: that of a proxy."""
        http = self.settings.protocol == "http"
        return replace(self, http=address) if http else replace(self, grpc=address)

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def make_plan(
    loaded: LoadedScenario, spec: TritonSettings, model: PreparedModel,
    server: ServerAddress, workers: int,
) -> EnginePlan:  # fmt: skip
    """The plan of a scenario whose model is served at `server`."""
    scenario = loaded.scenario
    assert scenario.stress is not None
    measurement = scenario.measurement
    return EnginePlan(
        __version__, scenario_hash(loaded), scenario.stress.model_dump(mode="json"),
        message_of(spec), json.loads(json.dumps(model.to_json(), default=str)),
        scenario.model.parity.model_dump(mode="json"), server.http, server.grpc, server.name,
        measurement.request_timeout, measurement.seed, workers,
    )  # fmt: skip


def scenario_hash(loaded: LoadedScenario) -> str:
    """Of the file as written, what was put into it, and a locustfile's text: not of paths, which
    differ between hosts.
    """
    stress, found = loaded.scenario.stress, hashlib.sha256()
    for text in (loaded.text, *loaded.overrides):
        found.update(text.encode() + b"\0")
    if stress is not None and stress.locustfile:
        found.update(read_bytes(Path(stress.locustfile)))
    return found.hexdigest()[:16]


def pack(requests: Sequence[Tensors]) -> bytes:
    """The requests' tensors as the bytes of an .npz file."""
    arrays = {f"{i}{SEPARATOR}{n}": a for i, request in enumerate(requests)
              for n, a in request.items()}  # fmt: skip
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type] # numpy's keyword `allow_pickle`
    return file.getvalue()


def unpack(data: bytes) -> list[dict[str, Array]]:
    """Read what `pack` wrote."""
    found: dict[int, dict[str, Array]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            number, _, name = key.partition(SEPARATOR)
            found.setdefault(int(number), {})[name] = arrays[key]
    return [found[i] for i in sorted(found)]
