"""Tenants in their processes: started in one mode, put under load together, ended in order.

Each tenant is a session of its own, as every backend's: worker, server if it has one, limits. Their
loads begin one after another and go on; the first tenant's worker warms up and cuts the window
while they do, as beside co-located models, and what the others did is cut out of the same window.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from harness.load.plan import LoadPlan, WindowSettings, plan_colocated
from harness.results.events import Event
from harness.run.environments import Interpreters
from harness.run.limited import Limited
from harness.run.session.served_model import SLACK_S
from harness.run.session.session import Running, Session, under_load
from harness.run.session.watch import gpu_of, gpu_place
from harness.run.worker.messages import ModelPrepared, PointMeasured
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.system.environment import worker_env
from harness.telemetry.client import Telemetry
from harness.tenants.design import Cell, Seat
from harness.tenants.settings import Mode, Tenant
from harness.tenants.sharing import Shared, shared


@dataclass(frozen=True, slots=True)
class Occupant:
    """A tenant, ready to be started: the scenario that it would be alone, and its model."""

    scenario: Scenario
    prepared: ModelPrepared

    @property
    def spec(self) -> AnyBackend:
        """Its backend."""
        return self.scenario.backends[0]


def scenario_of(scenario: Scenario, tenant: Tenant) -> Scenario:
    """A tenant as the only backend of a scenario."""
    spec = next(b for b in scenario.backends if tenant.backend in (None, b.name))
    load = scenario.load.model_copy(update={"batch_sizes": (tenant.load.batch_size,)})
    return scenario.model_copy(update={
        "model": tenant.model or scenario.model, "backends": (spec,), "load": load,
        "sharing": None, "stress": None,
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class Places:
    """Where a seating finds and leaves its files."""

    base: Path
    logs: Path
    cache: Path
    stem: str
    interpreters: Interpreters = field(default_factory=dict)


class Seating:
    """The processes of some tenants, in one mode. A context manager; `open` starts them."""

    def __init__(
        self, mode: Mode, seats: Sequence[Seat], occupants: Mapping[str, Occupant],
        places: Places, telemetry: Telemetry,
    ) -> None:  # fmt: skip
        self._mode, self._seats, self._occupants = mode, seats, occupants
        self._places, self._telemetry = places, telemetry
        self._stack = contextlib.ExitStack()
        self.shared = Shared()
        self.sessions: dict[str, Session] = {}
        """By seat."""

    @property
    def stem(self) -> str:
        """What its logs are named after."""
        return self._places.stem

    @property
    def spec(self) -> AnyBackend:
        """Of the first tenant; all are on the same device."""
        return self._occupants[self._seats[0].tenant].spec

    def open(self, tell: Callable[[Event], None], *, tried: bool) -> None:
        """Start all, load, and make the first calls; with `tried` the mode's limits are tried.

        Clients of MPS come one after another; other processes load at the same time. Raises
        HarnessError.
        """
        place, env = gpu_place(self.spec), worker_env(self._places.base)
        self.shared = self._stack.enter_context(shared(self._mode, place, env, tried=tried))
        for seat in self._seats:
            self.sessions[seat.name] = self._stack.enter_context(self._session(seat))
        for session in self.sessions.values():
            session.start()
        self._telemetry.watch(*self._watched(), keep=True)
        if self._mode.kind == "mps":
            for seat in self._seats:
                self._load(seat, tell)
        else:
            with ThreadPoolExecutor(len(self._seats)) as pool:
                list(pool.map(lambda seat: self._load(seat, tell), self._seats))
        self.shared.check(len(self._seats))

    def _session(self, seat: Seat) -> Session:
        occupant, places = self._occupants[seat.tenant], self._places
        session = Session(
            occupant.scenario, occupant.spec, {"": occupant.prepared}, base=places.base,
            logs=places.logs, stem=f"{places.stem}-{seat.name.replace('#', '-')}",
            cache=places.cache, telemetry=self._telemetry,
            interpreter=places.interpreters.get(occupant.spec.environment or ""),
            limited=Limited(self.shared.prefix),
        )  # fmt: skip
        session.measured.label = seat.tenant
        return session

    def _load(self, seat: Seat, tell: Callable[[Event], None]) -> None:
        self.sessions[seat.name].load(seat.load.batch_size, tell)

    def _watched(self) -> tuple[list[int], str | None]:
        """The processes whose memory and CPU count, and the GPU."""
        workers = [
            s.measured.worker.pid for s in self.sessions.values()
            if s.measured.worker is not None and not isinstance(s.spec, ServedSettings)
        ]  # fmt: skip
        servers = [
            s.measured.served.server.pid for s in self.sessions.values()
            if s.measured.served is not None and s.measured.served.server is not None
        ]  # fmt: skip
        return [*workers, *servers, *self.shared.pids], gpu_of(self.spec)

    @property
    def alive(self) -> bool:
        """Whether all processes can still take a load."""
        return all(session.alive for session in self.sessions.values())

    def measure(
        self, cell: Cell, round_: int, files: Mapping[str, Path], tell: Callable[[Event], None], *,
        discarded: bool = False,
    ) -> list[PointMeasured]:  # fmt: skip
        """Put every tenant under its load: what each did, in the order of the cell's seats.

        Raw samples go to the .npz files named in `files`, by seat. Raises HarnessError.
        """
        first, *others = cell.seats
        session = self.sessions[first.name]
        settings = window_of(session.measured.measurement)
        if discarded:
            settings = replace(settings, window_requests=1)
        seed, longest = session.measured.measurement.seed, settings.longest + SLACK_S

        def plan(seat: Seat, index: int) -> LoadPlan:
            return plan_colocated(seat.load, seed, round_, index, longest)

        loads = [
            Running(
                self.sessions[seat.name].measured, seat.load.batch_size, plan(seat, index),
                files[seat.name],
            )
            for index, seat in enumerate(others, 1)
        ]  # fmt: skip
        with under_load(loads) as stopped:
            measured = session.measured.measure(
                first.load.batch_size, settings, plan(first, 0), files[first.name], tell
            )
        return [measured, *stopped]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the workers to end, one after another, then MPS: a client that is killed at work can
        take its neighbours with it.
        """
        self._stack.close()


def window_of(m: Measurement) -> WindowSettings:
    """The lengths of warm-up and window, as of every point."""
    return WindowSettings(
        m.warmup, m.warmup_requests, m.window, m.window_requests, m.window_max, m.request_timeout
    )
