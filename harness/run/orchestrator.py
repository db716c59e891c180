"""The orchestrator: rounds, sessions and points, in order, into the run directory. Never measures.

For each round, for each backend in shuffled order, a session (fresh worker, fresh server) measures
the backend's points in shuffled order. A fault is recorded on its point and the sweep goes on.
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness.analysis.capacity import summarize_capacity
from harness.analysis.summary import summarize
from harness.errors import HarnessError, ParityError
from harness.load.samples import Samples
from harness.measure.stopping import Targets, widest_first, width
from harness.measure.window import Window
from harness.run.capacity import Measured, find_capacity
from harness.run.manifest import utc_now
from harness.run.record import (
    MIB,
    Conditions,
    gpu_readings,
    gpu_stages,
    measurement_row,
    read_samples,
    write_samples,
)
from harness.run.rows import FailureRow, LoadedRow, MeasurementRow, ParityRow, Row
from harness.run.session import Prepared, Session, prepare
from harness.run.store import RunData, RunStore
from harness.scenario.expand import Point, expand
from harness.scenario.schema import AnyBackend, Scenario
from harness.telemetry.client import Telemetry

NOT_RETRIED = frozenset({
    "missing_package", "device", "usage", "setup", "parity", "out_of_memory", "hung",
})  # fmt: skip
"""Reasons that would come again: the point is not tried in later rounds."""


class Observer(Protocol):
    """Told of every journal line and of what is going on; must be quick and must not raise."""

    def notify(self, event: Mapping[str, Any]) -> None:
        """Take one event."""
        ...


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are."""

    base: Path
    """The scenario's folder: relative paths and user modules are found from here."""
    cache: Path


class Orchestrator:
    """One run of one scenario."""

    def __init__(
        self, scenario: Scenario, store: RunStore, paths: Paths, observer: Observer,
        done: RunData | None = None,
    ) -> None:  # fmt: skip
        self._scenario, self._store, self._paths, self._observer = scenario, store, paths, observer
        self._rows = list(done.measurements) if done else []
        self._capacities = list(done.capacities) if done else []
        self._measured = {(m.point, m.round) for m in self._rows}
        self._measured |= {(c.point, c.round) for c in self._capacities}
        self._planned = {p.id for p in expand(scenario)}
        self._began = time.monotonic()
        self._parity: dict[str, list[ParityRow]] = defaultdict(list)
        for row in done.parity if done else []:
            self._parity[row.backend].append(row)
        self._given_up: set[str] = set()
        self._cores = len(os.sched_getaffinity(0))

    def run(self) -> None:
        """Measure everything that is missing."""
        points = expand(self._scenario)
        rounds = self._scenario.measurement.rounds
        self._tell({"event": "plan", "points": [p.id for p in points], "rounds": rounds,
                    "measured": len(self._measured)})  # fmt: skip
        if not any(self._wanted(r, points) for r in range(self._scenario.measurement.rounds_max)):
            return
        self._tell({"event": "status", "text": "preparing the model"})
        try:
            prepared = self._prepare()
        except HarnessError as error:
            for point in points:
                self._fail(point, 0, error, "logs/prepare.log")
            return
        raw = self._store.path / "telemetry" / ".raw"
        with Telemetry(raw, self._store.path / "logs" / "telemetry.log") as telemetry:
            for round_ in range(self._scenario.measurement.rounds_max):
                wanted = self._wanted(round_, points)
                if not wanted:
                    continue  # a resumed run has finished its first rounds already
                self._round(round_, wanted, prepared, telemetry)
            self._say_what_was_reached()
            if telemetry.problem:
                self._add({"event": "note", "text": telemetry.problem})

    def _prepare(self) -> Prepared:
        prepared, artifacts = prepare(
            self._scenario, base=self._paths.base, logs=self._store.path / "logs",
            cache=self._paths.cache,
        )  # fmt: skip
        for artifact in artifacts:
            self._add(artifact)
        return prepared

    # -- how many rounds ------------------------------------------------------------------------

    def _wanted(self, round_: int, points: list[Point]) -> list[Point]:
        """The points this round measures: all at first, then those whose intervals are too wide."""
        settings = self._scenario.measurement
        if round_ < settings.rounds:
            return [p for p in points if self._missing(p, round_)]
        if round_ >= settings.rounds_max or self._budget_spent():
            return []
        wide = {w.point for w in widest_first(summarize(self._rows), self._targets)}
        wide |= {c.point for c in summarize_capacity(self._capacities) if not c.narrow}
        return [p for p in points if p.id in wide and self._missing(p, round_)]

    def _budget_spent(self) -> bool:
        budget = self._scenario.measurement.budget
        return budget is not None and time.monotonic() - self._began > budget

    @property
    def _targets(self) -> Targets:
        wanted = self._scenario.measurement.targets
        return Targets(wanted.throughput, wanted.latency_p50, wanted.latency_p99)

    def _say_what_was_reached(self) -> None:
        """One journal line: the half-widths of every point, and why no round was added."""
        settings = self._scenario.measurement
        rows = summarize(r for r in self._rows if r.point in self._planned)
        for found in (width(row, self._targets) for row in rows):
            narrow = found.worst <= 1
            why = (
                "narrow enough" if narrow
                else "budget spent" if self._budget_spent()
                else f"rounds_max ({settings.rounds_max}) reached"
            )  # fmt: skip
            self._add({
                "event": "reached", "point": found.point, "rounds": found.rounds, "why": why,
                "half_widths": dict(found.half_widths),
            })  # fmt: skip

    # -- rounds and sessions --------------------------------------------------------------------

    def _round(
        self, round_: int, points: list[Point], prepared: Prepared, telemetry: Telemetry
    ) -> None:
        shuffle = random.Random(f"{self._scenario.measurement.seed}/{round_}").shuffle
        backends = list(self._scenario.backends)
        shuffle(backends)
        for spec in backends:
            mine = [p for p in points if p.backend == spec.name and self._missing(p, round_)]
            shuffle(mine)
            attempt = 0
            while mine:
                mine = self._session(spec, round_, attempt, mine, prepared, telemetry)
                attempt += 1

    def _missing(self, point: Point, round_: int) -> bool:
        return (point.id, round_) not in self._measured and point.id not in self._given_up

    def _session(
        self, spec: AnyBackend, round_: int, attempt: int, points: list[Point], prepared: Prepared,
        telemetry: Telemetry,
    ) -> list[Point]:  # fmt: skip
        """Measure `points` until they are done or the session breaks; what is left to do."""
        stem = f"r{round_}-{spec.name}" + (f"-{attempt}" if attempt else "")
        logs = self._store.path / "logs"
        self._tell({"event": "session", "backend": spec.name, "round": round_})
        with Session(
            self._scenario, spec, prepared, base=self._paths.base, logs=logs, stem=stem,
            cache=self._paths.cache, telemetry=telemetry,
        ) as session:  # fmt: skip
            try:
                smallest = min(self._scenario.load.batch_sizes)
                flags = self._open(session, spec, round_, smallest, telemetry)
            except HarnessError as error:
                for point in points:
                    self._fail(point, round_, error, f"logs/{stem}.log")
                return []
            left = list(points)
            while left and session.alive:
                point, log = left.pop(0), f"logs/{stem}.log"
                if point.shape == "find_capacity":
                    self._capacity(session, point, round_, telemetry, flags, log)
                elif self._missing(point, round_):  # else a search came by it
                    self._point(session, point, round_, telemetry, flags, log)
            telemetry.save(self._store.path / "telemetry" / f"{stem}.parquet")
        return left

    def _open(
        self, session: Session, spec: AnyBackend, round_: int, batch: int, telemetry: Telemetry
    ) -> tuple[str, ...]:
        """Load, note what it cost, and check parity once; flags that every point then carries."""
        loaded = session.open(batch, self._observer.notify)
        readings = telemetry.read()
        host = readings["host_bytes"].value[-1] / MIB if "host_bytes" in readings else None
        times = [s.t_ns for s in readings.values() if s.t_ns.size]
        gpu = gpu_readings(readings, int(times[0][0]), int(times[0][-1]) + 1) if times else {}
        ends = dict(loaded["details"].get("stages_ns", {}))
        if session.remote:
            ends.pop("baseline", None)  # the server has loaded before the client begins
        stages = gpu_stages(readings, ends)
        details = {
            **loaded["details"], **({"gpu_stages": stages} if stages else {}),
            **({"config": c} if (c := session.server_config) else {}),
        }  # fmt: skip
        self._add(LoadedRow(
            spec.name, round_, loaded["seconds"], loaded["first_call_ms"], loaded["bytes_on_disk"],
            host, gpu.get("gpu_memory_mib"), details,
        ))  # fmt: skip
        if spec.name not in self._parity:
            rows = session.parity(self._scenario.load.batch_sizes, self._observer.notify)
            self._parity[spec.name] = rows
            for row in rows:
                self._add(row)
        return self._judge(self._parity[spec.name])

    def _judge(self, rows: Iterable[ParityRow]) -> tuple[str, ...]:
        """Raise ParityError if outputs disagree, unless the scenario says to measure anyway."""
        bad = [row for row in rows if row.status == "disagrees"]
        if not bad:
            return ()
        if self._scenario.model.parity.on_mismatch == "measure":
            return ("parity",)
        others = [str(row.batch_size) for row in bad[1:]]
        raise ParityError(
            f"batch {bad[0].batch_size}: {bad[0].message}"
            + (f"; also at batch {', '.join(others)}" if others else ""),
            fix="see the parity table; `parity: {on_mismatch: measure}` times it anyway",
        )

    # -- one point ------------------------------------------------------------------------------

    def _point(
        self, session: Session, point: Point, round_: int, telemetry: Telemetry,
        flags: tuple[str, ...], log: str,
    ) -> None:  # fmt: skip
        try:
            row, _ = self._measure(session, point, round_, telemetry, flags)
        except HarnessError as error:
            self._fail(point, round_, error, log)
        else:
            self._keep(row)

    def _measure(
        self, session: Session, point: Point, round_: int, telemetry: Telemetry,
        flags: tuple[str, ...],
    ) -> tuple[MeasurementRow, Samples]:  # fmt: skip
        """Measure, and write the samples; the row is not in the journal yet."""
        self._tell({"event": "point", "point": point.id, "round": round_})
        name = f"{point.id.replace('/', '--')}--r{round_}"
        raw = self._store.path / "samples" / f".{name}.npz"
        started = utc_now()
        try:
            answer = session.measure(point, round_, raw, self._observer.notify)
        finally:
            samples = Samples.load(raw) if raw.exists() else None
            raw.unlink(missing_ok=True)
        assert samples is not None
        samples = replace(samples, messages=answer["messages"])
        window = Window(**answer["window"])
        path = f"samples/{name}.parquet"
        metadata = {
            "point": point.id,
            "round": str(round_),
            "window_begin_ns": str(window.begin_ns),
            "window_end_ns": str(window.end_ns),
        }
        write_samples(self._store.path / path, samples, metadata)
        wrong = answer.get("outputs_wrong") or []
        conditions = Conditions(
            self._cores, session.remote, flags, None, answer.get("outputs_checked", 0), wrong
        )
        row = measurement_row(
            point, round_, started, window, samples, telemetry.read(), path, conditions
        )
        return row, samples

    def _keep(self, row: MeasurementRow) -> None:
        self._add(row)
        self._rows.append(row)
        self._measured.add((row.point, row.round))

    def _capacity(
        self, session: Session, point: Point, round_: int, telemetry: Telemetry,
        flags: tuple[str, ...], log: str,
    ) -> None:  # fmt: skip
        """Search for a capacity; each rate that is tried becomes a measurement of its own."""

        def measure(sub: Point, doubtful: Callable[[MeasurementRow, Samples], bool]) -> Measured:
            for done in self._rows:
                if (done.point, done.round) == (sub.id, round_):
                    return done, read_samples(self._store.path / done.samples)
            row, samples = self._measure(session, sub, round_, telemetry, flags)
            if doubtful(row, samples):
                self._add({"event": "measured_again", "point": sub.id, "round": round_,
                           "flags": list(row.flags)})  # fmt: skip
                row, samples = self._measure(session, sub, round_, telemetry, flags)
            if sub.id not in self._planned:
                row = replace(row, details={**row.details, "search": point.id})
            self._keep(row)
            return row, samples

        load = self._scenario.load
        assert load.find_capacity is not None
        before = [c for c in self._capacities if c.point == point.id]
        try:
            found = find_capacity(
                point, load.find_capacity, round_, before[-1] if before else None, measure,
                load.max_outstanding,
            )  # fmt: skip
        except HarnessError as error:
            self._fail(point, round_, error, log)
            return
        self._add(found)
        self._capacities.append(found)
        self._measured.add((point.id, round_))

    def _fail(self, point: Point, round_: int, error: HarnessError, log: str) -> None:
        if error.reason in NOT_RETRIED:
            self._given_up.add(point.id)
        self._add(FailureRow(
            point.id, round_, point.backend, error.reason, error.message, error.fix, log
        ))  # fmt: skip

    # -- telling --------------------------------------------------------------------------------

    def _add(self, event: Row | Mapping[str, Any]) -> None:
        """Write a journal line and tell the observer."""
        self._store.append(event)
        self._tell(event.to_event() if isinstance(event, Row) else event)

    def _tell(self, event: Mapping[str, Any]) -> None:
        self._observer.notify(event)
