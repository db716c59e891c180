"""Triton over gRPC with the official client, as an application would use it.

Inputs are turned into bytes once, in `prepare`; a call builds the message from them, sends it on
the caller's own connection, waits and parses the answer.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.system.tls import grpc_credentials
from harness.triton.client import errors
from harness.triton.client.common import ServerTarget
from harness.triton.client.connection import Client, Connection

if TYPE_CHECKING:
    from tritonclient.grpc import InferResult

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else its core writes to stderr; before its import
CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # else channels with equal settings share a connection
    ("grpc.enable_retries", 0),
)


class GrpcConnection(Connection):
    """One channel with a connection that no other shares; each call is told its time limit."""

    protocol = "grpc"
    _until = math.inf
    """When the calls of a block have to be done."""

    def connect(self) -> Client:
        """The official client for the server, with its TLS."""
        from tritonclient.grpc import InferenceServerClient

        target, credentials = self.target, None
        options: list[tuple[str, int | str]] = [*CHANNEL]
        self.limit, self.json = self.within, {"as_json": True}
        if (tls := target.access.tls) is not None:
            credentials, more = grpc_credentials(target.address, tls)
            options += more
        client: Client = InferenceServerClient(
            target.address, creds=credentials, channel_args=options
        )
        return client

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """The client's limit is one for each call."""
        self._until = time.monotonic() + self.target.timeout
        try:
            yield
        finally:
            self._until = math.inf

    @property
    def within(self) -> Mapping[str, float]:
        """A call with no time left is late at once."""
        return {"client_timeout": min(self.target.timeout, self._until - time.monotonic())}

    def request_errors(self) -> errors.ErrorTable:
        """One exception for everything; its code and its words say which it was."""
        from tritonclient.utils import InferenceServerException

        return ((InferenceServerException, _request_failed),)

    def setup_errors(self) -> errors.ErrorTable:
        """The same outside requests."""
        from tritonclient.utils import InferenceServerException

        return ((InferenceServerException, _setup_failed), (Exception, errors.garbled))

    def names(self, reply: InferResult) -> list[str]:
        """The outputs in an answer."""
        return [output.name for output in reply.get_response().outputs]


def _request_failed(target: ServerTarget, error: Exception) -> HarnessError:
    status, message = errors.status_of(error), errors.message_of(error)
    if status == "DEADLINE_EXCEEDED":
        return errors.late(target)
    if answer := errors.in_http(target, error):
        return answer
    if status in ("UNAVAILABLE", "CANCELLED", "UNKNOWN") and errors.of_transport(message):
        return errors.broken(target, error)
    return errors.answered(target, error)


def _setup_failed(target: ServerTarget, error: Exception) -> HarnessError:
    status = errors.status_of(error)
    if answer := errors.in_http(target, error):
        return answer
    nobody = status == "UNAVAILABLE" and errors.of_transport(errors.message_of(error))
    kinds = {"DEADLINE_EXCEEDED": errors.silent, "UNIMPLEMENTED": errors.unreachable}
    become = errors.unreachable if nobody else kinds.get(status, errors.setup_failed)
    return become(target, error)
