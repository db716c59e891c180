"""A model on a Triton server as a backend: one class, whichever protocol it is asked over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from harness.backends.base import Backend, BackendContext, Caller, LoadCost
from harness.models.tensors import Array, Signature, Tensors
from harness.system.network import PLAIN, Access
from harness.triton.client import common
from harness.triton.client.common import InferInput, ServerTarget, TritonReply
from harness.triton.client.connection import Client, Connection
from harness.triton.client.grpc import GrpcConnection
from harness.triton.client.http import HttpConnection
from harness.triton.client.settings import TritonSettings
from harness.triton.client.shared_memory import Layout, Region, Regions, SharedRequest
from harness.triton.counters.statistics import counters
from harness.triton.metadata import Description, check_inputs, composing

CONNECTIONS: dict[str, type[Connection]] = {"http": HttpConnection, "grpc": GrpcConnection}
TritonRequest = Sequence[InferInput] | SharedRequest


class TritonBackend(Backend[TritonRequest, TritonReply]):
    """One model on one server; `load` connects and checks.

    Everything but a caller is of the thread that called `load`.
    """

    def __init__(self, spec: TritonSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        self.target = common.target(spec, context)
        self._connection: Connection | None = None
        self._description: Description | None = None
        self.regions: Regions | None = None
        """Shared memory, when the scenario asks for it and the model is loaded."""
        self._composing: tuple[str, ...] = ()

    @property
    def signature(self) -> Signature:
        """As the server describes it."""
        return self.found.signature

    @property
    def found(self) -> Description:
        """What the server says about the model; known after `load`."""
        assert self._description is not None, "load() comes first"
        return self._description

    @property
    def connection(self) -> Connection:
        """The one for everything but requests."""
        assert self._connection is not None, "load() comes first"
        return self._connection

    @property
    def control(self) -> Client:
        """Its official client."""
        return self.connection.client

    def load(self) -> LoadCost:
        """Connect; check that the model is ready and takes our inputs. Raises ServerError.

        The seconds are those of connecting and checking: the server loaded the model before.
        """
        patient = replace(self.target, timeout=max(self.target.timeout, common.SETUP_S))
        self._connection = connection = connect(self.spec.protocol, patient)
        began = time.monotonic()
        self._description = found = connection.describe()
        if self.context.model.inputs:
            check_inputs(found, self.context.model)
        with connection.setting_up():
            about = connection.client.get_server_metadata(**connection.as_json)
            seconds = time.monotonic() - began
            self._composing = composing(found.steps, self.spec.composing, connection.steps)
        if self.spec.io != "host":
            self.regions = Regions(self.spec, self.target.address, self._plain)
        return LoadCost(seconds, details={
            "server": about.get("name", ""), "server_version": about.get("version", ""),
            "model_version": self.target.version or found.latest,
            "model_versions": ", ".join(found.versions), "max_batch_size": found.max_batch_size,
            "protocol": self.spec.protocol, "client": self.spec.client, "config": found.config,
        })  # fmt: skip

    def prepare(self, inputs: Tensors) -> TritonRequest:
        """Input objects that hold the tensors' bytes. Raises ServerError for a batch too large."""
        if self.regions is None:
            return common.request_inputs(self.found, inputs, self.spec.protocol)
        with self.connection.setting_up():
            ready = common.encoded(self.found, inputs)
            return self.regions.prepare(self.control, {n: a for n, (a, _) in ready.items()})

    def _plain(self, inputs: Tensors) -> dict[str, Array]:
        """One call without shared memory; outputs as the client gives them."""
        with TritonCaller(self.spec.protocol, self.target) as caller:
            request = common.request_inputs(self.found, inputs, self.spec.protocol)
            return caller.connection.arrays(caller.infer(request))

    def caller(self) -> TritonCaller:
        """A caller with its own connection, to be used in the thread that enters it."""
        if self.regions is None:
            return TritonCaller(self.spec.protocol, self.target)
        return SharedCaller(self.spec.protocol, self.target, self.regions)

    def contradictions(self, inputs: Tensors) -> dict[str, str]:
        """What is not as the server describes it of one answer, over the caller's own way."""
        request = self.prepare(inputs)
        with self.caller() as caller:
            return caller.connection.contradictions(caller.infer(request), self.found, inputs)

    def statistics(self) -> dict[str, float]:
        """Triton's counters."""
        with self.connection.setting_up():
            name = self.target.name
            wanted = "" if self._composing else name  # one answer for all models of the server
            found = self.control.get_inference_statistics(wanted, **self.connection.as_json)
            return counters(found, name, self._composing, self.target.version)

    def release(self) -> None:
        """Give back shared memory; what the server keeps is its own, and reported as such."""
        if self.regions is not None:
            self.regions.release(self.control)

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self.release()
            self._connection.close()


class TritonCaller(Caller[TritonRequest, TritonReply]):
    """One connection. Over HTTP it belongs to a thread: enter it where it is used."""

    connection: Connection
    """While the caller is open."""

    def __init__(self, protocol: str, target: ServerTarget) -> None:
        self._protocol, self._target = protocol, target

    def infer(self, request: TritonRequest, outputs: object = None) -> TritonReply:
        """Send the request and parse the answer, as `Connection.infer`."""
        return self.connection.infer(request, outputs)

    def outputs(self, reply: TritonReply) -> Tensors:
        """All outputs as arrays."""
        return self.connection.outputs(reply)

    def __enter__(self) -> Self:
        self.connection = connect(self._protocol, self._target)
        with self.connection.setting_up():
            self.connection.client.is_server_live(**self.connection.within)  # connects
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.connection.end_thread()


class SharedCaller(TritonCaller):
    """A caller with an output region of its own."""

    def __init__(self, protocol: str, target: ServerTarget, regions: Regions) -> None:
        super().__init__(protocol, target)
        self._regions = regions
        self._region: Region | None = None
        self._wanted: list[InferInput] = []

    def infer(self, request: TritonRequest, outputs: object = None) -> TritonReply:
        """Send the names of the regions and wait until the outputs are written."""
        assert isinstance(request, SharedRequest), "as `prepare` makes them"
        if self._region is None or self._region.layout is not request.room.layout:
            self._use(request.room.layout)
        return self.connection.infer(request.inputs, self._wanted)

    def outputs(self, reply: TritonReply) -> Tensors:
        """What the server wrote last."""
        assert self._region is not None
        shapes = self.connection.shapes(reply)
        return common.all_to_host(self._target, self._region.tensors(shapes))

    def _use(self, layout: Layout) -> None:
        """Outside of the window: a caller's first request comes in the warm-up."""
        self._drop()
        self._region = self._regions.outputs(self.connection.client, layout)
        self._wanted = self._regions.wanted(self._region)

    def _drop(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            self._regions.free(self.connection.client, region)

    def __exit__(self, *error: object) -> None:
        try:
            self._drop()
        finally:
            super().__exit__(*error)


def connect(protocol: str, target: ServerTarget) -> Connection:
    """The official client of the protocol. Raises MissingPackageError."""
    return CONNECTIONS[protocol](target)


def fetch(
    protocol: str, url: str, name: str, access: Access = PLAIN,
    timeout: float = common.SETUP_S, version: str = "",
) -> Description:  # fmt: skip
    """What the server at `url` says about a model. Raises ServerError."""
    target = ServerTarget(url, name, timeout, access=access, version=version)
    with connect(protocol, target) as connection:
        return connection.describe()
