"""One connection to Triton through its official client, whichever protocol it speaks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from harness.models.tensors import Array, Tensors
from harness.system.packages import require
from harness.triton.client import common
from harness.triton.client.common import ServerTarget, TritonReply
from harness.triton.client.errors import ErrorTable, not_ready, ours
from harness.triton.metadata import Description, contradictions, proto, read, steps

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


Client: TypeAlias = Any
"""`InferenceServerClient` of tritonclient, which has no types; over gRPC its calls take a
`client_timeout`."""


class Connection(contextlib.AbstractContextManager["Connection"]):
    """The official client for one model on one server; what it raises becomes a HarnessError.

    Over HTTP its event loop belongs to a thread: use it in the one that made it.
    """

    protocol: ClassVar[str]

    def __init__(self, target: ServerTarget) -> None:
        require(f"tritonclient.{self.protocol}")
        self.target = target
        self.limit: Mapping[str, float] = {}
        """What a request is given to end in time, where the client was not told before."""
        self.json: Mapping[str, bool] = {}
        """What any other is given so that its answer is a dict."""
        self.client = self.connect()
        if headers := self.target.access.metadata:
            self.client.register_plugin(lambda request: request.headers.update(headers))

    def connect(self) -> Client:
        """The official client for the server, with its TLS."""
        raise NotImplementedError

    def patience(self) -> AbstractContextManager[object]:
        """What ends a block whose calls, together, take longer than a request may."""
        raise NotImplementedError

    @contextlib.contextmanager
    def setting_up(self) -> Iterator[None]:
        """For everything but requests: what goes wrong there is the server's setup."""
        try:
            with self.patience():
                yield
        except Exception as error:
            raise ours(self.target, self.setup_errors(), error) from None

    @property
    def within(self) -> Mapping[str, float]:
        """What another call is given: of a block, what is left of its time."""
        return self.limit

    @property
    def as_json(self) -> Mapping[str, float]:
        """The same, and that its answer is a dict."""
        return {**self.within, **self.json}

    def request_errors(self) -> ErrorTable:
        """What the client raises for a request."""
        raise NotImplementedError

    def setup_errors(self) -> ErrorTable:
        """What it raises for everything else."""
        raise NotImplementedError

    def names(self, reply: TritonReply) -> Sequence[str]:
        """The outputs in an answer."""
        raise NotImplementedError

    def shapes(self, reply: TritonReply) -> dict[str, tuple[int, ...]]:
        """Of the outputs in an answer, wherever they are."""
        return {name: common.output_shape(reply, name) for name in self.names(reply)}

    def end_thread(self) -> None:
        """Give back what the client's library keeps for this thread."""

    # -- what both do alike ---------------------------------------------------------------------

    def infer(self, inputs: object, outputs: object = None) -> TritonReply:
        """Send a request and parse the answer; `outputs` say where shared memory takes them.

        Raises BackendError, OutOfMemoryError, DeadlineError, ServerDiedError.
        """
        try:  # no `with`: entering one costs a microsecond, inside the clock
            return self.client.infer(
                self.target.name, inputs, self.target.version, outputs=outputs, **self.limit
            )
        except Exception as error:
            raise ours(self.target, self.request_errors(), error) from None

    def arrays(self, reply: TritonReply) -> dict[str, Array]:
        """All outputs as the client gives them. Raises EmptyOutputError."""
        return {name: common.output_array(reply, name) for name in self.names(reply)}

    def contradictions(
        self, reply: TritonReply, found: Description, inputs: Tensors
    ) -> dict[str, str]:
        """Of each output that is not as the server describes it in how far, for these inputs."""
        answered = [common.output_spec(reply, name) for name in self.names(reply)]
        batch = next((len(a) for a in inputs.values() if a.ndim), 1)
        return contradictions(found, answered, batch)

    def outputs(self, reply: TritonReply) -> Tensors:
        """All outputs, each as `to_host` makes it."""
        return common.all_to_host(self.target, self.arrays(reply))

    def describe(self) -> Description:
        """What the server says about the model. Raises ServerError, also when it is not ready."""
        with self.setting_up():
            name, version = self.target.name, self.target.version
            if not self.client.is_model_ready(name, version, **self.within):
                self.client.get_server_metadata(**self.within)  # a proxy says so
                raise not_ready(self.target, self.index())
            metadata = self.client.get_model_metadata(name, version, **self.as_json)
            message = proto().from_dict(metadata, proto().ModelMetadata())
            return read(message, self.config(name))

    def index(self) -> Sequence[Mapping[str, str]] | None:
        """The models in the server's repository, an entry a version; None where it won't say."""
        try:
            return self._entries()
        except Exception:  # a proxy may not pass it on; it is asked to explain another failure
            return None

    def ready(self) -> list[str]:
        """The models that answer, by name. Raises ServerError."""
        with self.setting_up():
            entries = self._entries() or ()
        return sorted({str(e.get("name")) for e in entries if e.get("state") == "READY"})

    def _entries(self) -> Sequence[Mapping[str, str]] | None:
        found = self.client.get_model_repository_index(**self.as_json)
        entries = found.get("models", []) if isinstance(found, dict) else found
        return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else None

    def config(self, name: str) -> ModelConfig:
        """The configuration of a model."""
        answer = self.client.get_model_config(name, **self.as_json)
        return proto().from_dict(answer.get("config", answer), proto().ModelConfig())

    def steps(self, name: str) -> tuple[str, ...]:
        """The models that an ensemble runs."""
        return steps(self.config(name))

    def close(self) -> None:
        """End the connection."""
        self.client.close()

    def __exit__(self, *_: object) -> None:
        self.close()
