"""Two backends of a comparison, measured in turns: both are loaded, and their turns alternate.

Two windows one after the other meet different machines: what else runs there (on the core's other
thread, in another virtual machine) comes and goes within seconds. Turns of a tenth of a second meet
the same, and it cancels in the ratio of the two. Source: A. Abedi and T. Brecht, Conducting
Repeatable Experiments in Highly Variable Cloud Computing Environments, ICPE 2017 (multiple
interleaved trials). What it gains is measured in benchmarks/interleaved.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.measure.turns import Turn, enough, join, ratio_moved, turn_settings
from harness.measure.window import Window
from harness.results.details import MeasurementDetails
from harness.results.manifest import utc_now
from harness.results.rows import MeasurementRow
from harness.run.point import PointMeasurement
from harness.run.worker.messages import PointMeasured
from harness.scenario.points import Point


@dataclass
class Interleaved:
    """One backend's turns at one point, closed loop."""

    measurement: PointMeasurement
    point: Point
    started: str = field(default_factory=utc_now)
    taken: list[Turn] = field(default_factory=list)
    _answers: list[PointMeasured] = field(default_factory=list)

    def take(self, seconds: float) -> None:
        """One turn of at least so many seconds. Raises what measuring raises."""
        again, callers = bool(self.taken), self.point.concurrency or 1
        settings = turn_settings(self.measurement.settings(self.point), seconds, callers, not again)
        (answer,), (samples,) = self.measurement.answers(
            self.point, self.measurement.file_name(self.point), settings, again=again
        )
        self._answers.append(answer)
        self.taken.append((answer.window, samples))

    @property
    def enough(self) -> bool:
        """Whether they make the window."""
        return enough(self.measurement.settings(self.point), self.taken)

    def row(self, other: Interleaved) -> MeasurementRow:
        """The turns as one measurement; writes its samples."""
        measurement, last = self.measurement, self._answers[-1]
        window, samples = join(self.taken, measurement.settings(self.point))
        wrong = tuple(dict.fromkeys(w for a in self._answers for w in a.outputs_wrong))
        checked = sum(a.outputs_checked for a in self._answers)
        answer = replace(
            last, window=window, messages=samples.messages, outputs_checked=checked,
            outputs_wrong=wrong,
        )  # fmt: skip
        row = measurement.row(
            self.point, measurement.session.measured, answer, window, samples, self.started,
            level=False,
        )  # fmt: skip
        return self._judged(_own_alone(row, window), ratio_moved(self.taken, other.taken), other)

    def _judged(
        self, row: MeasurementRow, moved: float | None, other: Interleaved
    ) -> MeasurementRow:
        details: MeasurementDetails = {**row.details, "turns": len(self.taken)}
        if moved is None:
            return replace(row, details=details)
        seen = f"the latency over that of {other.point.backend} moved by {100 * moved:+.1f} %"
        details["findings"] = {
            **row.details["findings"],
            "no_steady_state": f"{seen} from the first half of the turns to the second",
        }
        return replace(row, flags=(*row.flags, "no_steady_state"), details=details)


def _own_alone(row: MeasurementRow, window: Window) -> MeasurementRow:
    """Without what the readings can't tell from the other backend's turns; the processor time is
    what the worker counted in its own.
    """
    details = row.details.copy()
    details.pop("joules_per_inference", None)
    return replace(
        row, cpu_percent=window.cpu_percent, cpu_cores=window.cpu_percent / 100,
        gpu_utilization_percent=None, gpu_power_w=None, gpu_energy_j=None, details=details,
    )  # fmt: skip


def measure_in_turns(sides: Sequence[tuple[PointMeasurement, Point]], seconds: float) -> None:
    """Measure a point of each of two backends, in the order AB, BA, AB, …, until both have their
    windows.

    A fault is recorded on its point; the other is measured alone then.
    """
    both = [Interleaved(measurement, point) for measurement, point in sides]
    for number in itertools.count():
        for turns in both if number % 2 == 0 else reversed(both):
            try:
                turns.take(seconds)
            except Exception as error:
                turns.measurement.state.fail(
                    turns.point, turns.measurement.round_, error, turns.measurement.log
                )
                (rest,) = (t for t in both if t is not turns)
                rest.measurement.point(rest.point)
                return
        if all(turns.enough for turns in both):
            break
    for turns, other in zip(both, reversed(both), strict=True):
        state = turns.measurement.state
        try:
            row = turns.row(other)
        except Exception as error:
            state.fail(turns.point, turns.measurement.round_, error, turns.measurement.log)
        else:
            state.add_result(row)
