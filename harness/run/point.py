"""One point in an open session: from the worker's answer to a row in the journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import HarnessError
from harness.measure.window import Window
from harness.results.events import MeasuredAgain, PointStarted
from harness.results.manifest import utc_now
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, read_samples, write_samples
from harness.run import ceiling
from harness.run.capacity import Measured, find_capacity
from harness.run.colocated_rows import with_colocated
from harness.run.point_row import Conditions, measurement_row
from harness.run.session.session import Session, colocated_samples
from harness.run.state import RunState
from harness.scenario.points import Point
from harness.scenario.spec.scenario import Load
from harness.telemetry.client import Telemetry


@dataclass(frozen=True, slots=True)
class Measuring:
    """Measures points of one session in one round."""

    session: Session
    state: RunState
    telemetry: Telemetry
    round_: int
    flags: tuple[str, ...]
    """That hold for every point of the session."""
    log: str
    """Named where a point fails."""

    def point(self, point: Point) -> None:
        """Measure a point; a fault is recorded on it."""
        try:
            row, _ = self._measure(point)
        except HarnessError as error:
            self.state.fail(point, self.round_, error, self.log)
        else:
            self.state.add_result(row)

    def capacity(self, point: Point, load: Load, planned: Collection[str]) -> None:
        """Search for a capacity; each rate that is tried becomes a measurement of its own, and
        says so where it is none of the `planned` points.
        """

        def measure(sub: Point, doubtful: Callable[[MeasurementRow, Samples], bool]) -> Measured:
            for done in self.state.rows:
                if (done.point, done.round) == (sub.id, self.round_):
                    return done, read_samples(self.state.store.path / done.samples)
            row, samples = self._measure(sub)
            if doubtful(row, samples):
                self.state.add(MeasuredAgain(sub.id, self.round_, row.flags))
                row, samples = self._measure(sub)
            if sub.id not in planned:
                row = replace(row, details={**row.details, "search": point.id})
            self.state.add_result(row)
            return row, samples

        assert load.find_capacity is not None
        before = [c for c in self.state.capacities if c.point == point.id]
        try:
            found = find_capacity(
                point, load.find_capacity, self.round_, before[-1] if before else None, measure,
                load.max_outstanding,
            )  # fmt: skip
        except HarnessError as error:
            self.state.fail(point, self.round_, error, self.log)
            return
        self.state.add_result(found)

    def _measure(self, point: Point) -> tuple[MeasurementRow, Samples]:
        """Measure, and write the samples; the row is not in the journal yet."""
        self.state.notify(PointStarted(point.id, self.round_))
        folder, session = self.state.store.path, self.session
        name = f"{point.id.replace('/', '--')}--r{self.round_}"
        raw = folder / "samples" / f".{name}.npz"
        others = {o.name: colocated_samples(raw, o.name) for o in session.colocated}
        started = utc_now()
        try:
            answer = session.measure(point, self.round_, raw, self.state.notify)
            samples = Samples.load(raw, answer["messages"])
        except BaseException:
            for left in others.values():
                left.unlink(missing_ok=True)
            raise
        finally:
            raw.unlink(missing_ok=True)
        window = Window(**answer["window"])
        path = f"samples/{name}.parquet"
        metadata = {
            "point": point.id, "round": str(self.round_),
            "window_begin_ns": str(window.begin_ns), "window_end_ns": str(window.end_ns),
        }  # fmt: skip
        write_samples(folder / path, samples, metadata)
        conditions = Conditions(
            len(os.sched_getaffinity(0)), session.remote, self.flags,
            self._ceiling(point, answer, samples, window), answer.get("outputs_checked", 0),
            answer.get("outputs_wrong") or [], answer.get("metrics"),
        )  # fmt: skip
        row = measurement_row(
            point, self.round_, started, window, samples, self.telemetry.read(), path, conditions
        )
        if (clock := self.telemetry.clock) is not None:
            row = replace(row, details={**row.details, "telemetry_clock": clock})
        if others:
            models = [o.other for o in session.colocated]
            row = with_colocated(row, models, answer["colocated"], others, folder)
        return row, samples

    def _ceiling(
        self, point: Point, answer: Mapping[str, Any], samples: Samples, window: Window
    ) -> float | None:
        """What the generator reaches with such requests; measured here where it is not known."""
        size = int(answer.get("input_bytes", 0))
        asked = ceiling.wanted(self.session.spec, point, size)
        if asked is None:
            return None
        known = self.state.ceilings
        finished = (samples.done > window.begin_ns) & (samples.done <= window.end_ns)
        rate = float(finished.sum()) / (window.end_ns - window.begin_ns) * 1e9
        while (found := known.known(*asked, rate)) is None:
            row = ceiling.measure(self.session, *asked, size, known.tries(*asked) + 1)
            known.add(row)
            self.state.add(row)
        return found or None
