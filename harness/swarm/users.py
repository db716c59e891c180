"""The harness's own Locust users: a Triton server asked over HTTP or gRPC, checked, recorded.

A request has a connection to itself, from a pool that is warm when the load begins and grows to as
many as are ever open at once; one that broke is made anew, as a client library does. Where nothing
answers, a closed loop's user waits `RETRY_S` before it tries
again: without that it would only count how fast a refusal comes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
from locust import User, task
from locust.exception import StopUser

from harness.backends.base import BackendContext
from harness.errors import UsageError
from harness.models.parity import compare, loosest
from harness.models.tensors import Tensors
from harness.results.samples import ERROR, OK, TIMEOUT, Int64
from harness.scenario.spec.model import Parity
from harness.swarm import shapes
from harness.swarm.arrivals import Arrivals, ClosedError
from harness.swarm.plan import EnginePlan, unpack
from harness.swarm.recorder import KEY, Recorder, Times, words
from harness.triton.client import errors
from harness.triton.client.backend import TritonBackend, TritonRequest, connect
from harness.triton.client.common import TritonReply
from harness.triton.client.connection import Connection

RETRY_S = 0.1
WARM = 16
"""Connections of a process that have answered once before the load begins."""
CHECK_EVERY = 64
"""Every so manieth answer of a process is compared with a quiet call's."""


class Station:
    """What the users of one process share: the requests, the arrivals, the recorder."""

    def __init__(self, plan: EnginePlan, recorder: Recorder) -> None:
        self.plan, self.recorder = plan, recorder
        stress = plan.shape_of
        self.open_loop = shapes.by_rate(stress.shape.chosen)
        self._shed = stress.overload == "shed"
        self.arrivals: Arrivals | None = None
        self.requests: list[TritonRequest] = []
        self._expected: list[Tensors] = []
        self._rule = Parity.model_validate(dict(plan.parity))
        prepared = plan.prepared
        self._precision = loosest(prepared.precision, plan.settings.precision)
        self.pool: list[Connection] = []
        """Connections that nobody uses."""
        self._count = itertools.count()
        context = BackendContext(prepared, plan.timeout, plan.http, plan.grpc, plan.served_name)
        self.backend = TritonBackend(plan.settings, context)

    def load(self, inputs: Sequence[Tensors]) -> None:
        """Connect, encode the requests, and keep what a quiet call answers to each.

        Raises ServerError.
        """
        self.backend.load()
        self.requests = [self.backend.prepare(tensors) for tensors in inputs]
        warm = [self.connect() for _ in range(WARM)]  # no caller: it would end gevent's hub
        for number, connection in enumerate(warm):
            reply = connection.infer(self.requests[number % len(self.requests)])
            if number < len(self.requests):
                self._expected.append(connection.outputs(reply))
        for request in self.requests[WARM:]:
            self._expected.append(warm[0].outputs(warm[0].infer(request)))
        self.pool += warm

    def begin(self, start_ns: int, due: Int64) -> None:
        """The load begins at `start_ns` of this host's clock; `due` follows it."""
        if self.open_loop:
            self.arrivals = Arrivals((due + start_ns).tolist(), self.recorder.add, shed=self._shed)
            gevent.spawn(self.arrivals.run)

    def next(self) -> tuple[int, int | None]:
        """The number of the next request, and when it was due. Raises ClosedError."""
        if self.arrivals is None:
            return next(self._count), None
        return self.arrivals.take()

    def done(self) -> None:
        """The request is over."""
        if self.arrivals is not None:
            self.arrivals.done()

    @property
    def drained(self) -> bool:
        """Whether nothing is due or open any more."""
        return self.arrivals is None or self.arrivals.drained

    def finish(self) -> None:
        """Nothing more is begun; what was due and not sent is counted."""
        if self.arrivals is not None:
            self.arrivals.give_up()

    def connect(self) -> Connection:
        """A connection that nobody else uses now: give it back to `pool`, or close it."""
        if self.pool:
            return self.pool.pop()
        return connect(self.plan.settings.protocol, self.backend.target)

    def wrong(self, connection: Connection, number: int, reply: TritonReply) -> str:
        """What is wrong with an answer, of every `CHECK_EVERY`-th; else empty."""
        if number % CHECK_EVERY:
            return ""
        expected = self._expected[number % len(self._expected)]
        return compare(connection.outputs(reply), expected, self._precision, self._rule).message


class TritonUser(User):
    """One client. `station` is set on the class that an engine makes of this one."""

    abstract = True
    station: ClassVar[Station]

    @task
    def request(self) -> None:
        """One request, from when it was due to its checked answer."""
        station = self.station
        try:
            number, due = station.next()
        except ClosedError:
            raise StopUser from None
        try:
            self._ask(number, due)
        finally:
            station.done()

    def _ask(self, number: int, due: int | None) -> None:
        station, status = self.station, OK
        error: Exception | None = None
        connection: Connection | None = None
        sent = time.monotonic_ns()
        scheduled = sent if due is None else due
        try:
            connection, target = station.connect(), station.backend.target
            request = station.requests[number % len(station.requests)]
            reply = connection.client.infer(
                target.name, request, target.version, **connection.limit
            )
            done = time.monotonic_ns()
            if wrong := station.wrong(connection, number, reply):
                error, status = RuntimeError(f"wrong outputs: {wrong}"), ERROR
            station.pool.append(connection)
        except Exception as failure:
            done = time.monotonic_ns()
            status, broken, kind = judged(failure)
            error = RuntimeError(kind)
            if connection is not None:
                connection.close() if broken else station.pool.append(connection)
            if broken and due is None:
                gevent.sleep(RETRY_S)
        self.environment.events.request.fire(
            request_type=station.plan.settings.protocol, name=station.plan.served_name,
            response_time=(done - sent) / 1e6, response_length=0, exception=error,
            context={KEY: Times(scheduled, sent, done, status)},
        )  # fmt: skip


def judged(error: Exception) -> tuple[int, bool, str]:
    """Status of a failed request, whether its connection is of no use any more, and its kind."""
    from tritonclient.utils import InferenceServerException

    if isinstance(error, InferenceServerException):
        status = errors.status_of(error)
        if status == "DEADLINE_EXCEEDED":
            return TIMEOUT, False, "no answer in time"
        codes = ("UNAVAILABLE", "CANCELLED", "UNKNOWN")
        if status in codes and errors.of_transport(errors.message_of(error)):
            return ERROR, True, f"the connection broke: {status}"
        return ERROR, False, errors.said(error)
    if isinstance(error, TimeoutError):
        return TIMEOUT, True, "no answer in time"
    return ERROR, True, f"the connection broke: {type(error).__name__}: {words(error)}"


def station_of(plan: EnginePlan, requests: bytes, recorder: Recorder, *, own: bool) -> Station:
    """The station, loaded where the users are the harness's `own`. Raises ServerError."""
    if plan.settings.protocol == "grpc":  # its threads know nothing of gevent unless told
        from grpc.experimental import gevent as grpc_gevent

        grpc_gevent.init_gevent()
    station = Station(plan, recorder)
    if own:
        station.load(unpack(requests))
    return station


def user_classes(plan: EnginePlan, station: Station, locustfile: str = "") -> list[type[User]]:
    """The harness's own users, or those of the locustfile. Raises UsageError."""
    path = locustfile or plan.shape_of.locustfile
    if not path:
        own: Any = type("Client", (TritonUser,), {"station": station, "abstract": False})
        return [own]
    from locust.util.load_locustfile import load_locustfile

    try:
        found = list(load_locustfile(path)[0].values())
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path} can't be used: {type(error).__name__}: {error}") from error
    if not found:
        raise UsageError(f"{path} has no user class", fix="define a subclass of locust.User")
    return found
