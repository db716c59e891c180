"""One point in an open session: from the worker's answer to a row in the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from harness.errors import RunDirectoryError
from harness.load.plan import WindowSettings
from harness.measure.reduce import reduce
from harness.measure.validity import WRONG, causes
from harness.measure.window import Window
from harness.results.events import Discarded, MeasuredAgain, PointStarted
from harness.results.manifest import utc_now
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, read_samples, write_samples
from harness.run import ceiling
from harness.run.capacity import Measured, find_capacity
from harness.run.point_row import Conditions, measurement_row, with_colocated
from harness.run.session.served_model import ServedModel
from harness.run.session.session import Session
from harness.run.state import RunState
from harness.run.worker.messages import PointMeasured
from harness.scenario.points import Point
from harness.scenario.spec.load import Load
from harness.scenario.spec.served import ServedSettings
from harness.telemetry.client import Telemetry

OUTPUTS_FLAG = {"skip": "wrong_outputs", "measure": "parity"}
"""What outputs under load that disagree are called, by the scenario's `on_mismatch`."""


@dataclass(frozen=True, slots=True)
class PointMeasurement:
    """Measures points of one session in one round."""

    session: Session
    state: RunState
    telemetry: Telemetry
    round_: int
    log: str
    """Named where a point fails."""
    longer_window: Callable[[Point, int], float | None] = lambda *_: None
    """Seconds that a point's window lasts at least in a round, where that is not as planned."""

    def point(self, point: Point) -> None:
        """Measure a point; a fault is recorded on it."""
        try:
            row, _ = self._measure(point)
        except Exception as error:
            self.state.fail(point, self.round_, error, self.log)
        else:
            self.state.add_result(row)
            if not self.session.alive:
                self.state.note(f"after {point.id} its server or worker was gone: see {self.log}")

    def discard(self, point: Point) -> bool:
        """Measure what counts nowhere: fresh processes are cold. False where `point` then failed.

        In a closed loop, where the point is none: schedules are long, and rates may overload.
        """
        concurrency = point.concurrency or 1
        load = replace(point, shape=None, request_rate=None, concurrency=concurrency)
        try:
            any_number = replace(self.session.settings(load, self.round_), window_requests=1)
            answers, (samples, *_) = self.answers(load, ".discarded", any_number)
        except Exception as error:
            self.state.fail(point, self.round_, error, self.log)
            return False
        begin, end = answers[0].window.begin_ns, answers[0].window.end_ns
        found = reduce(samples, begin, end, load.batch_size, False)
        self.state.add(Discarded(
            load.id, self.round_, found.requests, found.throughput, found.latency_ms, begin, end
        ))  # fmt: skip
        return True

    def capacity(self, point: Point, load: Load, planned: Collection[str]) -> None:
        """Search for a capacity; each rate that is tried becomes a measurement of its own, and
        says so where it is none of the `planned` points.
        """

        def measure(sub: Point, doubtful: Callable[[MeasurementRow, Samples], bool]) -> Measured:
            for done in self.state.rows:
                if (done.point, done.round) == (sub.id, self.round_):
                    try:
                        return done, read_samples(self.state.store.file(done.samples))
                    except RunDirectoryError as error:
                        self.state.note(f"{error.message}; {sub.id} was measured again")
                        self.state.rows.remove(done)
                        break
            row, samples = self._measure(sub)
            if not WRONG & {*row.flags} and (doubtful(row, samples) or causes(row.flags)):
                self.state.add(MeasuredAgain(sub.id, self.round_, row.flags))
                row, samples = self._measure(sub)
            if sub.id not in planned:
                row = replace(row, details={**row.details, "search": point.id})
            self.state.add_result(row)
            return row, samples

        assert load.find_capacity is not None
        try:
            found = find_capacity(point, load.find_capacity, self.round_, measure)
        except Exception as error:
            self.state.fail(point, self.round_, error, self.log)
            return
        self.state.add_result(found)

    def _measure(self, point: Point) -> tuple[MeasurementRow, Samples]:
        """Measure, with more generator processes where one was the limit, and write the samples;
        the row is not in the journal yet.
        """
        models = self.session.models
        before = [row.details for row in self.state.rows if no_more_than(row, point)]
        for model in models:
            done = before if model.colocated is None else [
                found[model.name] for details in before if (found := details.get("colocated"))
            ]  # fmt: skip
            model.processes = ceiling.spread(model.spec, done) or 1
        rows, samples = self._measure_once(point)
        while not any(WRONG & {*r.flags} for r in rows) and self._spread_further(point, rows):
            rows, samples = self._measure_once(point)
        rows = [
            ceiling.with_advice(model.spec, row) for model, row in zip(models, rows, strict=True)
        ]
        row = rows[0]
        if (clock := self.telemetry.clock) is not None:
            row = replace(row, details={**row.details, "telemetry_clock": clock})
        others = {
            model.colocated.name: (other, model.colocated.load)
            for model, other in zip(models, rows, strict=True)
            if model.colocated is not None
        }
        return with_colocated(row, others), samples

    def _spread_further(self, point: Point, rows: Sequence[MeasurementRow]) -> bool:
        """Give each wire client that was the limit more processes, as far as cores are spare;
        whether one got some.
        """
        models, found = self.session.models, False
        elsewhere = isinstance(s := models[0].spec, ServedSettings) and s.server.telemetry
        server = 0.0 if elsewhere else rows[0].cpu_cores or 0.0
        for model, row in zip(models, rows, strict=True):
            flag = ceiling.limit(row)
            if flag is None or ceiling.spread(model.spec, ()) is None:
                continue
            others = sum(other.processes for other in models if other is not model)
            count = ceiling.more(row, model.processes, ceiling.spare_cores(server + others))
            if count > model.processes:
                self.state.note(
                    f"{point.id}{model.name and ' with ' + model.name} is measured with {count} "
                    f"generator processes from here on: {row.details['findings'].get(flag, flag)}"
                )
                model.processes, found = count, True
        return found

    def settings(self, point: Point) -> WindowSettings:
        """How long a point's warm-up and window are to last in this round."""
        planned = self.session.settings(point, self.round_)
        return replace(planned, window=self.longer_window(point, self.round_) or planned.window)

    def answers(
        self, point: Point, name: str, settings: WindowSettings, *, again: bool = False
    ) -> tuple[list[PointMeasured], list[Samples]]:
        """Measure: what each model did, and its samples; `again`: see `Session.measure`."""
        if not again:
            self.state.notify(PointStarted(point.id, self.round_))
        folder, models = self.state.store.path / "samples", self.session.models
        files = {m.name: folder / f".{name}{m.name and '+'}{m.name}.npz" for m in models}
        try:
            answers = self.session.measure(
                point, self.round_, files, self.state.notify, settings=settings, again=again
            )
            return answers, [
                Samples.load(files[model.name], answer.messages)
                for model, answer in zip(models, answers, strict=True)
            ]
        finally:
            for raw in files.values():
                raw.unlink(missing_ok=True)

    def _measure_once(self, point: Point) -> tuple[list[MeasurementRow], Samples]:
        """The rows of all models, and the measured one's samples."""
        name, started = self.file_name(point), utc_now()
        answers, samples = self.answers(point, name, self.settings(point))
        models, window = self.session.models, answers[0].window
        rows = [
            self.row(point, model, answer, window, taken, started)
            for model, answer, taken in zip(models, answers, samples, strict=True)
        ]
        return rows, samples[0]

    def file_name(self, point: Point) -> str:
        """Of its samples."""
        return f"{point.id.replace('/', '--')}--r{self.round_}"

    def row(
        self, point: Point, model: ServedModel, answer: PointMeasured, window: Window,
        samples: Samples, started: str, *, level: bool = True,
    ) -> MeasurementRow:  # fmt: skip
        """What one model did in the point's window; writes its samples. Whether latency was `level`
        within it is judged where it could be.
        """
        name = self.file_name(point)
        own, path = point, f"samples/{name}.parquet"
        metadata = {
            "point": point.id, "round": str(self.round_),
            "window_begin_ns": str(window.begin_ns), "window_end_ns": str(window.end_ns),
        }  # fmt: skip
        if (other := model.colocated) is not None:
            load = other.load
            own = Point(
                model.label, point.config, load.batch_size, load.concurrency, load.request_rate
            )
            path = f"samples/{name}--colocated-{other.name}.parquet"
            metadata["colocated"] = other.name
        write_samples(self.state.store.path / path, samples, metadata)
        readings = self.telemetry.read() if other is None else {}
        conditions = Conditions(
            self.session.remote, model.flags,
            self._ceiling(model, own, answer, samples, window), answer.outputs_checked,
            answer.outputs_wrong, OUTPUTS_FLAG[model.rule.on_mismatch], answer.metrics,
            answer.traces, answer.window,
            self.telemetry.problem if other is None else "", level=level and not point.shape,
            less_launching=model.spec.less_launching,
            rank_cached=getattr(model.spec, "rank_cached", False),
            parts=self.session.parts(point) if other is None else (),
        )  # fmt: skip
        row = measurement_row(
            own, self.round_, started, window, samples, readings, path, conditions
        )
        if ceiling.spread(model.spec, ()) is not None:
            row = replace(row, details={**row.details, "client_processes": model.processes})
        return row

    def _ceiling(
        self, model: ServedModel, load: Point, answer: PointMeasured, samples: Samples,
        window: Window,
    ) -> float | None:  # fmt: skip
        """What the generator reaches with such requests; measured here where it is not known."""
        wanted = ceiling.wanted(model.spec, load, answer.input_bytes, model.processes)
        if wanted is None:
            return None
        known = self.state.ceilings
        finished = (samples.done > window.begin_ns) & (samples.done <= window.end_ns)
        rate = float(finished.sum()) / window.seconds
        while (highest := known.known(*wanted, rate)) is None:
            tries = known.tries(*wanted) + 1
            row = ceiling.measure(model.ceiling, *wanted, answer.input_bytes, tries)
            known.add(row)
            self.state.add(row)
        return highest or None


def no_more_than(row: MeasurementRow, point: Point) -> bool:
    """Whether a row is of this point, or of a smaller rate on the same config and batch size."""
    if row.point == point.id:
        return True
    same = (row.backend, row.config, row.batch_size, row.sizes)
    rates = row.request_rate, point.request_rate
    if None in rates or same != (
        point.backend, point.config, point.batch_size, point.sizes
    ):  # fmt: skip
        return False
    return (rates[0] or 0.0) <= (rates[1] or 0.0)
