"""A sharing scenario carried out: rounds of seatings, cell after cell, into a run directory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.models.precision import check_precision, in_own_precision
from harness.results.events import (
    Discarded,
    Plan,
    PointStarted,
    RunEnded,
    RunResumed,
    RunStarted,
    Status,
)
from harness.results.manifest import make_manifest, utc_now
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, write_samples
from harness.results.store import RunData, RunStore
from harness.run.environments import Interpreters, make_environments
from harness.run.execute import Ended, Watch, default_directory, reread
from harness.run.interruption import Interruption
from harness.run.order import balanced
from harness.run.session.loading import compare_outputs
from harness.run.session.preparing import Preparing, loading_s
from harness.run.state import RunState
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.spec.scenario import Scenario
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.telemetry.client import Telemetry
from harness.tenants.cell_rows import Taken, cell_point, cell_rows
from harness.tenants.design import Cell, design
from harness.tenants.results import KIND
from harness.tenants.seating import Occupant, Places, Seating, scenario_of
from harness.tenants.settings import Sharing
from harness.tenants.stressors import scenario_beside, stressors

FEWEST_ROUNDS = 2
"""Which the budget does not cut: without them there is no interval."""


def start(loaded: LoadedScenario, output: Path | None, watch: Watch) -> Ended:
    """Measure a sharing scenario into a new run directory.

    Raises HarnessError where nothing can begin; what can't be measured is recorded on its cells.
    """
    base = loaded.path.resolve().parent
    scenario = in_own_precision(loaded.scenario, base)
    if scenario.sharing is None:
        raise UsageError(
            f"{loaded.path} has no `sharing`", fix="docs/sharing.md says what it holds"
        )
    directory = output or default_directory(scenario.scenario)
    manifest = make_manifest(scenario, loaded.text, loaded.path, list(loaded.overrides))
    store = RunStore.create(directory, {**manifest, "kind": KIND})
    return _measure(scenario, base, store, None, watch)


def resume(
    directory: Path, watch: Watch, *, path: Path | None = None, overrides: Sequence[str] = ()
) -> Ended:
    """Measure what is missing in a run directory, and what failed there.

    Raises RunDirectoryError as `harness run --resume`: where scenario, machine or packages differ.
    """
    scenario, base = reread(directory, path, overrides, KIND)
    store, done = RunStore.resume(directory)
    return _measure(scenario, base, store, done, watch)


def _measure(
    scenario: Scenario, base: Path, store: RunStore, done: RunData | None, watch: Watch
) -> Ended:
    sharing = scenario.sharing
    assert sharing is not None
    with store, Interruption() as interruption, temporary_folder():
        store.append(RunResumed(utc_now()) if done else RunStarted(utc_now()))
        with interruption.during(), watch as observer:
            state = RunState(store, observer, done, interruption.check)
            for text in done.damage if done else ():
                state.note(text)
            _Measuring(scenario, sharing, base, state).go()
        store.append(RunEnded("interrupted" if interruption.early else "complete", utc_now()))
    return Ended(store.path, interruption.early)


class _Measuring:
    """One run."""

    def __init__(self, scenario: Scenario, sharing: Sharing, base: Path, state: RunState) -> None:
        self._scenario, self._sharing, self._base, self._state = scenario, sharing, base, state
        self._stressors = stressors(scenario)
        self._seatings = design(sharing, self._stressors).seatings
        numbered = (pair for cells in self._seatings for pair in enumerate(cells))
        self._number = {cell.id: number for number, cell in numbered}
        """Of a cell among those that are seated with it: files are named after it."""
        self._run, self._logs = state.store.path, state.store.path / "logs"
        self._tried = set[str]()
        """Modes whose limits have been tried."""

    def go(self) -> None:
        """Prepare the models, then measure round after round."""
        state, rounds = self._state, self._scenario.measurement.rounds
        cells = [cell for cells in self._seatings for cell in cells]
        state.notify(Plan(tuple(cell.id for cell in cells), rounds))
        state.notify(Status("preparing the models"))
        interpreters = make_environments(
            self._scenario, self._base, cache_directory(), self._logs / "environments.log",
            lambda text: state.notify(Status(text).outward()),
        )  # fmt: skip
        occupants = self._occupants()
        raw = self._run / "telemetry" / ".raw"
        with Telemetry(raw, self._logs / "telemetry.log") as telemetry:
            began, longest = time.monotonic(), 0.0
            for round_ in range(rounds):
                start = time.monotonic()
                if round_ >= FEWEST_ROUNDS and start - began + longest > self._budget:
                    state.note(f"{round_} of {rounds} rounds: one more does not fit the budget")
                    break
                self._round(round_, occupants, interpreters, telemetry)
                longest = max(longest, time.monotonic() - start)

    @property
    def _budget(self) -> float:
        return self._scenario.budget or math.inf

    def _round(
        self, round_: int, occupants: Mapping[str, Occupant], interpreters: Interpreters,
        telemetry: Telemetry,
    ) -> None:  # fmt: skip
        seed = f"{self._scenario.measurement.seed}/seatings"
        for cells in balanced(self._seatings, round_, seed):
            stem = f"r{round_}-{self._seatings.index(cells)}"
            places = Places(self._base, self._logs, cache_directory(), stem, interpreters)
            seating = Seating(cells[0].mode, cells[0].started, occupants, places, telemetry)
            self._seat(seating, cells, round_, telemetry)

    def _occupants(self) -> dict[str, Occupant]:
        """Every tenant's model, each prepared once. Raises why one can't be."""
        found = {}
        deadline = loading_s(self._scenario.measurement)
        with Preparing(
            self._base, self._logs / "prepare.log", cache_directory(), deadline
        ) as preparing:
            beside = scenario_beside(self._scenario, self._sharing)
            bases = [(self._scenario, tenant) for tenant in self._sharing.tenants]
            for base, tenant in (*bases, *((beside, stressor) for stressor in self._stressors)):
                own = scenario_of(base, tenant)
                prepared = preparing.model(
                    own.model, sorted(own.backends[0].formats), own.load.batch_sizes
                )
                check_precision(prepared.model, own.backends)
                for artifact in prepared.artifacts:
                    self._state.add(artifact)
                found[tenant.name] = Occupant(own, prepared)
        return found

    def _seat(
        self, seating: Seating, cells: Sequence[Cell], round_: int, telemetry: Telemetry
    ) -> None:
        """Start the tenants of some cells and measure these; a fault is recorded on those left."""
        state, mode = self._state, cells[0].mode
        state.notify(Status(f"round {round_ + 1}: starting {cells[0].id}"))
        seed = f"{self._scenario.measurement.seed}/{cells[0].seated}"
        left = [
            c for c in balanced(cells, round_, seed)
            if c.id not in state.given_up and not self._measured(c, round_)
        ]  # fmt: skip
        if not left:
            return
        try:
            with seating:
                seating.open(state.notify, tried=mode.id not in self._tried)
                self._tried.add(mode.id)
                for text in seating.shared.controls:
                    state.note(f"{mode.words}: {text}")
                for seat in cells[0].started:
                    compare_outputs(
                        seating.sessions[seat.name].measured, [seat.load.batch_size], state
                    )
                self._measure(seating, left[0], round_, telemetry, discarded=True)
                while left and seating.alive:
                    for row in self._measure(seating, left[0], round_, telemetry):
                        if (row.point, round_) not in state.measured:
                            state.add_result(row)
                    del left[0]
                telemetry.save(self._run / "telemetry" / f"{seating.stem}.parquet")
        except Exception as error:
            for cell in left:
                self._fail(cell, round_, error, seating)
            if not left:
                state.note(f"{cells[0].id}, after its last cell: {error}")
            return
        for cell in left:
            self._fail(cell, round_, HarnessError("a tenant has ended before"), seating)

    def _measured(self, cell: Cell, round_: int) -> bool:
        """Whether its last row is there: a kill may have come between two of one cell."""
        return (cell.of(cell.seats[-1]), round_) in self._state.measured

    def _fail(self, cell: Cell, round_: int, error: Exception, seating: Seating) -> None:
        logs = sorted(self._logs.glob(f"{seating.stem}-*.log"))
        log = f"logs/{logs[0].name}" if logs else "logs/prepare.log"
        self._state.fail(cell_point(cell), round_, error, log)

    def _measure(
        self, seating: Seating, cell: Cell, round_: int, telemetry: Telemetry, *,
        discarded: bool = False,
    ) -> list[MeasurementRow]:  # fmt: skip
        """One cell; of what is discarded a line is left, and no row."""
        state, started, folder = self._state, utc_now(), self._run / "samples"
        state.notify(PointStarted(cell.id, round_))
        name = f"{seating.stem}-{self._number[cell.id]}"
        files = {seat.name: folder / f".{name}--{seat.name}.npz" for seat in cell.seats}
        try:
            answers = seating.measure(cell, round_, files, state.notify, discarded=discarded)
            samples = [
                Samples.load(files[seat.name], answer.messages)
                for seat, answer in zip(cell.seats, answers, strict=True)
            ]
        finally:
            for raw in files.values():
                raw.unlink(missing_ok=True)
        readings = telemetry.read()
        taken = Taken(cell, round_, started, answers, samples, readings, telemetry.problem)
        paths = [f"samples/{name}--{seat.name}.parquet" for seat in cell.seats]
        rows = cell_rows(taken, seating.sessions, paths)
        if discarded:
            row = rows[0]
            state.add(Discarded(
                row.point, round_, row.requests, row.throughput, row.latency_ms,
                row.window_begin_ns, row.window_end_ns,
            ))  # fmt: skip
            return []
        for path, found in zip(paths, samples, strict=True):
            window = {"window_begin_ns": str(rows[0].window_begin_ns),
                      "window_end_ns": str(rows[0].window_end_ns)}  # fmt: skip
            write_samples(self._run / path, found, {"point": cell.id, **window})
        return rows
