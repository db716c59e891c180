"""The harness's own Locust users: a Triton server asked over HTTP or gRPC, checked, recorded.

A request has a connection to itself (`harness.swarm.links`), from a pool that is warm when the load
begins and grows to as many as are ever open at once; one that broke is made anew, as a client
library does. Where nothing answers, a closed loop's user waits `RETRY_S` before it tries again:
without that it would only count how fast a refusal comes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
from locust import User, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING

from harness.backends.base import BackendContext, ServerAddress
from harness.errors import HarnessError, ServerDiedError, ServerError, UsageError
from harness.load.wire.generator import plan_for
from harness.load.wire.plan import Plan
from harness.load.wire.requests import DECODE
from harness.models.parity import compare, loosest
from harness.models.tensors import Tensors
from harness.results.samples import ERROR, OK, TIMEOUT, Int64
from harness.scenario.spec.model import Parity
from harness.swarm import shapes
from harness.swarm.arrivals import Arrivals, ClosedError
from harness.swarm.links import LATE, LINKS, AnsweredError, Link
from harness.swarm.plan import EnginePlan, unpack
from harness.swarm.recorder import KEY, Recorder, Times, words
from harness.triton.client.backend import TritonBackend
from harness.triton.client.common import all_to_host

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
        self._wire: Plan | None = None
        self._expected: list[Tensors] = []
        self._rule = Parity.model_validate(dict(plan.parity))
        prepared = plan.prepared
        self._precision = loosest(prepared.precision, plan.settings.precision)
        self.pool: list[Link] = []
        """Connections that nobody uses."""
        self._count = itertools.count()
        self.protocol, self._decode = plan.settings.protocol, DECODE[plan.settings.protocol]
        server = ServerAddress(plan.http, plan.grpc, plan.served_name)
        context = BackendContext(prepared, plan.timeout, server)
        self._backend = TritonBackend(plan.settings, context)

    def load(self, inputs: Sequence[Tensors]) -> None:
        """Connect, encode the requests, and keep what a quiet call answers to each.

        Raises ServerError.
        """
        with self._backend as backend:
            backend.load()
            made = [backend.prepare(tensors) for tensors in inputs]
            self._wire = plan_for(backend, made, 1, self.plan.timeout)
        for number in range(max(WARM, len(made))):
            link = self.connect() if number < WARM else self.pool[number % WARM]
            self.pool += [link] if number < WARM else []
            index = number % len(made)
            try:
                _, raw = link.ask(index, wanted=True)
            except HarnessError:
                raise
            except Exception as error:
                raise ServerError(f"a first request failed: {judged(error)[2]}") from error
            if number < len(made):
                self._expected.append(self._outputs(raw))

    def begin(self, start_ns: int, due: Int64) -> None:
        """The load begins at `start_ns` of this host's clock; `due` follows it."""
        if self.open_loop:
            self.arrivals = Arrivals((due + start_ns).tolist(), self.recorder.add, shed=self._shed)
            gevent.spawn(self.arrivals.run)

    def next(self) -> tuple[int, int | None]:
        """The number of the next request, and when it is due. Raises ClosedError."""
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

    @property
    def count(self) -> int:
        """Different requests."""
        return len(self._expected)

    def connect(self) -> Link:
        """A connection that nobody else uses now: give it back to `pool`."""
        if self.pool:
            return self.pool.pop()
        assert self._wire is not None, "load() comes first"
        return LINKS[self.protocol](self._wire)

    def _outputs(self, raw: bytes) -> Tensors:
        return all_to_host(self._backend.target, self._decode(raw))

    def wrong(self, index: int, raw: bytes) -> str:
        """What is wrong with an answer to that request; empty where it is as in quiet."""
        found = self._outputs(raw)
        return compare(found, self._expected[index], self._precision, self._rule).message


class TritonUser(User):
    """One client. `station` is set on the class that an engine makes of this one."""

    abstract = True
    station: ClassVar[Station]

    @task
    def requests(self) -> None:
        """One after the other, until there are no more or Locust ends this user. Its own way from
        one task to the next would take a third of what a request takes of this process.
        """
        station = self.station
        while self._state != LOCUST_STATE_STOPPING:
            try:
                number, due = station.next()
            except ClosedError:
                break
            try:
                self._ask(number, due)
            finally:
                station.done()
        raise StopUser

    def _ask(self, number: int, due: int | None) -> None:
        station, status = self.station, OK
        error: Exception | None = None
        broken, begun = False, time.monotonic_ns()
        index, checked = number % station.count, not number % CHECK_EVERY
        link = station.connect()
        try:
            done, raw = link.ask(index, checked, due or 0)
            if checked and (wrong := station.wrong(index, raw)):
                error, status = RuntimeError(f"wrong outputs: {wrong}"), ERROR
        except Exception as failure:
            done = time.monotonic_ns()
            status, broken, kind = judged(failure)
            error = RuntimeError(kind)
        sent = link.sent or begun
        station.pool.append(link)  # from here on it may be another user's
        if due is not None:
            gevent.sleep(0)  # what came meanwhile for other users is read before this is told
        if broken and due is None:
            gevent.sleep(RETRY_S)
        self.environment.events.request.fire(
            request_type=station.protocol, name=station.plan.served_name,
            response_time=(done - sent) / 1e6, response_length=0, exception=error,
            context={KEY: Times(sent if due is None else due, sent, done, status)},
        )  # fmt: skip


def judged(error: Exception) -> tuple[int, bool, str]:
    """Status of a failed request, whether its connection is of no use any more, and its kind."""
    if isinstance(error, TimeoutError):
        return TIMEOUT, True, LATE
    if isinstance(error, AnsweredError):
        return ERROR, False, words(error)
    cause = error.__cause__ if isinstance(error, ServerDiedError) else error
    return ERROR, True, f"the connection broke: {type(cause).__name__}: {words(cause or error)}"


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
