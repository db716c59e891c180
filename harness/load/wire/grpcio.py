"""gRPC over TLS: grpcio's channels, with messages that were serialised beforehand as they are.

A slot is a thread with blocking calls. grpcio's futures would do with fewer, but cost a third more
time: with nothing else in flight it starts a thread for each.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from harness.errors import ServerDiedError
from harness.load.wire.grpc import METHOD
from harness.load.wire.poller import CONNECT_TIMEOUT_S, connect
from harness.load.wire.transport import Transport
from harness.results.samples import ERROR, TIMEOUT
from harness.system.network import PLAIN, Access
from harness.system.tls import grpc_credentials
from harness.triton.client.errors import of_transport

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # else equal channels share a connection
    ("grpc.enable_retries", 0),
)
_clock = time.monotonic_ns


class StatusCode(Protocol):
    """One of `grpc.StatusCode`."""

    value: tuple[int, str]


class CallError(Protocol):
    """What a failed call raises."""

    def code(self) -> StatusCode:
        """gRPC's status."""
        ...

    def details(self) -> str:
        """Its message."""
        ...


class Channel(Protocol):
    """A connection of grpcio's."""

    def unary_unary(self, method: str, /) -> Callable[[bytes, float, object], bytes]:
        """A call of one method: message, time-out in seconds, metadata."""
        ...

    def close(self) -> None:
        """Close it, which ends its calls."""
        ...


class GrpcioTransport(Transport):
    """A `Transport` whose slots are threads, spread over `connections` channels.

    `requests` are serialised ModelInferRequest messages; a call ends after `timeout` seconds.
    """

    def __init__(
        self, address: str, requests: Sequence[bytes], slots: int, timeout: float, *,
        connections: int = 1, access: Access = PLAIN,
    ) -> None:  # fmt: skip
        super().__init__(requests, slots)
        self._address, self._access, self._timeout = address, access, timeout
        self._requests = list(requests)
        self._metadata = access.metadata or None
        self._channels: list[Channel] = []
        self._wished = max(1, min(connections, slots))
        self._finished: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._slots: list[_Slot] = []
        self._number = slots

    def open(self) -> None:
        """Connect every channel, and start the threads. Raises ServerDiedError."""
        import grpc

        for _ in range(self._wished):
            channel = self._channel()
            self._channels.append(channel)
            try:
                grpc.channel_ready_future(channel).result(CONNECT_TIMEOUT_S)
            except grpc.FutureTimeoutError:
                connect(self._address).close()  # nobody there: it says so
                raise ServerDiedError(
                    f"no TLS connection to the server at {self._address} within "
                    f"{CONNECT_TIMEOUT_S:g} s: is its certificate trusted, and for that name?"
                ) from None
        self._slots = [self._slot(number) for number in range(self._number)]

    def _channel(self) -> Channel:
        import grpc

        if self._access.tls is None:
            return cast(Channel, grpc.insecure_channel(self._address, list(OPTIONS)))
        credentials, more = grpc_credentials(self._address, self._access.tls)
        channel = grpc.secure_channel(self._address, credentials, [*OPTIONS, *more])
        return cast(Channel, channel)

    def _slot(self, number: int) -> _Slot:
        call = self._channels[number % len(self._channels)].unary_unary(METHOD.decode())

        def ask(message: bytes) -> bytes:
            return call(message, self._timeout, self._metadata)

        return _Slot(number, ask, self.sent, self._finished)

    def send(self, slot: int, request: int) -> None:
        """Let the slot's thread make the call."""
        self.sent[slot] = _clock()  # the thread sets it again when it begins
        self._slots[slot].inbox.put(self._requests[request])

    def poll(self, seconds: float) -> None:
        """Take what has finished, waiting for at most `seconds`. Raises ServerDiedError."""
        take = self._finished.get
        try:
            self._take(*(take(timeout=seconds) if seconds > 0 else take(block=False)))
            while True:
                self._take(*take(block=False))
        except queue.Empty:
            return

    def _take(self, slot: _Slot, now: int, answer: bytes | CallError) -> None:
        if self._slots[slot.number] is not slot:
            return  # given up
        if isinstance(answer, bytes):
            if self.wanted[slot.number]:
                self.keep(slot.number, answer)
            self.done(slot.number, now)
            return
        import grpc

        code = answer.code()
        status = TIMEOUT if code is grpc.StatusCode.DEADLINE_EXCEEDED else ERROR
        self.failed(slot.number, now, status, f"gRPC status {code.value[0]}: {answer.details()}")
        if code is grpc.StatusCode.UNAVAILABLE and of_transport(answer.details()):
            connect(self._address).close()  # raises when the server has gone

    def abandon(self, slot: int) -> None:
        """Leave the slot's thread to its time-out; a new one takes its place."""
        self._slots[slot].inbox.put(None)
        self._slots[slot] = self._slot(slot)

    def close(self) -> None:
        """Close every channel, which ends the calls that are open."""
        for slot in self._slots:
            slot.inbox.put(None)
        for channel in self._channels:
            channel.close()


Finished = tuple["_Slot", int, bytes | CallError]
"""A slot, when its call had ended (monotonic ns), and what came of it."""


class _Slot:
    """One thread that makes one call at a time; `inbox` takes messages, and None to end it."""

    def __init__(
        self, number: int, ask: Callable[[bytes], bytes], sent: list[int],
        finished: queue.SimpleQueue[Finished],
    ) -> None:  # fmt: skip
        self.number = number
        self.inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ask, self._sent, self._finished = ask, sent, finished
        threading.Thread(target=self._work, name=f"grpc-{number}", daemon=True).start()

    def _work(self) -> None:
        import grpc

        inbox, finished, ask, sent = self.inbox, self._finished, self._ask, self._sent
        while (message := inbox.get()) is not None:
            sent[self.number] = _clock()
            try:
                answer = ask(message)
            except grpc.RpcError as error:
                answer = error
            except ValueError:
                return  # the channel was closed
            finished.put((self, _clock(), answer))
