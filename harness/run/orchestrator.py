"""The orchestrator: rounds, sessions and points, in order, into the run directory. Never measures.

For each round, for each backend in balanced order, a session (fresh worker, fresh server) measures
the backend's points, loads ascending. A fault is recorded on its point and the sweep goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.analysis.metrics import CONFIRMATION
from harness.errors import HarnessError
from harness.results import events
from harness.results.store import RunData, RunStore, read_run
from harness.run.environments import Interpreters
from harness.run.interleave import measure_in_turns
from harness.run.point import PointMeasurement
from harness.run.rounds import Extra, Rounds, heaviness
from harness.run.selection import Selection
from harness.run.session.loading import EMPTY_S, open_session
from harness.run.session.preparing import Prepared, artifacts, model_notes, prepare
from harness.run.session.session import Session
from harness.run.session.shared import Shared
from harness.run.session.spare import Spare
from harness.run.shard import Shard
from harness.run.state import RunState
from harness.run.to_come import to_come
from harness.run.turns import Turns
from harness.scenario.points import RELOAD_SECONDS, Point, expand, left_out
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs
from harness.system.faults import known
from harness.telemetry.client import Telemetry


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are."""

    base: Path
    """The scenario's folder: relative paths and user modules are found from here."""
    cache: Path
    interpreters: Interpreters = field(default_factory=dict)
    """By the name of an environment."""


@dataclass(frozen=True, slots=True)
class _Round:
    """One round, and what its sessions are given."""

    number: int
    prepared: Prepared
    telemetry: Telemetry


class Orchestrator:
    """One run of one scenario."""

    def __init__(
        self, scenario: Scenario, store: RunStore, paths: Paths, observer: events.Observer,
        done: RunData | None = None, check: Callable[[], None] = lambda: None,
        extra: Extra | None = None, shard: Shard | None = None,
    ) -> None:  # fmt: skip
        """`check` is called at each step, and may raise."""
        self._scenario, self._store, self._paths = scenario, store, paths
        self._state = RunState(store, observer, done, check)
        self._points, self._specs = expand(scenario), configs(scenario)
        spent = done.rows(events.Spent) if done else []
        self._selection = Selection(
            scenario, ended=bool(done and done.rows(events.SearchEnded)),
            spent=spent[-1].seconds if spent else 0.0,
        )  # fmt: skip
        if scenario.budget is not None:
            self._state.spent = lambda: self._selection.spent
        self._rounds = Rounds(
            scenario, self._points, self._specs, self._selection, self._state, extra, shard
        )
        self._turns, self._spare = Turns.here(), Spare(store.path / "logs", paths.base)
        compares = extra is not None and len(scenario.backends) == 2
        self._interleave_s = (compares and scenario.measurement.interleave) or 0.0
        self._concluded = bool(done and done.rows(events.Reached))
        self._opening = 0.0
        """Seconds that opening the sessions of the current config took."""

    def run(self) -> None:
        """Measure everything that is missing."""
        state, rounds = self._state, self._rounds
        planned = {p.id for p in self._points}
        state.notify(events.Plan(
            tuple(p.id for p in self._points), rounds.planned,
            sum(point in planned for point, _ in state.measured), self._selection.open_ended,
        ))  # fmt: skip
        self._selection.check()
        for text in left_out(self._scenario) if state.fresh else ():
            state.note(text)
        if not any(map(rounds.wanted, range(rounds.most))) and not any(rounds.confirmation()):
            if not self._concluded:
                self._conclude()
            return
        state.notify(events.Status("preparing the model"))
        try:
            with self._turns.of():
                prepared = self._prepare()
        except Exception as error:
            for point in self._points:
                state.fail(point, 0, error, "logs/prepare.log")
            return
        raw = self._store.path / "telemetry" / ".raw"
        log = self._store.path / "logs" / "telemetry.log"
        with Telemetry(raw, log) as telemetry, self._spare:
            for round_ in range(rounds.most):
                # none where a resumed run has finished its first rounds already
                if wanted := rounds.wanted(round_):
                    if why := rounds.why_added(round_, wanted):
                        state.notify(events.RoundAdded(round_, len(wanted), why))
                    state.stages = rounds.added(round_, wanted)
                    self._round(_Round(round_, prepared, telemetry), wanted)
            for round_, wanted in rounds.confirmation():
                state.notify(events.RoundAdded(round_, len(wanted), "to confirm the choice"))
                state.stages = {point.id: CONFIRMATION for point in wanted}
                self._round(_Round(round_, prepared, telemetry), wanted)
            self._conclude()

    def _prepare(self) -> Prepared:
        prepared = prepare(
            self._scenario, base=self._paths.base, logs=self._store.path / "logs",
            cache=self._paths.cache, tell=self._state.notify,
        )  # fmt: skip
        for artifact in artifacts(prepared):
            self._state.add(artifact)
        for text in model_notes(prepared, self._scenario) if self._state.fresh else ():
            self._state.note(text)
        return prepared

    def _round(self, this: _Round, points: list[Point]) -> None:
        if self._interleave_s:
            self._interleaved(this, points)
            points = [p for p in points if self._state.missing(p, this.number)]
        for backend in self._rounds.backends(this.number):
            varied = self._selection.varied(backend) and not self._rounds.apart
            with Shared(f"r{this.number}-{backend}") if varied else nullcontext() as shared:
                for config, mine in self._rounds.in_order(backend, this.number, points):
                    state, wanted = self._state, list(dict.fromkeys([*points, *mine]))
                    state.notify(to_come(
                        self._scenario, wanted, this.number, self._rounds, self._selection, state
                    ))  # fmt: skip
                    self._config(this, self._specs[backend][config], config, mine, shared)

    def _config(
        self, this: _Round, spec: AnyBackend, config: str, points: list[Point],
        shared: Shared | None,
    ) -> None:  # fmt: skip
        """Measure points of one config, in as many sessions as it takes."""
        began, self._opening = time.monotonic(), 0.0
        stem = f"r{this.number}-{spec.name}"
        stem += f"-{config}" if self._selection.varied(spec.name) else ""
        left, sessions = self._rounds.sessions(points), 0
        while left:
            name = stem + (f"-{sessions}" if sessions else "")
            rest = self._session(this, spec, config, name, left[0], shared)
            left[:1] = [rest] if rest else []
            sessions += 1
        starts_anew = max(0.0, self._opening - RELOAD_SECONDS)  # a server that the next one has
        self._selection.add_duration(time.monotonic() - began - starts_anew)

    def _session(
        self, this: _Round, spec: AnyBackend, config: str, stem: str, points: list[Point],
        shared: Shared | None,
    ) -> list[Point]:  # fmt: skip
        """Measure `points` until they are done or the session breaks; what is left to do."""
        left = list(points)
        with self._measuring(this, spec, config, stem, left, shared) as measurement:
            # one at least: what ends whenever it was opened would be opened for ever
            while left and measurement and (measurement.session.alive or left == points):
                self._measure(measurement, left[0])
                del left[0]
        return left

    @contextmanager
    def _measuring(
        self, this: _Round, spec: AnyBackend, config: str, stem: str, left: list[Point],
        shared: Shared | None = None,
    ) -> Iterator[PointMeasurement | None]:  # fmt: skip
        """An open session, in which the first of the points that are `left` was measured once for
        nothing; None where it could not be opened.

        Whatever is raised is recorded on the points that are left, which are taken out, or is a
        note if none are.
        """
        state, telemetry, opened = self._state, this.telemetry, False
        state.notify(events.SessionStarted(spec.name, config, this.number))
        log = f"logs/{stem if shared is None else shared.stem}.log"
        fresh = shared is None or not shared.workers  # it starts its processes
        try:
            with Session(
                self._scenario, spec, this.prepared, base=self._paths.base,
                logs=self._store.path / "logs", stem=stem, cache=self._paths.cache,
                telemetry=telemetry, config=config, shared=shared,
                interpreter=self._paths.interpreters.get(spec.environment or ""), spare=self._spare,
            ) as session:  # fmt: skip
                session.telemetry_file = f"telemetry/{stem}.parquet"
                with self._turns.of():
                    self._open(session, this)
                    measurement = PointMeasurement(
                        session, state, telemetry, this.number, log, self._rounds.longer_window
                    )
                    if fresh and not self._discard(measurement, left[0]):
                        del left[0]
                opened = True
                yield measurement
                self._save(telemetry, session.telemetry_file, stem)
        except Exception as error:
            for point in left:
                state.fail(point, this.number, error, log)
            if not left:
                state.note(f"{stem}, after its last point: {known(error).message}")
            left.clear()
            if not opened:
                yield None

    def _discard(self, measurement: PointMeasurement, point: Point) -> bool:
        """Measure `point` for nothing, while the next client starts; False where it failed."""
        if measurement.session.remote:
            self._spare.start()
        measured = measurement.discard(point)
        self._spare.wait()
        return measured

    def _save(self, telemetry: Telemetry, file: str, stem: str) -> None:
        telemetry.save(self._store.path / file)
        if telemetry.problem:
            self._state.note(f"{stem}: {telemetry.problem}")

    def _interleaved(self, this: _Round, points: list[Point]) -> None:
        """Measure the points that two backends have in common in turns, both loaded. What can't be
        measured so is left: it is measured as it is without turns.
        """
        names = self._rounds.backends(this.number)
        one, other = ({p.id.partition("/")[2]: p for p in points if p.backend == n} for n in names)
        found = [(p, other[at]) for at, p in one.items() if p.concurrency and at in other]
        if not (pairs := sorted(found, key=lambda pair: heaviness(pair[0]))):
            return
        left = [list(points) for points in zip(*pairs, strict=True)]
        raw = self._store.path / "telemetry" / ".raw-2"
        with (
            Telemetry(raw, self._store.path / "logs" / "telemetry-2.log") as telemetry,
            self._only(this, names[0], left[0]) as first,
            self._only(replace(this, telemetry=telemetry), names[1], left[1]) as second,
        ):
            for pair in pairs:
                if not (first and second and first.session.alive and second.session.alive):
                    return
                if all(self._state.missing(point, this.number) for point in pair):
                    with self._turns.of(pair[0].id):
                        sides = list(zip((first, second), pair, strict=True))
                        measure_in_turns(sides, self._interleave_s)
                for points_, point in zip(left, pair, strict=True):
                    points_[:] = [p for p in points_ if p is not point]

    def _only(
        self, this: _Round, name: str, points: list[Point]
    ) -> AbstractContextManager[PointMeasurement | None]:
        """A session of a backend that has one config."""
        ((config, spec),) = self._specs[name].items()
        return self._measuring(this, spec, config, f"r{this.number}-{name}", points)

    def _open(self, session: Session, this: _Round) -> None:
        backend, began = session.spec.name, time.monotonic()
        session.watch.empty_for = 0.0 if backend in self._state.empty else EMPTY_S
        varied = self._selection.varied(backend)
        open_session(
            session, self._scenario, self._state, this.telemetry, this.number, varied=varied
        )
        self._opening += time.monotonic() - began

    def _measure(self, measurement: PointMeasurement, point: Point) -> None:
        with self._turns.of(point.id):
            if point.shape == "find_capacity":
                measurement.capacity(point, self._scenario.load, {p.id for p in self._points})
            elif self._state.missing(point, measurement.round_):  # else a search came by it
                measurement.point(point)

    def _conclude(self) -> None:
        """What was reached, and what the search found."""
        self._write_best()
        self._rounds.conclude()

    def _write_best(self) -> None:
        """The best config of a search as a model directory, and a journal line on it."""
        if not self._selection.searching:
            return
        from harness.search.best_config import write_best

        try:
            self._state.add(write_best(read_run(self._store.path), own=True))
        except (HarnessError, OSError) as error:
            self._state.note(f"the best config was not written: {error}")
