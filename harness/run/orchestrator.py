"""The orchestrator: rounds, sessions and points, in order, into the run directory. Never measures.

For each round, for each backend in shuffled order, a session (fresh worker, fresh server) measures
the backend's points in shuffled order. A fault is recorded on its point and the sweep goes on.
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness.analysis.capacity import summarize_capacity
from harness.analysis.summary import summarize
from harness.errors import HarnessError, ParityError
from harness.load.samples import Samples
from harness.measure.stopping import Targets, widest_first, width
from harness.measure.window import Window
from harness.run import ceiling
from harness.run.bench import Bench
from harness.run.beside_rows import with_beside
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
from harness.run.rows import (
    CeilingRow,
    FailureRow,
    LoadedRow,
    MeasurementRow,
    ParityRow,
    Row,
    ServerOnlyRow,
)
from harness.run.selection import Selection
from harness.run.server_only import EMPTY_S, server_only_row
from harness.run.session import Prepared, Session, beside_samples, prepare
from harness.run.store import RunData, RunStore, read_run
from harness.scenario.expand import RELOAD_SECONDS, Point, expand, left_out, takes
from harness.scenario.schema import AnyBackend, Parity, Scenario
from harness.scenario.variants import DEFAULT_CONFIG, configs, settings
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
        self._points = expand(scenario)
        self._specs = configs(scenario)
        ended = any(e["event"] == "search_ended" for e in done.events) if done else False
        self._selection = Selection(scenario, ended=ended)
        self._failures: list[FailureRow] = []
        """Of this process: what failed in an interrupted run is tried again."""
        self._fresh = done is None
        self._cut_rounds: set[int] = set()
        self._opening = 0.0
        """Seconds that opening the sessions of the current config took."""
        self._parity: dict[str, list[ParityRow]] = defaultdict(list)
        for row in done.parity if done else []:
            self._parity[row.backend].append(row)
        self._ceilings = ceiling.Ceilings(done.rows(CeilingRow) if done else ())
        self._empty = {row.backend for row in done.rows(ServerOnlyRow)} if done else set()
        """Backends whose server has been watched without a model."""
        self._given_up: set[str] = set()
        self._cores = len(os.sched_getaffinity(0))

    def run(self) -> None:
        """Measure everything that is missing."""
        points = self._points
        rounds = self._scenario.measurement.rounds
        self._tell({"event": "plan", "points": [p.id for p in points], "rounds": rounds,
                    "measured": len(self._measured),
                    "at_most": self._selection.open_ended})  # fmt: skip
        self._selection.check()
        for text in left_out(self._scenario) if self._fresh else ():
            self._add({"event": "note", "text": text})
        if not any(self._wanted(r, points) for r in range(self._rounds_max)):
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
            for round_ in range(self._rounds_max):
                wanted = self._wanted(round_, points)
                if not wanted:
                    continue  # a resumed run has finished its first rounds already
                self._round(round_, wanted, prepared, telemetry)
            self._write_best()
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
        """The points this round measures: all at first, then those whose intervals are too wide.

        Of several configs, those that the search asks for.
        """
        settings = self._scenario.measurement
        if round_ == 0:
            asked = {(b, c) for b in self._specs for c in self._next(b)}
        else:
            asked = self._selection.kept(self._rows, self._failures, round_)
        points = [p for p in points if (p.backend, p.config) in asked]
        if round_ < settings.rounds:
            return [p for p in points if self._missing(p, round_)]
        if self._budget_spent():
            return []
        again = set(self._selection.undecided(self._rows, self._failures, round_))
        if round_ < settings.rounds_max:
            again |= {w.point for w in widest_first(summarize(self._rows), self._targets)}
            again |= {c.point for c in summarize_capacity(self._capacities) if not c.narrow}
        return [p for p in points if p.id in again and self._missing(p, round_)]

    @property
    def _rounds_max(self) -> int:
        return max(self._scenario.measurement.rounds_max, self._selection.rounds_max)

    def _next(self, backend: str) -> list[str]:
        """The configs that the search asks for in the first round."""
        tried = {(f.point, f.round) for f in self._failures} | self._measured
        points = [p for p in self._points if p.backend == backend]
        begun = [p.config for p in points if (p.id, 0) in tried]
        left = {p.config for p in points if (p.id, 0) not in tried and p.id not in self._given_up}
        done = [c for c in dict.fromkeys(p.config for p in points) if c not in left]
        return self._selection.next(backend, self._rows, done, begun)

    def _budget_spent(self) -> bool:
        return self._selection.spent()

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
                else "for the choice" if found.rounds > settings.rounds_max
                else f"rounds_max ({settings.rounds_max}) reached"
            )  # fmt: skip
            self._add({
                "event": "reached", "point": found.point, "rounds": found.rounds, "why": why,
                "half_widths": dict(found.half_widths),
            })  # fmt: skip
        if text := self._selection.not_told_apart(self._rows, self._failures):
            self._add({"event": "note", "text": text})

    # -- rounds and sessions --------------------------------------------------------------------

    def _round(
        self, round_: int, points: list[Point], prepared: Prepared, telemetry: Telemetry
    ) -> None:
        shuffle = random.Random(f"{self._scenario.measurement.seed}/{round_}").shuffle
        backends = list(self._scenario.backends)
        shuffle(backends)
        for spec in backends:
            stem = f"r{round_}-{spec.name}"
            with Bench(stem) if self._selection.varied(spec.name) else nullcontext() as bench:
                for config, mine in self._in_order(spec.name, round_, points, shuffle):
                    if self._too_late(spec.name, config, round_, points):
                        break
                    self._config(spec.name, config, round_, mine, prepared, telemetry, bench)

    def _in_order(
        self, backend: str, round_: int, points: list[Point], shuffle: Callable[[list[Any]], None]
    ) -> Iterator[tuple[str, list[Point]]]:
        """A backend's configs, each with its points, in the order of measuring.

        Shuffled, but those that one server can serve come together, and where a budget may end
        the search early the default comes first.
        """
        early = round_ == 0 and self._scenario.budget is not None

        def place(item: tuple[str, list[Point]]) -> tuple[bool, Any]:
            return early and item[0] != DEFAULT_CONFIG, self._environment(backend, item[0])

        for wave in self._waves(backend, round_, points):
            by_config = list(_by_config(wave).items())
            shuffle(by_config)
            for config, mine in sorted(by_config, key=place):
                shuffle(mine)
                yield config, mine

    def _waves(self, backend: str, round_: int, points: list[Point]) -> Iterator[list[Point]]:
        """A backend's points of one round; in the first, in portions that the search asks for."""
        if round_ > 0:
            yield [p for p in points if p.backend == backend]
            return
        while asked := self._next(backend):
            mine = [p for p in self._points if p.backend == backend and p.config in asked]
            mine = [p for p in mine if self._missing(p, 0)]
            if not mine:
                return
            yield mine

    def _environment(self, backend: str, config: str) -> tuple[tuple[str, str], ...]:
        """The server's environment, for grouping."""
        spec = self._specs[backend][config]
        return tuple(sorted(spec.environment.items())) if spec.kind == "triton" else ()

    def _too_late(self, backend: str, config: str, round_: int, points: list[Point]) -> bool:
        """Whether the budget ends the search here; says once what is then not measured."""
        if not self._selection.too_late(round_, config):
            return False
        if round_ == 0 and not self._selection.ended:
            self._selection.ended = True
            seen = {(r.backend, r.config) for r in self._rows}
            planned = dict.fromkeys((p.backend, p.config) for p in self._points)
            self._add({
                "event": "search_ended", "why": "budget",
                "not_measured": [f"{b}/{c}" for b, c in planned if (b, c) not in seen],
            })  # fmt: skip
        elif round_ > 0 and round_ not in self._cut_rounds:
            self._cut_rounds.add(round_)
            left = dict.fromkeys(f"{p.backend}/{p.config}" for p in points
                                 if self._missing(p, round_))  # fmt: skip
            text = f"the budget was spent in round {round_ + 1}; not measured again in it: "
            self._add({"event": "note", "text": text + ", ".join(left)})
        return True

    def _config(
        self, backend: str, config: str, round_: int, points: list[Point], prepared: Prepared,
        telemetry: Telemetry, bench: Bench | None,
    ) -> None:  # fmt: skip
        """Measure points of one config, in as many sessions as it takes."""
        attempt, began, self._opening = 0, time.monotonic(), 0.0
        while points:
            points = self._session(
                self._specs[backend][config], config, round_, attempt, points, prepared, telemetry,
                bench,
            )  # fmt: skip
            attempt += 1
        starts_anew = max(0.0, self._opening - RELOAD_SECONDS)  # a server that the next one has
        self._selection.took(time.monotonic() - began - starts_anew)

    def _missing(self, point: Point, round_: int) -> bool:
        return (point.id, round_) not in self._measured and point.id not in self._given_up

    def _session(
        self, spec: AnyBackend, config: str, round_: int, attempt: int, points: list[Point],
        prepared: Prepared, telemetry: Telemetry, bench: Bench | None,
    ) -> list[Point]:  # fmt: skip
        """Measure `points` until they are done or the session breaks; what is left to do."""
        stem = f"r{round_}-{spec.name}" + (f"-{config}" if bench is not None else "")
        stem += f"-{attempt}" if attempt else ""
        logs = self._store.path / "logs"
        self._tell({"event": "session", "backend": spec.name, "config": config, "round": round_})
        with Session(
            self._scenario, spec, prepared, base=self._paths.base, logs=logs, stem=stem,
            cache=self._paths.cache, telemetry=telemetry, config=config, bench=bench,
        ) as session:  # fmt: skip
            log = f"logs/{session.log.name}"
            session.empty_for = 0.0 if spec.name in self._empty else EMPTY_S
            session.telemetry_file = f"telemetry/{stem}.parquet"
            try:
                flags = self._open(session, spec, config, round_, telemetry)
            except HarnessError as error:
                for point in points:
                    self._fail(point, round_, error, log)
                return []
            left = list(points)
            while left and session.alive:
                point = left.pop(0)
                if point.shape == "find_capacity":
                    self._capacity(session, point, round_, telemetry, flags, log)
                elif self._missing(point, round_):  # else a search came by it
                    self._point(session, point, round_, telemetry, flags, log)
            telemetry.save(self._store.path / session.telemetry_file)
        return left

    def _open(
        self, session: Session, spec: AnyBackend, config: str, round_: int, telemetry: Telemetry
    ) -> tuple[str, ...]:
        """Load, note what it cost, and check parity once; flags that every point then carries."""
        batches = [b for b in self._scenario.load.batch_sizes if takes(spec, b)]
        began = time.monotonic()
        loaded = session.open(min(batches), self._observer.notify)
        self._opening += time.monotonic() - began
        for text in session.notes if round_ == 0 else ():
            self._add({"event": "note", "text": f"{spec.name}/{config}: {text}"})
        readings = telemetry.read()
        host = readings["host_bytes"].value[-1] / MIB if "host_bytes" in readings else None
        times = [s.t_ns for s in readings.values() if s.t_ns.size]
        gpu = gpu_readings(readings, int(times[0][0]), int(times[0][-1]) + 1) if times else {}
        ends = dict(loaded["details"].get("stages_ns", {}))
        if session.remote:  # the server has loaded before the client begins
            ends = {**session.stages_ns, "warm": ends["warm"]}
        stages = gpu_stages(readings, ends)
        if session.empty_ns is not None:
            self._empty.add(spec.name)
            self._add(server_only_row(spec.name, round_, readings, session.empty_ns))
        details = {
            **loaded["details"], "stages_ns": ends,
            "telemetry": session.telemetry_file, **({"gpu_stages": stages} if stages else {}),
            **({"config": c} if (c := session.server_config) else {}),
            **self._about(spec, session),
        }  # fmt: skip
        self._add(LoadedRow(
            spec.name, round_, loaded["seconds"], loaded["first_call_ms"], loaded["bytes_on_disk"],
            host, gpu.get("gpu_memory_mib"), details, config,
        ))  # fmt: skip
        checked = {row.batch_size for row in self._parity[spec.name]}
        if unchecked := [b for b in batches if b not in checked]:
            rows = session.parity(unchecked, self._observer.notify)
            self._parity[spec.name] += rows
            for row in rows:
                self._add(row)
        beside = self._check_beside(session)
        rows = [r for r in self._parity[spec.name] if r.batch_size in batches]
        return self._judge(rows) or beside

    def _check_beside(self, session: Session) -> tuple[str, ...]:
        """Parity of the models beside, each once; flags as `_judge` gives them."""
        flags: tuple[str, ...] = ()
        for other in session.beside:
            name = f"{session.spec.name}+{other.name}"
            if not self._parity[name]:
                self._parity[name] = session.beside_parity(other, self._observer.notify)
                for row in self._parity[name]:
                    self._add(row)
            flags = self._judge(self._parity[name], other.other.spec.parity, other.name) or flags
        return flags

    def _about(self, spec: AnyBackend, session: Session) -> dict[str, Any]:
        """What tells this config from others, and where its model directory is."""
        if spec.kind != "triton" or not self._selection.varied(spec.name):
            return {}
        found: dict[str, Any] = {"settings": settings(spec, max(self._scenario.load.batch_sizes))}
        directory = session.model_directory
        if directory is not None and directory.is_relative_to(self._store.path):
            found["model_directory"] = str(directory.relative_to(self._store.path))
        return found

    def _write_best(self) -> None:
        """The best config of a search as a model directory, and a journal line on it."""
        if not self._selection.searching:
            return
        from harness.triton.best import write_best

        try:
            found = write_best(read_run(self._store.path))
        except (HarnessError, OSError) as error:
            self._add({"event": "note", "text": f"the best config was not written: {error}"})
            return
        self._add({"event": "best", **found})

    def _judge(
        self, rows: Iterable[ParityRow], parity: Parity | None = None, beside: str = ""
    ) -> tuple[str, ...]:
        """Raise ParityError if outputs disagree, unless the scenario says to measure anyway."""
        bad = [row for row in rows if row.status == "disagrees"]
        if not bad:
            return ()
        if (parity or self._scenario.model.parity).on_mismatch == "measure":
            return ("parity",)
        others = [str(row.batch_size) for row in bad[1:]]
        raise ParityError(
            (f"{beside}, " if beside else "")
            + f"batch {bad[0].batch_size}: {bad[0].message}"
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
        others = {o.name: beside_samples(raw, o.name) for o in session.beside}
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
        limit = self._ceiling(session, point, answer, samples, window)
        conditions = Conditions(
            self._cores, session.remote, flags, limit, answer.get("outputs_checked", 0), wrong,
            answer.get("metrics"),
        )  # fmt: skip
        row = measurement_row(
            point, round_, started, window, samples, telemetry.read(), path, conditions
        )
        if (clock := telemetry.clock) is not None:
            row = replace(row, details={**row.details, "telemetry_clock": clock})
        if others:
            models = [o.other for o in session.beside]
            row = with_beside(row, models, answer["beside"], others, self._store.path)
        return row, samples

    def _ceiling(
        self, session: Session, point: Point, answer: Mapping[str, Any], samples: Samples,
        window: Window,
    ) -> float | None:  # fmt: skip
        """What the generator reaches with such requests; measured here where it is not known."""
        size = int(answer.get("input_bytes", 0))
        asked = ceiling.wanted(session.spec, point, size)
        if asked is None:
            return None
        finished = (samples.done > window.begin_ns) & (samples.done <= window.end_ns)
        rate = float(finished.sum()) / (window.end_ns - window.begin_ns) * 1e9
        while (found := self._ceilings.known(*asked, rate)) is None:
            row = ceiling.measure(session, *asked, size, self._ceilings.tries(*asked) + 1)
            self._ceilings.add(row)
            self._add(row)
        return found or None

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
        row = FailureRow(
            point.id, round_, point.backend, error.reason, error.message, error.fix, log
        )
        self._failures.append(row)
        self._add(row)

    # -- telling --------------------------------------------------------------------------------

    def _add(self, event: Row | Mapping[str, Any]) -> None:
        """Write a journal line and tell the observer."""
        self._store.append(event)
        self._tell(event.to_event() if isinstance(event, Row) else event)

    def _tell(self, event: Mapping[str, Any]) -> None:
        self._observer.notify(event)


def _by_config(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Points of one backend by config."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.config, []).append(point)
    return found
